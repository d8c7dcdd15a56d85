# SPDX-License-Identifier: MIT
"""Fixtures that the tests of the twins and of the compiled layers share."""

import importlib

import pytest

IMPLEMENTATIONS = {"twin": "rnncore.reference", "fast": "rnncore"}


@pytest.fixture(params=list(IMPLEMENTATIONS))
def implementation(request):
    """A module with the classes RNN, LSTM and GRU: the twins, or the compiled layers where they are built."""
    module = importlib.import_module(IMPLEMENTATIONS[request.param])
    if not hasattr(module, "LSTM"):
        pytest.skip(f"{module.__name__} has no compiled layers in this build")
    return module
