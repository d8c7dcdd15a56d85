# SPDX-License-Identifier: MIT
"""The layers among threads and processes: shared by threads, across fork, and what the environment asks for."""

import contextlib
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import tables
from compiled import CELL, ISAS, PATIENCE, assert_same_bits, build, clean_environment, draw, flat

import rnncore
from rnncore import errors
from rnncore.engine import backends

# Work for several threads in one call.
SHAPE = tables.Shape(30, 13, 20, 45)
LSTM = next(cell for cell in tables.CELLS if cell.id == "lstm")


def run_python(code, **environment):
    """What a fresh interpreter with NumPy and rnncore imported prints; fails if it fails."""
    done = start_python(code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def start_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", "import os, time, numpy as np, rnncore\n" + code],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@contextlib.contextmanager
def again_and_again(function):
    """Another thread calls the function all the while."""
    stop = threading.Event()

    def run():
        while not stop.is_set():
            function()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


# Threads ---------------------------------------------------------------------------------------------------


@CELL
def test_many_threads_call_one_layer_while_another_updates_it(cell):
    """Every result is that of one set of parameters or of the other, never of a mixture."""
    layer = build(cell, SHAPE, num_layers=2)
    call = draw(layer, SHAPE.T, SHAPE.N)
    values = [layer.state_dict(), {name: -value for name, value in layer.state_dict().items()}]
    expected = []
    for value in values:
        layer.load_state_dict(value)
        expected.append(layer(call.x))
    failures, stop = [], threading.Event()

    def call_again(threads, calls=25):
        try:
            stream = layer.stream(SHAPE.N)
            for k in range(calls):
                y, state = layer(call.x, num_threads=threads) if k % 3 else layer.forward(call.x)[:2]
                matches = [np.array_equal(y, other) for other, _ in expected]
                assert any(matches), "a mixture of parameters"
                assert_same_bits(state, expected[matches.index(True)][1])
                stream.reset()
                step = stream.step(call.x[0])
                assert any(np.array_equal(step, other[0]) for other, _ in expected), "a stale or mixed step"
        except BaseException as error:
            failures.append(error)

    def update():
        k = 0
        while not stop.is_set():
            layer.load_state_dict(values[k % 2])
            k += 1

    updater = threading.Thread(target=update)
    callers = [threading.Thread(target=call_again, args=(threads,)) for threads in (1, 2, 3, 2)]
    for thread in (updater, *callers):
        thread.start()
    for thread in callers:
        thread.join()
    stop.set()
    updater.join()
    assert not failures, failures


def test_threads_train_with_one_layer():
    layer = build(LSTM, SHAPE, num_layers=2, bidirectional=True)
    calls = [draw(layer, SHAPE.T, SHAPE.N, seed) for seed in range(4)]

    def gradients(call):
        *_, tape = layer.forward(call.x, num_threads=2)
        return flat(layer.backward(tape, call.dy))

    expected = [gradients(call) for call in calls]
    got = [[] for _ in calls]

    def train(k):
        got[k] = [gradients(calls[k]) for _ in range(5)]

    threads = [threading.Thread(target=train, args=(k,)) for k in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, results in enumerate(got):
        assert len(results) == 5
        for result in results:
            for path, array in result.items():
                assert_same_bits(array, expected[k][path])


def test_gil_is_released_during_a_call():
    """No thread is ever asked to give up the GIL: the other one can only run while a call has released it."""
    layer = build(LSTM, tables.Shape(1, 1, 64, 256))
    x = draw(layer, 60, 16).x
    start, ran = threading.Lock(), []
    start.acquire()

    def run():
        with start:
            ran.append(True)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(PATIENCE)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        start.release()
        assert not ran
        for _ in range(1000):
            layer(x, num_threads=1)
            if ran:
                break
        released = bool(ran)
    finally:
        sys.setswitchinterval(interval)
        thread.join()
    assert released


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
def test_a_call_takes_as_many_threads_as_it_is_allowed():
    counts = run_python(
        "layer = rnncore.LSTM(20, 45, 2, seed=0)\n"
        "x = np.ones((30, 13, 20), np.float32)\n"
        "count = lambda: len(os.listdir('/proc/self/task'))\n"
        "start = count()\n"
        "for threads, more in ((1, 0), (3, 2), (2, 2), (None, 2), (4, 3)):\n"
        "    layer(x, num_threads=threads)\n"
        "    while count() - start > more: time.sleep(0.01)  # a joined thread is listed until the system drops it\n"
        "    print(count() - start)\n",
        RNNCORE_NUM_THREADS="1",
    )
    assert counts == ["0", "2", "2", "2", "3"]


# Fork ------------------------------------------------------------------------------------------------------

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
quiet_fork = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def same_in_child(compute, expected):
    """Whether compute() gives these bits in a forked child, which is killed if it is stuck."""
    child = os.fork()
    if child == 0:
        try:
            assert_same_bits(compute(), expected)
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
        finally:
            os._exit(1)
    limit = threading.Timer(PATIENCE, os.kill, (child, signal.SIGKILL))
    limit.start()
    _, status = os.waitpid(child, 0)
    limit.cancel()
    return os.waitstatus_to_exitcode(status) == 0


@needs_fork
@quiet_fork
@CELL
def test_forked_child_computes_the_same(cell):
    layer = build(cell, SHAPE, num_layers=2, bidirectional=True)
    call = draw(layer, SHAPE.T, SHAPE.N)

    def compute():
        y, state, tape = layer.forward(call.x, call.state, num_threads=3)
        return y, state, vars(layer.backward(tape, call.dy))

    expected = compute()
    assert same_in_child(compute, expected)
    assert_same_bits(compute(), expected)


@needs_fork
@quiet_fork
def test_fork_while_another_thread_is_in_a_call():
    layer = build(LSTM, SHAPE, num_layers=2)
    call = draw(layer, SHAPE.T, SHAPE.N)
    expected = layer(call.x)

    with again_and_again(lambda: layer(call.x, num_threads=3)):
        for _ in range(5):
            assert same_in_child(lambda: layer(call.x, num_threads=3), expected)


@needs_fork
@quiet_fork
def test_fork_waits_for_an_update_of_another_thread():
    """The child has all of the update, and may pack and update."""
    layer = build(LSTM, SHAPE)
    x = draw(layer, SHAPE.T, SHAPE.N).x
    after = {name: -value for name, value in layer.state_dict().items()}
    other = build(LSTM, SHAPE)
    other.load_state_dict(after)
    half, end = threading.Event(), threading.Event()

    def update():
        with layer.writing() as parameters:
            for k, (name, value) in enumerate(after.items()):
                parameters[name][...] = value
                if k == 1:
                    half.set()
                    end.wait(0.2)

    def compute():
        layer.update_parameters({})
        return layer(x)

    thread = threading.Thread(target=update)
    thread.start()
    half.wait()
    assert same_in_child(compute, other(x))
    thread.join()
    assert_same_bits(layer(x), other(x))


@needs_fork
@quiet_fork
def test_forks_beside_updates_find_one_set_of_parameters():
    layer = build(LSTM, SHAPE)
    x = draw(layer, SHAPE.T, SHAPE.N).x
    values = [layer.state_dict(), {name: -value for name, value in layer.state_dict().items()}]
    expected = []
    for value in values:
        layer.load_state_dict(value)
        expected.append(layer(x)[0])

    def update():
        for value in values:
            layer.load_state_dict(value)
            layer(x[:1])

    def compute():
        y = layer(x, num_threads=1)[0]
        return [np.array(any(np.array_equal(y, other) for other in expected))]

    with again_and_again(update):
        for _ in range(10):
            assert same_in_child(compute, [np.array(True)])


@needs_fork
@quiet_fork
def test_a_thread_may_fork_inside_its_own_update():
    layer = build(LSTM, SHAPE)
    x = draw(layer, SHAPE.T, SHAPE.N).x
    expected = layer(x)
    with layer.writing():
        assert same_in_child(lambda: layer(x), expected)


# Choices ---------------------------------------------------------------------------------------------------


def test_use_isa_nests_and_ends():
    layer = build(LSTM, SHAPE)
    outside = backends.current_isa()
    with rnncore.use_isa(ISAS[-1]):
        assert layer.stream().weights.plan.isa == backends.current_isa() == ISAS[-1]
        with rnncore.use_isa(ISAS[0]):
            assert layer.stream().weights.plan.isa == backends.current_isa() == ISAS[0]
        with pytest.raises(RuntimeError, match="inside"), rnncore.use_isa(ISAS[0]):
            raise RuntimeError("inside")
        assert backends.current_isa() == ISAS[-1]
    assert backends.current_isa() == outside


def test_use_isa_holds_for_its_own_thread():
    seen = []
    with rnncore.use_isa(ISAS[-1]):
        thread = threading.Thread(target=lambda: seen.append(backends.current_isa()))
        thread.start()
        thread.join()
    assert seen == [ISAS[0]]


def test_use_backend_nests_and_ends():
    with rnncore.use_backend("naive"):
        with rnncore.use_backend("blas"):
            assert backends.current_backend() == "blas"
        with pytest.raises(RuntimeError, match="inside"), rnncore.use_backend("fused"):
            raise RuntimeError("inside")
        assert backends.current_backend() == "naive"
    assert backends.current_backend() == "fused"


@pytest.mark.parametrize("bad", ["z80", "", "AVX2", None, 2])
@pytest.mark.parametrize("field, use", [("isa", rnncore.use_isa), ("backend", rnncore.use_backend)])
def test_unknown_choices_are_refused_at_once(field, use, bad):
    with pytest.raises(errors.ArgumentError) as caught:
        use(bad)
    assert caught.value.field == field
    assert (backends.current_isa(), backends.current_backend()) == (ISAS[0], "fused")


def test_isas_end_with_scalar():
    assert ISAS[-1] == "scalar" and len(set(ISAS)) == len(ISAS)


def test_number_of_threads_is_one_of_the_process():
    before = rnncore.get_num_threads()
    try:
        rnncore.set_num_threads(before + 3)
        assert rnncore.get_num_threads() == before + 3
        for bad in (0, -1, 1.5, "2", None, True):
            with pytest.raises(errors.ArgumentError):
                rnncore.set_num_threads(bad)
        assert rnncore.get_num_threads() == before + 3
    finally:
        rnncore.set_num_threads(before)


# The environment -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isa", ISAS)
def test_environment_caps_the_instruction_set(isa):
    below = ISAS[ISAS.index(isa) :]
    code = "print(rnncore.engine.backends.current_isa(), rnncore.LSTM(1, 2).stream().weights.plan.isa, *rnncore.isas())"
    assert run_python(code, RNNCORE_ISA=isa) == [isa, isa, *below]


def test_capped_instruction_sets_cannot_be_used():
    done = start_python(f"rnncore.use_isa({ISAS[0]!r})", RNNCORE_ISA=ISAS[-1])
    if len(ISAS) > 1:
        assert done.returncode != 0 and "ArgumentError: isa: expected one of scalar" in done.stderr
    else:
        assert done.returncode == 0


def test_environment_sets_the_number_of_threads():
    assert run_python("print(rnncore.get_num_threads())", RNNCORE_NUM_THREADS="3") == ["3"]
    assert run_python("print(rnncore.get_num_threads())", RNNCORE_NUM_THREADS="") == run_python(
        "from rnncore.engine import cores; print(cores.usable())"
    )


@pytest.mark.parametrize(
    "name, value",
    [("RNNCORE_ISA", "z80"), ("RNNCORE_NUM_THREADS", "0"), ("RNNCORE_NUM_THREADS", "two")],
)
def test_nonsense_in_the_environment_is_named(name, value):
    done = start_python("", **{name: value})
    assert done.returncode != 0
    assert f"ArgumentError: {name}: expected " in done.stderr and repr(value) in done.stderr


def test_show_config_names_what_matters(capsys):
    rnncore.show_config()
    shown = capsys.readouterr().out
    for word in (ISAS[0], np.__version__, "threads", "blas"):
        assert word in shown
