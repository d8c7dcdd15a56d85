# SPDX-License-Identifier: MIT
"""The options `--full` and `--rest`, and fixtures that the tests of the twins and of the compiled layers share."""

import gc
import importlib

import c_library
import pytest
from selection import default_choice

IMPLEMENTATIONS = {"twin": "rnncore.reference", "fast": "rnncore"}


def pytest_addoption(parser):
    parser.addoption(
        "--full",
        action="store_true",
        help="all combinations of every grid and the long tests; without it, every pair of values once",
    )
    parser.addoption("--rest", action="store_true", help="what a run without --full leaves out")


def pytest_configure(config):
    config.addinivalue_line("markers", "full: a long test; a shorter one of its kind runs without --full")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Modules and thousands of tests stay until the end: the garbage collector need not look at them, ever."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(trylast=True)  # after -k and -m
def pytest_collection_modifyitems(config, items):
    if config.getoption("--full") or any("::" in argument for argument in config.args):
        return
    items[:], left = default_choice(items)
    if config.getoption("--rest"):
        items[:], left = left, items[:]
    if left:
        config.hook.pytest_deselected(items=left)


@pytest.fixture(scope="session")
def c_build(tmp_path_factory):
    """The folder with the C library, its examples and its tests; tests of the library and of its sources read it."""
    return c_library.build(tmp_path_factory.mktemp("c"))


@pytest.fixture(params=list(IMPLEMENTATIONS))
def implementation(request):
    """A module with the classes RNN, LSTM and GRU: the twins, or the compiled layers."""
    return importlib.import_module(IMPLEMENTATIONS[request.param])
