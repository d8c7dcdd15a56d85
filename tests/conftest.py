# SPDX-License-Identifier: MIT
"""Fixtures that the tests of the twins and of the compiled layers share."""

import importlib

import pytest

IMPLEMENTATIONS = {"twin": "rnncore.reference", "fast": "rnncore"}


@pytest.fixture(params=list(IMPLEMENTATIONS))
def implementation(request):
    """A module with the classes RNN, LSTM and GRU: the twins, or the compiled layers."""
    return importlib.import_module(IMPLEMENTATIONS[request.param])
