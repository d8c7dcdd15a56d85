# SPDX-License-Identifier: MIT
"""Ctrl-C at any moment ends the command in one sentence; a killed run goes on to the same forecast."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command import FAST, run, start, wait_for

for package in ("typer", "rich", "matplotlib", "pandas"):
    pytest.importorskip(package, reason="the command line is the extra 'cli'")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

LONG = [*FAST[:-1], "5000", "--budget", "600"]


def interrupted(process, *, times=1):
    """Interrupt the process; gives its exit code and what it wrote to standard error."""
    for _ in range(times):
        process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    return process.returncode, said


PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


def test_while_waiting_for_input(in_folder):
    with start("forecast", "-", *FAST, stdin=subprocess.PIPE, **PIPES) as process:
        # It reads once it has read: the pipe takes 64 kB, and more only when somebody takes them out.
        process.stdin.write("day,level\n" * 20_000)
        process.stdin.flush()
        code, said = interrupted(process)
    assert (code, said) == (130, "rnncore: interrupted, nothing was written\n")
    assert list(in_folder.iterdir()) == []


def test_while_the_package_loads(in_folder):
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, wanted, path=None, target=None):\n"
        "        if wanted == 'rnncore':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "import _rnncore_command\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.exit(_rnncore_command.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "rnncore: interrupted, nothing was written\n")


MOMENTS = {
    # name: code that interrupts the process from within, at a moment that an outsider cannot hit
    "while numpy loads": ("numpy", None),
    "while pandas loads": ("pandas", None),
    "while matplotlib loads": ("matplotlib.figure", None),
    "while the test runs": ("rnncore.forecast._command.study", "replace"),
    "while a picture is drawn": ("rnncore.forecast._command.picture", "explain"),
}
INTERRUPTING = """
import importlib, os, signal, sys
import rnncore.__main__
module, name = {module!r}, {name!r}

def strike(*a, **k):
    setattr(target, name, before)
    os.kill(os.getpid(), signal.SIGINT)
    return before(*a, **k)

class Finder:
    def find_spec(self, wanted, path=None, target=None):
        if wanted == module:
            os.kill(os.getpid(), signal.SIGINT)

if name is None:
    for loaded in [key for key in sys.modules if key.partition(".")[0] == module.partition(".")[0]]:
        del sys.modules[loaded]
    sys.meta_path.insert(0, Finder())
else:
    target = importlib.import_module(module)
    before = getattr(target, name)
    setattr(target, name, strike)
sys.argv = ["rnncore", "forecast", *{arguments!r}]
sys.exit(rnncore.__main__.main())
"""


@pytest.mark.parametrize("moment", MOMENTS)
def test_at_moments_that_code_can_name(good_csv, moment):
    module, name = MOMENTS[moment]
    code = INTERRUPTING.format(module=module, name=name, arguments=[str(good_csv), *FAST])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "rnncore: interrupted, nothing was written\n")
    assert {p.name for p in good_csv.parent.iterdir()} == {"good.csv"}


def test_before_the_first_step_goes_on_with_the_linear_path(good_csv):
    code = INTERRUPTING.format(
        module="rnncore.forecast._model.fitting", name="fit_linear", arguments=[str(good_csv), *FAST]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "interrupted: going on with the best networks so far" in done.stdout


def test_while_files_are_written_they_are_all_written(good_csv):
    code = INTERRUPTING.format(
        module="rnncore.forecast._command.output", name="write_bytes", arguments=[str(good_csv), *FAST]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "rnncore: interrupted, after all files were written\n")
    assert len(list(good_csv.parent.iterdir())) == 5


def test_once_while_training_goes_on_with_what_there_is(good_csv):
    options = [*LONG, "--checkpoint", "run", "--plot", "p.svg"]
    with start("forecast", good_csv, *options, **PIPES) as process:
        assert wait_for(Path("run").exists, process)
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert "interrupted: going on with the best networks so far" in said
    assert Path("forecast.csv").exists()


@pytest.mark.full
def test_twice_while_training_leaves(good_csv):
    with start("forecast", good_csv, *LONG, "--checkpoint", "run", **PIPES) as process:
        assert wait_for(Path("run").exists, process)
        os.kill(process.pid, signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        os.kill(process.pid, signal.SIGCONT)
        # The first one is noted before the second is sent: signals of one kind do not queue.
        wait_for(lambda: not pending(process.pid), process)
        code, said = interrupted(process)
    assert code in (0, 130)
    assert said in ("", "rnncore: interrupted, nothing was written\n")


def pending(pid):
    """Whether a signal waits to be taken."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return False
    masks = [
        line.split()[1] for line in status.read_text().splitlines() if line.startswith(("SigPnd", "ShdPnd"))
    ]
    return any(int(mask, 16) for mask in masks)


def test_a_killed_command_goes_on_to_the_same_forecast(good_csv):
    options = [*FAST[:-1], "60", "--budget", "600", "--checkpoint", "run", "--plot", "p.svg", "--force"]
    with start("forecast", good_csv, *options, stdout=subprocess.DEVNULL) as process:
        assert wait_for(Path("run").exists, process)
        process.send_signal(signal.SIGKILL)
    assert run("forecast", good_csv, *options, "--out", "resumed.csv").exit_code == 0
    whole = [option for option in options if option not in ("--checkpoint", "run")]
    assert run("forecast", good_csv, *whole, "--out", "whole.csv").exit_code == 0
    assert Path("resumed.csv").read_text() == Path("whole.csv").read_text()
    refused = run("forecast", good_csv, *options, "--seed", "1")
    assert refused.exit_code == 2
    assert "another run in run" in refused.stderr
