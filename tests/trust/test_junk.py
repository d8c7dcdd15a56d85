# SPDX-License-Identifier: MIT
"""Every argument of every public function may be junk: the answer is a result or one sentence that names it."""

import inspect
import resource
import warnings
from pathlib import Path

import junk
import numpy as np
import pytest
from sound_calls import CALLS

import rnncore
from rnncore.errors import RnncoreError, shown

# Of what is public: what is swept elsewhere or has no arguments, and what is made by the functions swept here.
ELSEWHERE = {
    "rnncore.Forecaster": "its own tests",
    "rnncore.engine.Weights": "made by pack",
    "rnncore.engine.Tape": "made by record",
    "rnncore.engine.Spares": "no arguments",
    "rnncore.nn.Batch": "made by fit",
    "rnncore.nn.Comm": "a protocol",
    "rnncore.nn.Container": "a base class",
    "rnncore.nn.Module": "a base class",
    "rnncore.nn.Run": "made by fit",
    "rnncore.formats.Contents": "made by load",
    "rnncore.formats.Record": "made by load",
    "rnncore.formats.Foreign": "made by to_system",
    "rnncore.formats.keras.model": "export checks its argument",
    "rnncore.formats.keras.save": "export checks its argument",
    "rnncore.formats.onnx.is_model": "of the door, which reads the bytes",
    "rnncore.formats.torch.is_file": "of the door, which reads the bytes",
}
HOMES = (
    rnncore,
    rnncore.nn,
    rnncore.engine,
    rnncore.formats,
    rnncore.formats.torch,
    rnncore.formats.keras,
    rnncore.formats.onnx,
    rnncore.reference,
)


@pytest.fixture(autouse=True)
def _little_memory(tmp_path, monkeypatch):
    """Whoever believes a size in junk gets none, instead of all that the machine has; files go to a folder."""
    monkeypatch.chdir(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + 4 * 2**30, before[1]))
    threads = rnncore.get_num_threads()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    rnncore.set_num_threads(threads)
    resource.setrlimit(resource.RLIMIT_AS, before)


def said(row, argument, name):
    """What a call with junk raises that is no sentence of ours; None if all is well."""
    function, arguments = row.make()
    try:
        function(**arguments | {argument: junk.JUNK[name]()})
    except RnncoreError as error:
        text = str(error)
        return None if text.isprintable() and len(text) < 2000 else f"{argument}, {name}: {text!r}"
    except (OSError, MemoryError) as error:
        # Of a path that is none the system speaks, of arrays of terabytes NumPy: both in a sentence.
        fits = (
            argument in ("path", "uri", "source", "target", "checkpoint", "folder")
            if isinstance(error, OSError)
            else "huge" in name
        )
        return None if fits else f"{argument}, {name}: {error!r}"
    except Exception as error:
        return f"{argument}, {name}: {error!r}"[:200]
    return None


def sweep(row, names):
    found = [said(row, argument, name) for argument in row.arguments() for name in names]
    return [text for text in found if text]


@pytest.mark.parametrize("row", CALLS, ids=lambda row: row.name)
def test_junk_is_refused_in_one_sentence(row):
    """A fifth of the junk, another one for each function."""
    start = CALLS.index(row) % 5
    assert sweep(row, list(junk.JUNK)[start::5]) == []


@pytest.mark.full
def test_all_junk_is_refused_in_one_sentence():
    assert [text for row in CALLS for text in sweep(row, junk.JUNK)] == []


@pytest.mark.parametrize("row", CALLS, ids=lambda row: row.name)
def test_sound_calls_are_sound(row):
    """Without junk the calls of the table work: what they raise otherwise is the junk's fault."""
    function, arguments = row.make()
    if not row.refused:
        assert set(arguments) <= set(row.arguments())
        function(**arguments)
        return
    with pytest.raises(RnncoreError):
        function(**arguments)


def public_functions():
    for home in HOMES:
        names = getattr(home, "__all__", None) or ("RNN", "LSTM", "GRU")
        for name in names:
            value = getattr(home, name)
            if callable(value) and not (inspect.isclass(value) and issubclass(value, Exception)):
                yield f"{home.__name__}.{name}", value


def test_every_public_function_is_swept():
    rows = {row.name.split("[")[0].split("(")[0] for row in CALLS}
    swept = {getattr(rnncore, name.split(".")[-1], name) for name in rows} | rows
    left = [
        name
        for name, value in public_functions()
        if name not in rows
        and value not in swept
        and name not in ELSEWHERE
        and inspect.signature(value).parameters
    ]
    assert left == []


class Bad:
    """Its own representation fails."""

    def __repr__(self):
        raise KeyError("no words")


def test_a_value_that_cannot_be_shown_is_named_by_its_type():
    for value, text in ((Bad(), "got a Bad of type Bad"), (10**5000, "got an int")):
        with pytest.raises(RnncoreError) as caught:
            rnncore.GRU(3, value)
        assert str(caught.value).endswith(text)
    assert shown("x" * 1000) == "'" + "x" * 79
    assert shown(10**5000) == "an int"
