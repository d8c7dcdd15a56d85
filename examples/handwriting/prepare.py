# SPDX-License-Identifier: MIT
"""From the publisher's archive of pen digits (UCI data set 81) to the arrays that the example reads.

The archive holds ``pendigits-orig.tra.Z`` and ``pendigits-orig.tes.Z``, compressed UNIPEN text:

    .SEGMENT DIGIT 3-4 ? "5"     the digit, with the numbers of its strokes
    .COMMENT  5 12 224           digit, writer, serial number
    .PEN_DOWN
     267  333                    x and y of a point, tablet units, y upwards
    .PEN_UP
    .DT 100
"""

import subprocess
import zipfile

import numpy as np

SPLITS = {"train": "pendigits-orig.tra.Z", "test": "pendigits-orig.tes.Z"}


def unipen(text):
    """Digits of UNIPEN text.

    Parameters
    ----------
    text : str

    Returns
    -------
    dict of str to numpy.ndarray
        ``pts`` int16 (sum of lengths, 3): x, y, 1 at the last point of a stroke; ``len`` int16 (n,), points of each
        digit; ``y`` int8 (n,), the digit; ``comment`` int16 (n, 3).

    Raises
    ------
    ValueError
        A digit without points, or a line that is none of the above.
    """
    points, lengths, comments = [], [], []
    down = False
    for number, line in enumerate(text.splitlines(), start=1):
        word, *rest = line.split() or [""]
        if word == ".SEGMENT":
            lengths.append(0)
        elif word == ".COMMENT" and lengths:
            comments.append([int(value) for value in rest])
        elif word in (".PEN_DOWN", ".PEN_UP"):
            if word == ".PEN_UP" and down and points:
                points[-1][2] = 1
            down = word == ".PEN_DOWN"
        elif down and len(rest) == 1:
            points.append([int(word), int(rest[0]), 0])
            lengths[-1] += 1
        elif word and (down or not word.startswith(".")):
            raise ValueError(f"line {number}: expected a point or a keyword, got {line!r}")
    comments = np.array(comments, np.int16)
    if len(comments) != len(lengths) or 0 in lengths:
        raise ValueError(f"expected points and a comment for each of {len(lengths)} digits")
    return {
        "pts": np.array(points, np.int16),
        "len": np.array(lengths, np.int16),
        "y": comments[:, 0].astype(np.int8),
        "comment": comments,
    }


def prepare(archive):
    """Arrays of the archive (zip), each name behind ``train_`` or ``test_``; needs ``gzip``, which reads .Z files."""
    fields = {}
    with zipfile.ZipFile(archive) as members:
        for split, member in SPLITS.items():
            text = subprocess.run(
                ["gzip", "-dc"], input=members.read(member), capture_output=True, check=True
            ).stdout
            fields |= {f"{split}_{name}": array for name, array in unipen(text.decode("latin-1")).items()}
    return fields
