# SPDX-License-Identifier: MIT
"""`use_backend("blas")`: SciPy's BLAS, found when it is first asked for; what a machine without it is told."""

import importlib.metadata
import subprocess
import sys

import numpy as np
import pytest
from compiled import PATIENCE, assert_same_bits, clean_environment

import rnncore
from rnncore import errors
from rnncore.engine import blas

HINT = 'pip install "rnncore[blas]"'


def run_python(code):
    """What a fresh interpreter prints, line by line."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_without_scipy_one_sentence_says_what_is_needed():
    code = """
import sys
sys.modules["scipy"] = sys.modules["scipy.linalg"] = None
import numpy as np, rnncore
try:
    rnncore.use_backend("blas")
except rnncore.errors.UnsupportedError as error:
    print(error)
    print(error.status, error.field)
print(rnncore.LSTM(2, 3)(np.zeros((4, 1, 2), "float32"))[0].shape)
"""
    assert run_python(code) == [
        f"backend: expected fused or naive where there is no SciPy, got 'blas' ({HINT})",
        "UNSUPPORTED backend",
        "(4, 1, 3)",
    ]


def test_scipy_is_imported_when_it_is_asked_for():
    code = """
import sys, numpy as np, rnncore
layer, x = rnncore.LSTM(2, 3), np.zeros((4, 1, 2), "float32")
layer(x), rnncore.show_config()
print("scipy" in sys.modules)
with rnncore.use_backend("blas"):
    layer(x)
print("scipy" in sys.modules)
"""
    assert run_python(code)[-2:] == ["False", "True"]


def test_one_layer_changes_between_backends():
    layer, other = rnncore.GRU(5, 17, 2, seed=1), rnncore.GRU(5, 17, 2, seed=2)
    x = np.random.default_rng(0).standard_normal((6, 3, 5), dtype=np.float32)
    first = layer(x)[0]
    with rnncore.use_backend("blas"):
        product = layer(x)[0]
        other_product = other(x)[0]
    assert_same_bits(layer(x)[0], first)
    layer.load_state_dict(other.state_dict())
    with rnncore.use_backend("blas"):
        assert_same_bits(layer(x)[0], other_product)
    assert not np.array_equal(product, other_product)


def test_other_integers_are_refused():
    types = {"sgemm": 'capsule object "void (char *, char *, int64_t *, int64_t *, int64_t *, float *)"'}
    with pytest.raises(
        errors.UnsupportedError, match=r"^backend: expected a SciPy whose sgemm counts in int, "
    ):
        blas._function(types, "sgemm")


def test_the_report_names_scipy_or_what_is_missing(monkeypatch):
    assert blas.blas_name() == "SciPy " + importlib.metadata.version("scipy")

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert blas.blas_name() == f"none ({HINT})"
