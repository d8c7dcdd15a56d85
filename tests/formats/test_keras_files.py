# SPDX-License-Identifier: MIT
"""Archives of Keras as untrusted input: hostile arrays and configurations, damage, a library that crashes."""

import io
import json
import subprocess
import zipfile

import numpy as np
import pytest
from headers import refused

from rnncore.formats import keras_file, load

CONFIG = {
    "class_name": "Sequential",
    "config": {"layers": [{"class_name": "LSTM", "config": {"name": "lstm", "units": 2}}]},
}


def archive(weights, config=CONFIG, method=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        file.writestr("config.json", config if isinstance(config, (str, bytes)) else json.dumps(config))
        file.writestr("model.weights.h5", weights)
    return stream.getvalue()


def hdf5(fill):
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        fill(file.require_group("layers/lstm/cell/vars"))
    return stream.getvalue()


def sound_lstm(group):
    for k, shape in enumerate([(3, 8), (2, 8), (8,)]):
        group.create_dataset(str(k), data=np.zeros(shape, np.float32))


def huge_dataset(group):
    sound_lstm(group)
    del group["0"]
    group.create_dataset("0", shape=(2**20, 2**20), dtype="f4", chunks=(64, 64), fillvalue=1)


def external_link(group):
    import h5py

    group["0"] = h5py.ExternalLink("/etc/passwd", "/")


def external_storage(group):
    group.create_dataset("0", shape=(3, 8), dtype="f4", external=[("/etc/passwd", 0, 96)])


def text_dataset(group):
    group.create_dataset("0", data=[b"abc"])


HDF5 = {
    "huge dataset": huge_dataset,
    "external link": external_link,
    "external storage": external_storage,
    "text": text_dataset,
    "too few arrays": lambda group: group.create_dataset("0", data=np.zeros((3, 8), np.float32)),
    "names unknown": lambda group: group.create_dataset("kernel", data=np.zeros((3, 8), np.float32)),
}


def test_a_sound_archive_is_read(tmp_path):
    pytest.importorskip("h5py")
    path = tmp_path / "sound.keras"
    path.write_bytes(archive(hdf5(sound_lstm)))
    assert load(path).record().spec.hidden_size == 2


@pytest.mark.parametrize("name", HDF5)
def test_hostile_arrays_are_refused(tmp_path, name):
    pytest.importorskip("h5py")
    refused(tmp_path / "bad.keras", archive(hdf5(HDF5[name])))


@pytest.mark.parametrize(
    ("config", "method"),
    [
        ("[" * 100_000, zipfile.ZIP_STORED),
        (b"\xff", zipfile.ZIP_STORED),
        ('{"config": {"layers": [{"class_name": NaN}]}}', zipfile.ZIP_STORED),
        ("[]", zipfile.ZIP_STORED),
        ("{}", zipfile.ZIP_STORED),
        (" " * (64 * 2**20), zipfile.ZIP_DEFLATED),
    ],
    ids=["nested", "no UTF-8", "NaN", "a list", "no model", "bomb"],
)
def test_hostile_configs_are_refused(tmp_path, config, method):
    pytest.importorskip("h5py")
    refused(tmp_path / "bad.keras", archive(hdf5(sound_lstm), config, method))


def test_archive_bomb_is_refused(tmp_path):
    pytest.importorskip("h5py")
    content = archive(bytes(256 * 2**20), method=zipfile.ZIP_DEFLATED)
    error = refused(tmp_path / "bomb.keras", content)
    assert "of at most" in str(error)


def test_truncated_keras_files_are_refused(tmp_path):
    pytest.importorskip("h5py")
    content = archive(hdf5(sound_lstm))
    for end in range(0, len(content) - 1, 331):
        refused(tmp_path / "short.keras", content[:end])


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [(-11, b"", "a crash of its reader"), (1, b"warning\nOSError: bad heap\n", "OSError: bad heap")],
)
def test_a_crash_of_the_hdf5_library_is_an_error(tmp_path, monkeypatch, code, said, expected):
    pytest.importorskip("h5py")
    done = subprocess.CompletedProcess([], code, b"", said)
    monkeypatch.setattr(keras_file.subprocess, "run", lambda *args, **options: done)
    error = refused(tmp_path / "bad.h5", keras_file.SIGNATURE + bytes(100))
    assert expected in str(error)


def test_an_endless_read_is_an_error(tmp_path, monkeypatch):
    pytest.importorskip("h5py")

    def run(command, timeout, **options):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(keras_file.subprocess, "run", run)
    assert "no end after" in str(refused(tmp_path / "bad.h5", keras_file.SIGNATURE + bytes(100)))
