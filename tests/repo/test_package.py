# SPDX-License-Identifier: MIT
"""The package as users import it: every public name is there, and what is not needed is not imported."""

import subprocess
import sys

import pytest

import rnncore

# Modules that `import rnncore` must leave alone: extras, and its own parts that plain inference does not use.
NOT_IMPORTED = (
    "typer",
    "rich",
    "matplotlib",
    "scipy",
    "safetensors",
    "torch",
    "jax",
    "pandas",
    "sklearn",
    "rnncore.estimators",
    "rnncore.forecast",
    "rnncore.formats",
)


@pytest.mark.parametrize("name", rnncore.__all__)
def test_public_names_exist(name):
    assert getattr(rnncore, name) is getattr(rnncore, name)
    assert name in dir(rnncore)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'LSTN'"):
        rnncore.LSTN  # noqa: B018 (the access is the test)


def test_import_is_small():
    code = f"import sys, rnncore; print([m for m in {NOT_IMPORTED!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
