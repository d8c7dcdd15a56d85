# SPDX-License-Identifier: MIT
"""The examples in docstrings are run."""

import doctest
import importlib.util
import pkgutil

import pytest

import rnncore

PARTS = (
    "cluster",
    "engine",
    "estimators",
    "forecast",
    "forecast._model",
    "formats",
    "layers",
    "nn",
    "reference",
    "spec",
)
FRAMEWORKS = ("jax", "torch")  # parts of their names, where they are installed


def modules():
    """Names of the package and of all modules of these parts."""
    found = ["rnncore", "rnncore.blocks", "rnncore.ragged"]
    for part in (*PARTS, *(name for name in FRAMEWORKS if importlib.util.find_spec(name))):
        package = importlib.import_module(f"rnncore.{part}")
        found += [package.__name__]
        names = [
            info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("lib")
        ]
        found += [f"{package.__name__}.{name}" for name in names]  # without the shared library of a BLAS
    return found


TESTS = {
    test.name: test
    for name in modules()
    for test in doctest.DocTestFinder(exclude_empty=True).find(
        importlib.import_module(name), extraglobs={"rnncore": rnncore}
    )
    if test.examples
}


@pytest.mark.parametrize("name", TESTS)
def test_examples_of_docstrings_hold(name):
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert runner.run(TESTS[name]).failed == 0


def test_what_users_of_layers_and_engine_call_has_an_example():
    public = [rnncore.engine.forward, rnncore.engine.record, rnncore.engine.backward, rnncore.engine.pack]
    public += [rnncore.engine.stream, rnncore.engine.tape_bytes]
    public += [rnncore.LSTM.__call__, rnncore.LSTM.forward, rnncore.LSTM.backward, rnncore.LSTM.stream]
    public += [rnncore.LSTM.tape_bytes, rnncore.LSTM.parameters, rnncore.Stream.select]
    public += [rnncore.RNN, rnncore.LSTM, rnncore.GRU]
    assert [item.__qualname__ for item in public if "Examples\n" not in item.__doc__] == []
