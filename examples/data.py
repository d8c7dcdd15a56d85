# SPDX-License-Identifier: MIT
"""The data of the examples: one loader for all of them.

`load(name)` looks in ``$RNNCORE_DATA`` (the data folder, or a folder that holds it as ``data``), then in
``../shared/data`` beside the repository, then in the cache. From the repository's root,

    python -m examples.data                     lists the data sets, their licences and where each was found
    python -m examples.data NAME                downloads a data set from its publisher into the cache (needs pooch)
    python -m examples.data NAME --from FILE    the same with a copy of the publisher's file, or a folder of them

`prepare.py` says how each is made from the publisher's own files.
"""

import argparse
import gzip
import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Source:
    """A data set: its file below the data folder, what to say where it is shown, its publisher, its `checksum`."""

    file: str
    credit: str
    url: str
    sha256: str


UCI = "https://archive.ics.uci.edu/static/public"
COCO = "http://images.cocodataset.org/annotations/annotations_trainval2017.zip"
SOURCES = {
    "bike_hour": Source(
        "timeseries/bike_hour.npz",
        "Bike Sharing, H. Fanaee-T and J. Gama (2013), UCI data set 275, doi:10.1007/s13748-013-0040-3, CC BY 4.0",
        f"{UCI}/275/bike+sharing+dataset.zip",
        "7ae4ed60515b92029d916e99b6211b8b3f89d98fb4ce2938f9873f36e9507bc6",
    ),
    "japanese_vowels": Source(
        "timeseries/japanese_vowels.npz",
        "Japanese Vowels, M. Kudo, J. Toyama, M. Shimbo (1999), UCI data set 128, doi:10.24432/C5NS47, CC BY 4.0",
        f"{UCI}/128/japanese+vowels.zip",
        "1776dcfd369d1e8385bd7415fbd8b10f11350fe26a50764dbc2938d47fdbf319",
    ),
    "beijing_pm25": Source(
        "timeseries/beijing_pm25.npz",
        "Beijing PM2.5, S. Chen (2015), UCI data set 381, doi:10.24432/C5JS49, CC BY 4.0",
        f"{UCI}/381/beijing+pm2+5+data.zip",
        "993aadc8a1ddd65408acb8617605057cf56fcd44c4453088a906eed67d6181cf",
    ),
    "tatoeba_eng_fra": Source(
        "translation/tatoeba_eng_fra.tsv.gz",
        "www.manythings.org/anki and tatoeba.org, CC BY 2.0 (France)",
        "https://www.manythings.org/anki/fra-eng.zip",
        "4b93270b1508e3ed4c0ff6f3442ffce6577404e9306d44ae6fd0360ba736b13b",
    ),
    "pendigits_unipen": Source(
        "handwriting/pendigits_unipen.npz",
        "Pen-Based Recognition of Handwritten Digits, E. Alpaydin and F. Alimoglu (1998), UCI data set 81, "
        "doi:10.24432/C5MG6K, CC BY 4.0",
        f"{UCI}/81/pen+based+recognition+of+handwritten+digits.zip",
        "97205a1fed5e7c6d7f68e38cec3833f636c2d200fb53b112757196500f4d1db3",
    ),
    "coco_val2017_captions": Source(
        "captioning/coco_val2017_captions.tsv.gz",
        "COCO Consortium, captions of val2017 (cocodataset.org), CC BY 4.0",
        COCO,
        "5a7fedc588971c28d55cf78fd11710a62720f984ebbd0dd3c1faa87e10f8c796",
    ),
    "coco_val2017_keywords": Source(
        "captioning/coco_val2017_keywords.tsv.gz",
        "derived from the captions of val2017, COCO Consortium (cocodataset.org), CC BY 4.0",
        COCO,
        "0a9d95c880c932edbd757f8e7b1f4c8995382deeffc47ac2e687239d751bda26",
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
        f"`python -m examples.data {name} --from FILE` takes a copy of that file"
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


# -- Filling the cache ------------------------------------------------------------------------------------------


def checksum(found):
    """SHA-256 of a data set's contents: of its arrays, or of its lines in any order."""
    total = hashlib.sha256()
    if isinstance(found, dict):
        for name in sorted(found):
            array = np.ascontiguousarray(found[name])
            total.update(f"{name} {array.dtype.str} {array.shape}\n".encode() + array.tobytes())
    else:
        total.update("\n".join(sorted("\t".join(line) for line in found)).encode())
    return total.hexdigest()


def write(path, found):
    """Write a prepared file that `read` reads; the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        if isinstance(found, dict):
            with open(draft, "wb") as file:
                np.savez_compressed(file, **found)
        else:
            with gzip.open(draft, "wt", encoding="utf-8", newline="\n") as file:
                file.writelines("\t".join(line) + "\n" for line in found)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def store(name, original, changed=False):
    """Prepare the publisher's file(s) `original` and write the result to the cache; gives its path.

    Raises ValueError if the contents are not those that the examples' figures were made with, unless `changed`.
    """
    from examples import prepare

    found = getattr(prepare, name)(prepare.Files(original))
    got = checksum(found)
    if got != SOURCES[name].sha256 and not changed:
        raise ValueError(
            f"{name}: expected contents with SHA-256 {SOURCES[name].sha256}, got {got}: the publisher's file is "
            "another one than the examples' figures were made with; --changed takes it all the same"
        )
    path = cache() / SOURCES[name].file
    write(path, found)
    return path


def download(name):
    """Fetch a data set's original file into the cache, once; gives its path."""
    import pooch

    url = SOURCES[name].url
    # No checksum here: publishers pack their archives anew. What `store` makes of it is checked.
    return pooch.retrieve(url, None, url.rpartition("/")[2], cache() / "originals")


def main():
    parser = argparse.ArgumentParser(
        prog="python -m examples.data", description="Lists or fetches the data sets."
    )
    parser.add_argument("name", nargs="?", choices=SOURCES)
    parser.add_argument(
        "--from", dest="original", type=Path, metavar="FILE", help="the publisher's file, or a folder"
    )
    parser.add_argument(
        "--changed", action="store_true", help="take a file whose contents are other than expected"
    )
    arguments = parser.parse_args()
    if arguments.name:
        try:
            original = arguments.original or download(arguments.name)
            print(store(arguments.name, original, arguments.changed))
        except (ImportError, OSError, ValueError) as error:
            sys.exit(str(error))
        return
    for name, source in SOURCES.items():
        try:
            where = find(name)
        except DataNotFoundError:
            where = f"not here; from {source.url}"
        print(f"{name}\n    {source.credit}\n    {where}")


if __name__ == "__main__":
    main()
