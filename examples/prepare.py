# SPDX-License-Identifier: MIT
"""From the publishers' own files to what `data.load` gives: a function per data set, of the downloaded file.

Each takes `Files`, whatever holds the publisher's files, and gives a dict of arrays or a list of lines.
"""

import csv
import datetime
import hashlib
import io
import json
import re
import shutil
import subprocess
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np


class Files:
    """The files of a download: a zip archive, a folder, or one file as it is."""

    def __init__(self, path):
        self.path = Path(path)

    def read(self, name):
        """The bytes of the file of this name, in whatever folder of the archive; FileNotFoundError."""
        if self.path.is_dir():
            found = next(iter(sorted(self.path.rglob(name))), None)
            if found is not None:
                return found.read_bytes()
        elif zipfile.is_zipfile(self.path):
            with zipfile.ZipFile(self.path) as archive:
                members = [m for m in archive.namelist() if m.rpartition("/")[2] == name]
                if members:
                    return archive.read(members[0])
        elif self.path.name == name:
            return self.path.read_bytes()
        raise FileNotFoundError(f"{self.path}: expected {name} in it, or another name for it")

    def text(self, name):
        """The same as text (UTF-8)."""
        return self.read(name).decode("utf-8")

    def unpacked(self, name):
        """A file that may lie there as name.Z, in the form of the old Unix `compress`, which gzip reads."""
        try:
            return self.read(name)
        except FileNotFoundError:
            packed = self.read(name + ".Z")
        if shutil.which("gzip") is None:
            raise FileNotFoundError(f"{name}.Z: needs the program gzip") from None
        return subprocess.run(["gzip", "-dc"], input=packed, capture_output=True, check=True).stdout


def columns(text):
    """The columns of a CSV file with a header, as lists of text by name."""
    rows = list(csv.DictReader(io.StringIO(text)))
    return {name: [row[name] for row in rows] for name in rows[0]}


# -- Time series ------------------------------------------------------------------------------------------------


def bike_hour(files):
    """hour.csv: columns `instant` and `season` are dropped, types narrowed, dates written M/D/YY."""
    found = columns(files.text("hour.csv"))
    small = ("yr", "mnth", "hr", "holiday", "weekday", "workingday", "weathersit")
    arrays = {name: np.array(found[name], np.int8) for name in small}
    arrays |= {name: np.array(found[name], np.float32) for name in ("temp", "atemp", "hum", "windspeed")}
    arrays |= {name: np.array(found[name], np.int16) for name in ("casual", "registered", "cnt")}
    dates = map(datetime.date.fromisoformat, found["dteday"])
    arrays["dteday"] = np.array([f"{d.month}/{d.day}/{d:%y}".encode() for d in dates], "S10")
    return arrays


def beijing_pm25(files):
    """The hourly CSV file: from the second day on, PM2.5 is 0 where it is NA, wind directions are numbers."""
    found = columns(files.text("PRSA_data_2010.1.1-2014.12.31.csv"))
    moments = zip(*([int(v) for v in found[name]] for name in ("year", "month", "day", "hour")), strict=True)
    first = datetime.datetime(1970, 1, 1)
    hours = [int((datetime.datetime(*moment) - first).total_seconds()) // 3600 for moment in moments]
    arrays = {"date": np.array(hours, np.int64), "date_unit": np.array("hours since 1970-01-01")}
    names = {"DEWP": "dew", "TEMP": "temp", "PRES": "press", "Iws": "wnd_spd", "Is": "snow", "Ir": "rain"}
    arrays["pollution"] = np.array([0 if v == "NA" else v for v in found["pm2.5"]], np.float32)
    arrays |= {ours: np.array(found[theirs], np.float32) for theirs, ours in names.items()}
    directions = ["CV", "NE", "NW", "SE"]
    arrays["wnd_dir"] = np.array([directions.index(v.upper()) for v in found["cbwd"]], np.int8)
    cut = {name: array[24:] for name, array in arrays.items() if name != "date_unit"}
    return arrays | cut | {"wnd_dir_names": np.array(directions)}


def japanese_vowels(files):
    """ae.train, ae.test: a block of lines per utterance, ended by a blank line or a line of ones.

    The speakers stand in order; size_ae.test says how many utterances each has, 30 in training.
    """
    arrays = {}
    for part in ("train", "test"):
        sizes = [int(v) for v in files.text(f"size_ae.{part}").split()]
        blocks, block = [], []
        for line in [*files.text(f"ae.{part}").splitlines(), ""]:
            frame = [float(v) for v in line.split()]
            if frame and any(v != 1.0 for v in frame):
                block.append(frame)
            elif block:
                blocks.append(block)
                block = []
        arrays[f"{part}_x"] = np.array([frame for block in blocks for frame in block], np.float32)
        arrays[f"{part}_len"] = np.array([len(block) for block in blocks], np.int32)
        arrays[f"{part}_y"] = np.repeat(np.arange(len(sizes), dtype=np.int8), sizes)
        if len(arrays[f"{part}_y"]) != len(blocks):
            raise ValueError(f"ae.{part}: expected {sum(sizes)} utterances, got {len(blocks)}")
    return arrays


# -- Handwriting ------------------------------------------------------------------------------------------------


def pendigits_unipen(files):
    """pendigits-orig.tra and .tes, in UNIPEN: pen-tip points with a mark on the last one of each stroke."""
    arrays = {}
    for part, name in (("train", "pendigits-orig.tra"), ("test", "pendigits-orig.tes")):
        digits, strokes, down = [], [], False
        for line in files.unpacked(name).decode("latin-1").splitlines():
            words = line.split()
            if not words:
                continue
            if words[0] == ".SEGMENT":
                strokes = []
                digits.append({"y": int(words[-1].strip('"')), "strokes": strokes, "comment": (0, 0, 0)})
            elif words[0] == ".COMMENT" and digits:
                digits[-1]["comment"] = tuple(int(v) for v in words[1:4])
            elif words[0] == ".PEN_DOWN":
                down = True
                strokes.append([])
            elif words[0].startswith("."):
                down = False
            elif down:
                strokes[-1].append((int(words[0]), int(words[1]), 0))
        for digit in digits:
            digit["points"] = [
                (x, y, k == len(s) - 1) for s in digit["strokes"] for k, (x, y, _) in enumerate(s)
            ]
        arrays[f"{part}_pts"] = np.array([p for digit in digits for p in digit["points"]], np.int16)
        arrays[f"{part}_len"] = np.array([len(digit["points"]) for digit in digits], np.int16)
        arrays[f"{part}_y"] = np.array([digit["y"] for digit in digits], np.int8)
        arrays[f"{part}_comment"] = np.array([digit["comment"] for digit in digits], np.int16)
    return arrays


# -- Text -------------------------------------------------------------------------------------------------------


def percent(text):
    """0..99 by the SHA-1 of the text: which split something falls into, whatever else is there."""
    return int(hashlib.sha1(text.encode()).hexdigest()[:8], 16) % 100


def normal(text):
    """NFC, one kind of space, quote and apostrophe."""
    text = unicodedata.normalize("NFC", text).translate(str.maketrans("\u2019\u2018\u201c\u201d", "''\"\""))
    return " ".join(text.split())


def words_of(text):
    return re.findall(r"[\w]+'?|[^\w\s]", text.lower())


def tatoeba_eng_fra(files, most=(2000, 3000), longest=(9, 12)):
    """fra.txt: short pairs whose words are all frequent; 3 % of the English sentences test, 3 % valid.

    The publisher renews the file every few months, so another one gives other pairs; a sentence stays in its
    split.
    """
    lines = [line.split("\t") for line in files.text("fra.txt").splitlines() if "\t" in line]
    pairs = list(dict.fromkeys((normal(line[0]), normal(line[1])) for line in lines))
    tokens = [tuple(map(words_of, pair)) for pair in pairs]
    frequent = []
    for side, number in enumerate(most):
        counted = Counter(word for pair in tokens for word in pair[side])
        frequent.append({word for word, _ in counted.most_common(number)})
    found = []
    for pair, words in zip(pairs, tokens, strict=True):
        if all(len(w) <= n and f.issuperset(w) for w, n, f in zip(words, longest, frequent, strict=True)):
            share = percent(pair[0].lower())
            found.append(("test" if share < 3 else "valid" if share < 6 else "train", *pair))
    return found


def coco_val2017_captions(files):
    """captions_val2017.json: white space squeezed; a tenth of the images is for testing."""
    found = json.loads(files.text("captions_val2017.json"))["annotations"]
    found.sort(
        key=lambda annotation: annotation["image_id"]
    )  # stable: the captions of an image keep their order
    rows = [(str(a["image_id"]), " ".join(a["caption"].split())) for a in found]
    return [("test" if percent(image) < 10 else "train", image, caption) for image, caption in rows]


STOP = """
    about above across against all along and another are around behind being between down each filled for from front
    full has have having her his inside into it's its many near next not off one other out outside over ready several
    she sitting some standing that the their them there they this three through together top two under very while who
    with
"""


def coco_val2017_keywords(files):
    """From the captions: words that at least two captions of an image use, most agreed first, at most 8."""
    captions, stop = {}, set(STOP.split())
    for _, image, caption in coco_val2017_captions(files):
        words = (word.strip("'") for word in re.findall(r"[a-z']+", caption.lower()))
        captions.setdefault(image, []).append({w for w in words if len(w) >= 3 and w not in stop})
    found = []
    for image, sets in captions.items():
        agreed = Counter(word for words in sets for word in words)
        ranked = sorted((word for word in agreed if agreed[word] > 1), key=lambda word: (-agreed[word], word))
        found.append((image, " ".join(ranked[:8])))
    return found
