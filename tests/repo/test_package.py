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


# What the standard library has on POSIX systems only.
POSIX = {
    "modules": ("fcntl", "grp", "posix_ipc", "pwd", "resource", "syslog", "termios"),
    "names": ("fork", "getloadavg", "getuid", "register_at_fork", "sched_getaffinity", "uname"),
}

ELSEWHERE = """
import multiprocessing, os, platform, subprocess, sys, tempfile
import numpy as np
for name in MODULES:
    sys.modules[name] = None  # importing it is an ImportError
for name in NAMES:
    delattr(os, name)
import rnncore, rnncore.formats, rnncore.nn, rnncore.reference
layer = rnncore.LSTM(3, 8, seed=0)
with tempfile.TemporaryDirectory() as folder:
    layer.save(os.path.join(folder, "layer.safetensors"))
    again = rnncore.load(os.path.join(folder, "layer.safetensors"))
x = np.ones((40, 9, 3), np.float32)
rnncore.set_num_threads(2)
print(np.array_equal(layer(x)[0], again(x)[0]))
"""


def test_nothing_assumes_posix():
    code = ELSEWHERE.replace("MODULES", repr(POSIX["modules"])).replace("NAMES", repr(POSIX["names"]))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


def test_import_is_small():
    code = f"import sys, rnncore; print([m for m in {NOT_IMPORTED!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
