# SPDX-License-Identifier: MIT
"""The examples' data: where it is looked for, and how it is made from the publishers' formats (small samples)."""

import json
import zipfile

import numpy as np
import pytest

from examples import data, prepare

BIKE_COLUMNS = (
    "instant,dteday,season,yr,mnth,hr,holiday,weekday,workingday,weathersit,temp,atemp,hum,windspeed,casual,"
    "registered,cnt\n"
)
BIKE = f"""{BIKE_COLUMNS}\
1,2011-01-01,1,0,1,0,0,6,0,1,0.24,0.2879,0.81,0,3,13,16
2,2012-12-31,1,1,12,23,0,1,1,2,0.26,0.2727,0.65,0.1343,12,37,49
"""
DIGITS = """.VERSION 1.0
.LEXICON "0" "1"

.SEGMENT DIGIT 0-1 ? "8"
.COMMENT  8 12 224
.PEN_DOWN
 267  333
 271  330
.PEN_UP
.DT 151
.PEN_DOWN
 250  310
.PEN_UP
.DT 100

.SEGMENT DIGIT 2 ? "1"
.COMMENT  1 3 225
.PEN_DOWN
 100   50
.PEN_UP
"""


def write(folder, **files):
    """A zip file of these contents, names with _ for the dot, in a folder of the archive."""
    path = folder / "original.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr("inside/" + name.replace("__", "."), text)
    return prepare.Files(path)


def test_bike_hour(tmp_path):
    found = prepare.bike_hour(write(tmp_path, hour__csv=BIKE))
    assert found["dteday"].tolist() == [b"1/1/11", b"12/31/12"]
    assert found["cnt"].tolist() == [16, 49]
    assert found["windspeed"].tolist() == [0, np.float32(0.1343)]
    assert not {"instant", "season"} & set(found)


def test_beijing_pm25(tmp_path):
    head = "No,year,month,day,hour,pm2.5,DEWP,TEMP,PRES,cbwd,Iws,Is,Ir\n"
    lines = [f"{k + 1},2010,1,{1 + k // 24},{k % 24},NA,-21,-11,1021,NW,1.79,0,0\n" for k in range(25)]
    lines.append("26,2010,1,2,1,148,-15,-4,1020,cv,2.68,1,0\n")
    path = tmp_path / "PRSA_data_2010.1.1-2014.12.31.csv"
    path.write_text(head + "".join(lines))
    found = prepare.beijing_pm25(prepare.Files(path))
    assert found["date"].tolist() == [350664, 350665]
    assert found["pollution"].tolist() == [0, 148]  # not measured: 0
    assert found["wnd_dir_names"][found["wnd_dir"]].tolist() == ["NW", "CV"]


@pytest.mark.parametrize("end", ["", "1.0 " * 12], ids=["blank", "ones"])
def test_japanese_vowels(tmp_path, end):
    frames = [[" ".join(["0.5"] * 12), " ".join(["-1"] * 12)], [" ".join(["2"] * 12)]]
    text = "".join("\n".join(block) + f"\n{end}\n" for block in frames)
    for name, content in {
        "ae.train": text,
        "ae.test": text,
        "size_ae.train": "1 1 ",
        "size_ae.test": "0 2\n",
    }.items():
        (tmp_path / name).write_text(content)
    found = prepare.japanese_vowels(prepare.Files(tmp_path))
    assert found["train_x"][:, 0].tolist() == [0.5, -1, 2]
    assert found["train_len"].tolist() == [2, 1]
    assert found["train_y"].tolist() == [0, 1]
    assert found["test_y"].tolist() == [1, 1]


def test_pendigits_unipen(tmp_path):
    files = {"pendigits-orig__tra": DIGITS, "pendigits-orig__tes": DIGITS}
    found = prepare.pendigits_unipen(write(tmp_path, **files))
    assert found["train_pts"].tolist() == [[267, 333, 0], [271, 330, 1], [250, 310, 1], [100, 50, 1]]
    assert found["test_len"].tolist() == [3, 1]
    assert found["test_y"].tolist() == [8, 1]
    assert found["test_comment"].tolist() == [[8, 12, 224], [1, 3, 225]]


def test_tatoeba_eng_fra(tmp_path):
    rare = "".join(f"Word{k}!\tMot !\tnote\n" for k in range(3))
    text = "Go.\tVa !\tnote\nGo.\tVa !\tnote\nHe\u2019s  here.\tIl est l\u00e0.\tnote\n" + rare
    found = prepare.tatoeba_eng_fra(write(tmp_path, fra__txt=text), most=(6, 8), longest=(4, 4))
    assert ("valid", "He's here.", "Il est l\u00e0.") in found
    assert [pair[1:] for pair in found].count(("Go.", "Va !")) == 1
    assert {split for split, english, _ in found if english == "Go."} == {"test"}
    assert len(found) < 5  # the words seen last are not among the frequent ones


def test_coco(tmp_path):
    captions = ["A dog's  bone.", "The dog runs near a 'bone'", "dogs"]
    annotations = [
        {"image_id": 285, "caption": "A bear."},
        *({"image_id": 139, "caption": c} for c in captions),
    ]
    path = tmp_path / "captions_val2017.json"
    path.write_text(json.dumps({"annotations": annotations}))
    found = prepare.coco_val2017_captions(prepare.Files(path))
    assert [row[1:] for row in found] == [
        ("139", "A dog's bone."),
        ("139", "The dog runs near a 'bone'"),
        ("139", "dogs"),
        ("285", "A bear."),
    ]
    assert {row[0] for row in found} <= {"train", "test"}
    assert prepare.coco_val2017_keywords(prepare.Files(path)) == [("139", "bone"), ("285", "")]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected hour\.csv"):
        prepare.bike_hour(prepare.Files(tmp_path))


# The loader ------------------------------------------------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """An empty cache, and no data elsewhere."""
    monkeypatch.setenv("RNNCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RNNCORE_DATA", raising=False)
    monkeypatch.setattr(data, "ROOT", tmp_path / "repository")
    return tmp_path


def test_one_sentence_where_nothing_is_found(nowhere):
    with pytest.raises(data.DataNotFoundError) as caught:
        data.load("bike_hour")
    for part in ("archive.ics.uci.edu", "python -m examples.data bike_hour", "RNNCORE_DATA"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("below", [".", "data"])
def test_the_variable_names_the_data_folder_or_what_holds_it(nowhere, monkeypatch, below):
    lines = [("139", "table woman"), ("285", "b\u00e4r")]
    data.write(nowhere / "given" / below / data.SOURCES["coco_val2017_keywords"].file, lines)
    monkeypatch.setenv("RNNCORE_DATA", str(nowhere / "given"))
    assert data.load("coco_val2017_keywords") == lines


def test_the_cache_takes_what_has_the_checksum(nowhere, monkeypatch):
    (nowhere / "hour.csv").write_text(BIKE)
    with pytest.raises(ValueError, match="expected contents with SHA-256"):
        data.store("bike_hour", nowhere / "hour.csv")
    assert not (nowhere / "cache").exists()
    data.store("bike_hour", nowhere / "hour.csv", changed=True)
    assert data.load("bike_hour")["registered"].tolist() == [13, 37]


@pytest.mark.parametrize("name", data.SOURCES)
def test_the_data_here_is_what_the_checksums_say(name):
    try:
        found = data.load(name)
    except data.DataNotFoundError as error:
        pytest.skip(str(error))
    assert data.checksum(found) == data.SOURCES[name].sha256
