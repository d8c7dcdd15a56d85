# SPDX-License-Identifier: MIT
"""Fixtures of the examples' tests."""

import importlib

import pytest


@pytest.fixture
def shorten(monkeypatch):
    """A function that shortens an example's quick run: few rows of its data, other settings, a glance at the speed."""
    data = importlib.import_module("examples.data")

    def change(name, few, settings):
        program = importlib.import_module(f"examples.{name}.__main__")
        load, compare = data.load, program.compare_speed
        monkeypatch.setattr(data, "load", lambda source: few(load(source)))
        monkeypatch.setattr(program, "QUICK", program.QUICK | settings)
        glance = lambda *args, seconds, **options: compare(*args, seconds=0, **options)  # noqa: E731
        monkeypatch.setattr(program, "compare_speed", glance)

    return change
