# SPDX-License-Identifier: MIT
"""Inside someone else's process: workers made in every way, an end with everything alive, interpreters within one."""

import importlib.util
import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import pytest
import tables
from compiled import PATIENCE, assert_same_bits, build, clean_environment, draw

import rnncore

SHAPE = tables.Shape(30, 13, 20, 45)
LSTM = next(cell for cell in tables.CELLS if cell.id == "lstm")

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
quiet_fork = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

# What processes of these tests have in common: a layer, and what calls of three kinds give.
PRELUDE = """
import hashlib, os, sys, threading
import numpy as np
import rnncore

layer = rnncore.GRU(20, 45, num_layers=2, seed=1)
x = np.random.default_rng(2).standard_normal((30, 13, 20)).astype(np.float32)


def results(_=None):
    y, h, tape = layer.forward(x, num_threads=3)
    grads = layer.backward(tape, y)
    stream = layer.stream(13)
    steps = [stream.step(row) for row in x[:5]]
    total = hashlib.sha256()
    for array in (y, h, grads.x, *grads.params.values(), *steps):
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
"""


def run(code, **environment):
    """A fresh interpreter that runs PRELUDE and the code: its output; it must end well and say nothing of errors."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PRELUDE + code],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


# Workers ---------------------------------------------------------------------------------------------------


@needs_fork
@quiet_fork
@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
def test_prefork_workers_give_the_same_bits(used):
    """The server loads the model, perhaps calls it with threads, and forks; workers predict side by side."""
    layer = build(LSTM, SHAPE, num_layers=2)
    x = draw(layer, SHAPE.T, SHAPE.N).x
    expected = build(LSTM, SHAPE, num_layers=2)(x, num_threads=1)
    if used:
        assert_same_bits(layer(x, num_threads=3), expected)
    workers = []
    for _ in range(4):
        worker = os.fork()
        if worker == 0:
            try:
                for _ in range(20):
                    assert_same_bits(layer(x, num_threads=2), expected)
                os._exit(0)
            finally:
                os._exit(1)
        workers.append(worker)
    limit = threading.Timer(PATIENCE, lambda: [os.kill(worker, signal.SIGKILL) for worker in workers])
    limit.start()
    codes = [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers]
    limit.cancel()
    assert codes == [0] * len(workers)
    assert_same_bits(layer(x, num_threads=3), expected)


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_pools_of_every_kind_give_the_same_bits(method, tmp_path):
    script = tmp_path / "pool.py"
    script.write_text(
        PRELUDE + "if __name__ == '__main__':\n"
        "    import multiprocessing\n"
        "    mine = results()\n"
        f"    with multiprocessing.get_context({method!r}).Pool(2) as pool:\n"
        "        print(*{mine, *pool.map(results, range(6))})\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", script],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == run("print(results())")


@needs_fork
def test_a_child_forked_by_another_thread_takes_signals():
    """There that thread is the main one."""
    code = """
import signal

class Stop(Exception): pass

def stop(*_): raise Stop

def child():
    out = np.full((200_000, 1, 128), np.nan, np.float32)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        rnncore.LSTM(8, 128, seed=0)(np.ones((200_000, 1, 8), np.float32), out=out)
    except Stop:
        os._exit(7 if np.isnan(out[-1]).all() else 8)
    os._exit(9)

def fork():
    worker = os.fork()
    if worker == 0: child()
    print(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]))

signal.signal(signal.SIGALRM, stop)
thread = threading.Thread(target=fork)
thread.start()
thread.join()
"""
    assert run(code) == ["7"]


# The end ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "kept = layer.stream(3), layer.forward(x, num_threads=3)[2], layer",
        "import atexit\natexit.register(lambda: print(results()))\nprint(results())",
        "cycle = [layer.stream(2), layer.forward(x, num_threads=2)]\ncycle.append(cycle)\ndel layer",
        "class Late:\n    def __del__(self, layer=layer, x=x): layer(x, num_threads=3)\nlate = Late()",
        "def calls():\n    while True: layer(x, num_threads=3)\n"
        "for _ in range(2): threading.Thread(target=calls, daemon=True).start()\nresults()",
    ],
    ids=["objects alive", "atexit", "cycles", "late call", "daemons in calls"],
)
def test_an_interpreter_ends_whatever_is_alive(code):
    printed = run(code)
    assert len(set(printed)) <= 1


# Interpreters within one process ---------------------------------------------------------------------------


def test_other_interpreters_are_refused_and_the_first_goes_on():
    name = next((n for n in ("_interpreters", "_xxsubinterpreters") if importlib.util.find_spec(n)), None)
    if name is None:
        pytest.skip("this Python has no module for interpreters within one process")
    code = f"""
import {name} as interpreters

before = results()
other = interpreters.create()
try:
    failure = interpreters.run_string(other, "import warnings; warnings.simplefilter('ignore'); import rnncore")
except Exception as error:
    failure = error
print('refused' if failure and 'ImportError' in str(failure) else failure)
interpreters.destroy(other)
print('same' if results() == before else 'other')
"""
    assert run(code) == ["refused", "same"]


# Threads ---------------------------------------------------------------------------------------------------


def test_the_number_of_threads_may_change_in_flight():
    layer = build(LSTM, SHAPE, num_layers=2)
    call = draw(layer, SHAPE.T, SHAPE.N)
    expected, before, stop = layer(call.x, num_threads=1), rnncore.get_num_threads(), threading.Event()

    def change():
        n = 0
        while not stop.is_set():
            rnncore.set_num_threads(1 + n % 5)
            n += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            assert_same_bits(layer(call.x), expected)
    finally:
        stop.set()
        thread.join()
        rnncore.set_num_threads(before)


def test_threadpoolctl_bounds_the_threads():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    code = """
import threadpoolctl
import rnncore.threadpoolctl

rnncore.set_num_threads(3)
with threadpoolctl.threadpool_limits(1): print(rnncore.get_num_threads())
with threadpoolctl.threadpool_limits({'rnncore': 2}): print(rnncore.get_num_threads())
with threadpoolctl.threadpool_limits(1, user_api='blas'): print(rnncore.get_num_threads())
mine, = [pool for pool in threadpoolctl.threadpool_info() if pool['user_api'] == 'rnncore']
print(rnncore.get_num_threads(), mine['num_threads'], mine['version'] == rnncore.__version__)
"""
    assert threadpoolctl.__version__
    assert run(code) == ["1", "2", "3", "3", "3", "True"]
