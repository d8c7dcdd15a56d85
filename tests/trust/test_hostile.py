# SPDX-License-Identifier: MIT
"""Hostile files of every format: one error each, nothing run, no other file read, little memory taken."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import hostile
import pytest
import read_hostile
import tables
from compiled import PATIENCE, clean_environment

import rnncore

SOUND = {"safetensors": ".safetensors", "PyTorch": ".pt", "Keras": ".keras", "ONNX": ".onnx"}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by Linux' /proc")


def missing(name):
    """The package that is needed for a file of this kind and is not there, or None."""
    needed = hostile.NEEDS.get(name.split(":")[0])
    absent = needed is not None and importlib.util.find_spec(needed) is None
    return needed if absent else None


def read(folder, names, readers):
    """What a process of its own says of these files, by name, and the traces of anything that they ran."""
    paths = {}
    for k, name in enumerate(names):
        (folder / str(k)).mkdir()
        paths[name] = str(hostile.FILES[name](folder / str(k)))
    sound = [str(folder / f"sound{SOUND[kind]}") for kind in dict.fromkeys(n.split(":")[0] for n in names)]
    for path in sound:
        if path.endswith(".keras"):
            Path(path).write_bytes(hostile.sound_keras())
        else:
            rnncore.save(hostile.LSTM, path)
    command = [sys.executable, read_hostile.__file__, str(readers), *sound, *paths.values()]
    done = subprocess.run(
        command, env=clean_environment(), cwd=folder, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    said = {line["path"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert all(error is None for path in sound for error, _ in said[path]["found"])
    return {name: said[path] for name, path in paths.items()}, list(folder.rglob("executed"))


def wrongs(name, said):
    """What is wrong with what was said of a file; empty if nothing is."""
    found = []
    for error, text in said["found"]:
        if error != "RnncoreError" and not (error is None and name in hostile.HARMLESS):
            found.append(f"{error}: {text}"[:200])
        if len(text) > 2000 or not (text or error is None) or not text.isprintable():
            found.append(f"not a sentence: {text!r}"[:200])
    over = said["memory"] - 2 * said["size"]
    return found + ([f"{over} bytes over twice its size"] if over > tables.HOSTILE_SPARE else [])


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    names = [name for name in hostile.FILES if not missing(name)]
    return read(tmp_path_factory.mktemp("hostile"), names, readers=1)


@pytest.mark.parametrize("name", hostile.FILES)
def test_a_hostile_file_is_one_error_and_takes_little_memory(answers, name):
    if missing(name):
        pytest.skip(f"needs {missing(name)}")
    said, executed = answers
    assert wrongs(name, said[name]) == []
    assert executed == []


@pytest.mark.full
def test_every_reader_refuses_every_hostile_file(tmp_path):
    names = [name for name in hostile.FILES if not missing(name)]
    said, executed = read(tmp_path, names, readers=len(read_hostile.READERS))
    assert {name: wrongs(name, said[name]) for name in names if wrongs(name, said[name])} == {}
    assert executed == []
