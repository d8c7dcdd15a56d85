# SPDX-License-Identifier: MIT
"""What callers can do that nobody means: streams that were never made, numbers of threads, memory that is not there."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from compiled import PATIENCE, clean_environment

import rnncore
from rnncore import errors
from rnncore.layers import Stream

UNMADE = {
    "step": lambda stream: stream.step(np.ones(3, np.float32)),
    "step to out": lambda stream: stream.step(np.ones(3, np.float32), np.ones(4, np.float32)),
    "run": lambda stream: stream.run(np.ones((2, 3), np.float32)),
    "select": lambda stream: stream.select([0]),
    "state": lambda stream: stream.state,
    "set state": lambda stream: setattr(stream, "state", None),
    "reset": lambda stream: stream.reset(),
    "copy": copy.copy,
    "pickle": pickle.dumps,
}


@pytest.mark.parametrize("name", UNMADE)
def test_a_stream_that_was_never_made_says_so(name):
    with pytest.raises(errors.ArgumentError, match="never initialised"):
        UNMADE[name](Stream.__new__(Stream))
    assert repr(Stream.__new__(Stream)) == "Stream(never initialised)"


def test_a_stream_that_failed_to_start_is_none():
    stream = Stream.__new__(Stream)
    with pytest.raises(errors.SizeError):
        stream.__init__(rnncore.GRU(3, 4), 2**31)
    with pytest.raises(errors.ArgumentError, match="never initialised"):
        stream.step(np.ones(3, np.float32))
    stream.__init__(rnncore.GRU(3, 4, seed=0))
    assert stream.step(np.ones(3, np.float32)).shape == (4,)
    with pytest.raises(errors.UnsupportedError, match="a second one"):
        stream.__init__(rnncore.GRU(3, 4))


THREADS = """
import os, numpy as np, rnncore
layer, x = rnncore.LSTM(64, 256, seed=0), np.ones((4, 4096, 64), np.float32)
y = layer(x, num_threads=1)[0]
before = len(os.listdir("/proc/self/task"))
rnncore.set_num_threads(2**40)
assert (layer(x)[0] == y).all() and (layer(x, num_threads=1024)[0] == y).all()
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
@pytest.mark.parametrize("variable", ["", "1024"])
def test_a_thousand_threads_are_not_started(variable):
    environment = clean_environment(**({"RNNCORE_NUM_THREADS": variable} if variable else {}))
    done = subprocess.run(
        [sys.executable, "-c", THREADS], env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert 1 <= int(done.stdout) < max(16, 4 * os.cpu_count())


@pytest.mark.parametrize("number", ["0", "-1", "two", "1e3", "9" * 5000, "²"])
def test_a_number_of_threads_that_is_none_is_one_sentence(number):
    done = subprocess.run(
        [sys.executable, "-c", "import rnncore"],
        env=clean_environment(RNNCORE_NUM_THREADS=number),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert "ArgumentError: RNNCORE_NUM_THREADS: expected an integer >= 1" in done.stderr


LITTLE = """
import resource, numpy as np, rnncore
from rnncore import errors
head = rnncore.Linear(4096, 4096, seed=0)
layer = rnncore.LSTM(1024, 1024, seed=0)
state = layer.state_dict()
x = np.zeros((64, 64, 1024), np.float32)
mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + 2**24, -1))
for call in (
    lambda: rnncore.Adam(head),
    lambda: rnncore.SGD(head, momentum=0.5),
    lambda: rnncore.Linear(4096, 4096),
    lambda: rnncore.nn.Embedding(4096, 4096),
    lambda: rnncore.GRU(2048, 2048),
    lambda: layer.state_dict(),
    lambda: layer.load_state_dict(layer.parameters()),
    lambda: layer.forward(x),
    lambda: layer(np.zeros((1, 1, 1024), np.float32)),
    lambda: layer.stream(),
):
    try:
        call()
    except errors.MemoryExhaustedError as error:
        print(error.field)
    except MemoryError as error:
        print("plain", error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is Linux'")
def test_memory_that_is_not_there_is_one_error():
    done = subprocess.run(
        [sys.executable, "-c", LITTLE],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    fields = done.stdout.splitlines()
    assert "plain" not in done.stdout and len(fields) == 10, fields
