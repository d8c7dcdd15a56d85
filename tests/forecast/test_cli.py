# SPDX-License-Identifier: MIT
"""The command line around the forecast: version, completion, missing extras, the other commands."""

import subprocess
import sys

import numpy as np
import pytest
from command import run

import rnncore

for package in ("typer", "rich", "matplotlib", "pandas"):
    pytest.importorskip(package, reason="the command line is the extra 'cli'")


def test_version():
    result = run("--version")
    assert (result.exit_code, result.output) == (0, f"rnncore {rnncore.__version__}\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_offered(shell):
    code = "import sys; from rnncore.__main__ import main; sys.argv = ['rnncore', '--help']; sys.exit(main())"
    environment = {"_RNNCORE_COMPLETE": f"source_{shell}", "PATH": "", "HOME": "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "_RNNCORE_COMPLETE" in done.stdout


def test_completion_knows_the_options():
    environment = {
        "_RNNCORE_COMPLETE": "complete_bash",
        "COMP_WORDS": "rnncore forecast --col",
        "COMP_CWORD": "2",
        "HOME": "/nowhere",
    }
    code = "import sys; from rnncore.__main__ import main; sys.argv = ['rnncore']; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout.split() == ["--column"]
    environment |= {"COMP_WORDS": "rnncore forecast --fill p", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout.split() == ["previous"]


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_a_missing_extra_is_named(package):
    code = f"import sys; sys.modules[{package!r}] = None; from rnncore.__main__ import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert 'pip install "rnncore[cli]"' in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("package", ["pandas", "matplotlib"])
def test_a_missing_package_of_the_forecast_is_named(in_folder, package):
    code = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv = ['rnncore', 'forecast']; "
        "from rnncore.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f'needs the package {package}: pip install "rnncore[cli]"' in done.stderr.replace("\n", " ")


def test_info_shows_the_configuration():
    table, text = run("info"), run("info", "--json")
    assert table.exit_code == text.exit_code == 0
    assert "version" in table.output
    assert '"version"' in text.output


def test_models_are_converted_and_inspected(in_folder):
    layer = rnncore.GRU(3, 4, num_layers=2, seed=0)
    layer.save("first.safetensors")
    assert run("convert", "first.safetensors", "second.safetensors").exit_code == 0
    loaded = rnncore.load("second.safetensors")
    for name, value in layer.parameters().items():
        np.testing.assert_array_equal(loaded.parameters()[name], value)
    assert run("inspect", "second.safetensors").exit_code == 0
    assert run("inspect", "missing.safetensors").exit_code == 2


def test_bench_is_mounted():
    assert run("bench", "list").exit_code == 0
    assert run("bench", "no-such-set").exit_code == 2
