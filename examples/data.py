# SPDX-License-Identifier: MIT
"""The data of the examples: one loader for all of them.

`load(name)` looks in ``$RNNCORE_DATA`` (the data folder, or a folder that holds it as ``data``), then in
``../shared/data`` beside the repository, then in the cache. From the repository's root,

    python -m examples.data                        lists the data sets, their licences and where each was found
    python -m examples.data bike_hour              downloads it from its publisher into the cache
    python -m examples.data bike_hour FILE         prepares a file downloaded by hand into the cache
"""

import gzip
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Source:
    """A data set: its file below the data folder, what to say where it is shown, and its publisher."""

    file: str
    credit: str
    url: str


SOURCES = {
    "bike_hour": Source(
        "timeseries/bike_hour.npz",
        "Bike Sharing, H. Fanaee-T and J. Gama (2013), UCI data set 275, doi:10.1007/s13748-013-0040-3, CC BY 4.0",
        "https://archive.ics.uci.edu/static/public/275/bike+sharing+dataset.zip",
    ),
    "japanese_vowels": Source(
        "timeseries/japanese_vowels.npz",
        "Japanese Vowels, M. Kudo, J. Toyama, M. Shimbo (1999), UCI data set 128, doi:10.24432/C5NS47, CC BY 4.0",
        "https://archive.ics.uci.edu/static/public/128/japanese+vowels.zip",
    ),
    "beijing_pm25": Source(
        "timeseries/beijing_pm25.npz",
        "Beijing PM2.5, S. Chen (2015), UCI data set 381, doi:10.24432/C5JS49, CC BY 4.0",
        "https://archive.ics.uci.edu/static/public/381/beijing+pm2+5+data.zip",
    ),
    "tatoeba_eng_fra": Source(
        "translation/tatoeba_eng_fra.tsv.gz",
        "www.manythings.org/anki and tatoeba.org, CC BY 2.0 (France)",
        "https://www.manythings.org/anki/fra-eng.zip",
    ),
    "pendigits_unipen": Source(
        "handwriting/pendigits_unipen.npz",
        "Pen-Based Recognition of Handwritten Digits, E. Alpaydin and F. Alimoglu (1998), UCI data set 81, "
        "doi:10.24432/C5MG6K, CC BY 4.0",
        "https://archive.ics.uci.edu/static/public/81/pen+based+recognition+of+handwritten+digits.zip",
    ),
    "coco_val2017_captions": Source(
        "captioning/coco_val2017_captions.tsv.gz",
        "COCO Consortium, captions of val2017 (cocodataset.org), CC BY 4.0",
        "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
    ),
    "coco_val2017_keywords": Source(
        "captioning/coco_val2017_keywords.tsv.gz",
        "derived from the captions of val2017, COCO Consortium (cocodataset.org), CC BY 4.0",
        "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
    ),
}


class DataNotFoundError(FileNotFoundError):
    """A data set lies nowhere; the message says what to download from where and what to run."""


def cache():
    """The folder for downloaded data: $RNNCORE_CACHE, or the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("RNNCORE_CACHE") or Path(home) / "rnncore")


def folders():
    """Where data is looked for, in order."""
    given = os.environ.get("RNNCORE_DATA")
    local = [Path(given) / "data", Path(given)] if given else []
    return [*local, ROOT.parent / "shared" / "data", cache()]


def find(name):
    """The file of a data set; DataNotFoundError if it is nowhere."""
    source = SOURCES[name]
    for folder in folders():
        if (folder / source.file).is_file():
            return folder / source.file
    raise DataNotFoundError(
        f"{name}: no {source.file} in $RNNCORE_DATA, ../shared/data or {cache()}; "
        f"`python -m examples.data {name}` downloads it from {source.url}, and "
        f"`python -m examples.data {name} FILE` takes a copy of that file"
    )


def read(path):
    """The contents of a prepared file: .npz gives arrays by name, .tsv.gz lines as tuples of fields."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        return [tuple(line.rstrip("\n").split("\t")) for line in file]


def load(name):
    """A data set by its name in SOURCES.

    Parameters
    ----------
    name : str

    Returns
    -------
    dict of str to numpy.ndarray, or list of tuple of str
        Arrays by field, or the fields of each line; the publisher's fields are in the example's README.

    Raises
    ------
    DataNotFoundError
        It is in no folder; the message says what to run.
    """
    return read(find(name))


def ragged(values, lengths):
    """Split `values` (sum T, ...) into a list of arrays of these lengths."""
    return np.split(values, np.cumsum(lengths)[:-1])
