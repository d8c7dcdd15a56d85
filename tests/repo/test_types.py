# SPDX-License-Identifier: MIT
"""Types, as far as they can be checked without a type checker; CI has checks of its own with mypy and pyright."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

import rnncore

SCRIPT = pathlib.Path(__file__).with_name("user_script.py")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_users_script_runs():
    done = run(sys.executable, str(SCRIPT))
    assert done.returncode == 0, done.stderr


def test_the_package_says_that_it_has_types():
    assert (pathlib.Path(rnncore.__file__).parent / "py.typed").is_file()


@pytest.mark.full
def test_mypy_accepts_the_users_script():
    pytest.importorskip("mypy")
    done = run(sys.executable, "-m", "mypy", "--strict", "--python-executable", sys.executable, str(SCRIPT))
    assert done.returncode == 0, done.stdout


@pytest.mark.full
def test_every_public_name_has_a_type():
    if shutil.which("pyright") is None:
        pytest.skip("needs pyright")
    options = ("--pythonpath", sys.executable, "--ignoreexternal", "--outputjson")
    done = run("pyright", "--verifytypes", "rnncore", *options)
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    unknown = [s["name"] for s in symbols if s["isExported"] and not s["isTypeKnown"]]
    assert unknown == []
