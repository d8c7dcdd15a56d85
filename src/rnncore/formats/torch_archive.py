# SPDX-License-Identifier: MIT
"""What a file of PyTorch's would take in memory, looked at before PyTorch opens it.

Its archives hold a pickle, whose shortest instructions make objects sixty times their size, and the tensors' bytes;
nothing in them is compressed.
"""

from __future__ import annotations

import os
import zipfile

from ..errors import FormatError
from .files import Path, reading, zipped

MAX_PICKLE = 4 * 2**20
# Instructions of one byte that make an object; there may be this many, and one for so many bytes.
MAKERS, FEW, SPARSE = b"]})\x8f", 2**17, 16


def _check_pickle(path: Path, content: bytes) -> None:
    count = sum(content.count(bytes([maker])) for maker in MAKERS)
    if count > FEW + len(content) // SPARSE:
        raise FormatError(str(path), "a pickle of tensors", f"one of {count} empty lists and dicts")


def check(path: Path) -> None:
    """Whether PyTorch may open a file.

    Raises
    ------
    FormatError
        It is compressed, its parts are larger than the whole, or its pickle makes too many objects.
    OSError
    """
    size = os.path.getsize(path)
    with reading(path, "a file of PyTorch's"):
        with open(path, "rb") as file:
            head = file.read(4)
        if not head.startswith(b"PK"):  # up to version 1.5: pickles and tensors, one after the other
            with open(path, "rb") as file:
                while content := file.read(MAX_PICKLE):
                    _check_pickle(path, content)
            return
        if not zipped(path, head):
            raise FormatError(str(path), "a sound archive", "one without names, or with too many")
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            if sum(part.file_size for part in parts) > size:
                raise FormatError(str(path), f"parts of at most {size} bytes", "larger ones", "compressed?")
            for part in parts:
                if part.filename.endswith(".pkl"):
                    if part.file_size > MAX_PICKLE:
                        expected = f"a pickle of at most {MAX_PICKLE} bytes"
                        raise FormatError(str(path), expected, str(part.file_size))
                    _check_pickle(path, archive.read(part))
