# SPDX-License-Identifier: MIT
"""The compiled layers as objects: parameters and their packing, copies, tapes, sizes at the edge.

What they share with the twins is in `test_reference_properties.py` and `test_errors.py`.
"""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tables
from compiled import (
    CELL,
    DTYPE,
    ISA,
    ISAS,
    PATIENCE,
    assert_near,
    assert_same_bits,
    build,
    clean_environment,
    draw,
    parts_of,
)

import rnncore
from rnncore import errors
from rnncore.engine import backends

SHAPE = tables.Shape(6, 5, 4, 9)
LSTM = next(cell for cell in tables.CELLS if cell.id == "lstm")
RELU = next(cell for cell in tables.CELLS if cell.id == "rnn_relu")

COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
}
COPY = pytest.mark.parametrize("clone", COPIES.values(), ids=COPIES)


def other_values(layer):
    """Parameters of the same shapes with other values."""
    return {name: -value[::-1] for name, value in layer.state_dict().items()}


# Parameters ------------------------------------------------------------------------------------------------


@CELL
@ISA
@pytest.mark.parametrize("backend", backends.BACKENDS)
@pytest.mark.parametrize("change", ["load_state_dict", "update_parameters"])
def test_next_call_sees_changed_parameters(cell, isa, backend, change):
    layer, fresh = (build(cell, SHAPE, num_layers=2, bidirectional=True) for _ in range(2))
    call = draw(layer, SHAPE.T, SHAPE.N)
    values = other_values(layer)
    fresh.load_state_dict(values)
    with rnncore.use_isa(isa), rnncore.use_backend(backend):
        before = layer(call.x)
        getattr(layer, change)(values)
        after = layer(call.x)
        assert_same_bits(after, fresh(call.x))
    assert not np.array_equal(before[0], after[0])


def test_next_backward_sees_changed_parameters():
    layer, fresh = (build(LSTM, SHAPE) for _ in range(2))
    call = draw(layer, SHAPE.T, SHAPE.N)
    layer.forward(call.x)
    layer.update_parameters(other_values(layer))
    fresh.load_state_dict(layer.state_dict())
    grads = [one.backward(one.forward(call.x)[2], call.dy) for one in (layer, fresh)]
    assert_same_bits(*grads)


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_hr_l0"])
def test_each_parameter_is_packed_anew(name):
    layer = build(LSTM, SHAPE, proj_size=3)
    call = draw(layer, SHAPE.T, SHAPE.N)
    before = layer(call.x)[0]
    layer.update_parameters({name: 2 * layer.parameters()[name]})
    assert not np.array_equal(layer(call.x)[0], before)


@CELL
def test_parameters_stay_read_only(cell):
    layer = build(cell, SHAPE)
    for view in layer.parameters().values():
        with pytest.raises(ValueError, match="read-only"):
            view[...] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.flags.writeable = True
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.setflags(write=True)
        for derived in (view.T, view.ravel(), view.view(np.uint8)):
            with pytest.raises(ValueError, match="WRITEABLE"):
                derived.flags.writeable = True


def test_views_follow_later_changes():
    layer = build(LSTM, SHAPE)
    views = layer.parameters()
    layer.load_state_dict(other_values(layer))
    assert_same_bits(views, layer.state_dict())


def test_state_dict_is_a_copy():
    layer = build(LSTM, SHAPE)
    call = draw(layer, SHAPE.T, SHAPE.N)
    before, values = layer(call.x), layer.state_dict()
    for value in values.values():
        value[...] = 0
    assert_same_bits(layer(call.x), before)


def test_loaded_arrays_are_copied():
    layer = build(LSTM, SHAPE)
    call = draw(layer, SHAPE.T, SHAPE.N)
    values = layer.state_dict()
    layer.load_state_dict(values)
    before = layer(call.x)
    for value in values.values():
        value[...] = 0
    assert_same_bits(layer(call.x), before)


def test_parameters_may_be_loaded_from_their_own_views():
    layer = build(tables.CELLS[0], SHAPE, num_layers=3)
    before, views = layer.state_dict(), layer.parameters()
    layer.update_parameters(
        {
            "weight_hh_l0": views["weight_hh_l0"].T,
            "weight_hh_l1": views["weight_hh_l2"],
            "weight_hh_l2": views["weight_hh_l1"],
        }
    )
    assert_same_bits(views["weight_hh_l0"], before["weight_hh_l0"].T)
    assert_same_bits(views["weight_hh_l1"], before["weight_hh_l2"])
    assert_same_bits(views["weight_hh_l2"], before["weight_hh_l1"])


def test_gradients_come_in_the_order_of_parameters():
    layer = build(LSTM, SHAPE, num_layers=2, bidirectional=True)
    call = draw(layer, SHAPE.T, SHAPE.N)
    params = layer.backward(layer.forward(call.x)[2], call.dy).params
    assert {name: array.shape for name, array in params.items()} == layer.spec.parameter_shapes()
    assert list(params) == list(layer.parameters())


# Copies ----------------------------------------------------------------------------------------------------


@CELL
@DTYPE
@COPY
def test_copies_compute_the_same(cell, dtype, clone):
    layer = build(cell, SHAPE, dtype, num_layers=2, dropout=0.4)
    call = draw(layer, SHAPE.T, SHAPE.N)
    layer.forward(call.x)
    other = clone(layer)
    assert repr(other) == repr(layer)
    assert_same_bits(other(call.x, call.state), layer(call.x, call.state))
    recorded = copy.deepcopy(layer).forward(call.x)[:2]
    assert_same_bits(other.forward(call.x)[:2], recorded)


@COPY
def test_copies_do_not_share_parameters(clone):
    layer = build(LSTM, SHAPE)
    call = draw(layer, SHAPE.T, SHAPE.N)
    before = layer(call.x)
    other = clone(layer)
    other.load_state_dict(other_values(other))
    assert_same_bits(layer(call.x), before)
    assert not np.array_equal(other(call.x)[0], before[0])


@COPY
def test_copies_do_not_share_masks(clone):
    layer, untouched = (build(LSTM, SHAPE, num_layers=2, dropout=0.5) for _ in range(2))
    call = draw(layer, SHAPE.T, SHAPE.N)
    clone(layer).forward(call.x)
    assert_same_bits(layer.forward(call.x)[0], untouched.forward(call.x)[0])


@COPY
def test_copies_refuse_each_others_tapes(clone):
    layer = build(LSTM, SHAPE)
    call = draw(layer, SHAPE.T, SHAPE.N)
    tape = layer.forward(call.x)[2]
    with pytest.raises(errors.TapeError):
        clone(layer).backward(tape, call.dy)
    assert layer.backward(tape, call.dy).x.shape == call.x.shape


# Tapes -----------------------------------------------------------------------------------------------------


def test_tape_keeps_what_its_call_saw():
    """Arrays of the caller may change between forward and backward, and so may everything around."""
    layer = build(LSTM, SHAPE, num_layers=2, bidirectional=True)
    call = draw(layer, SHAPE.T, SHAPE.N)
    lengths = np.array([6, 0, 3, 1, 5])
    expected = layer.backward(layer.forward(call.x, call.state, lengths=lengths)[2], call.dy, call.dstate)
    y, final, tape = layer.forward(call.x, call.state, lengths=lengths)
    for array in (y, *parts_of(final), call.x, *parts_of(call.state), lengths):
        array[...] = 1
    layer(call.x)
    with rnncore.use_isa(ISAS[-1]), rnncore.use_backend("naive"):
        assert_same_bits(layer.backward(tape, call.dy, call.dstate), expected)


def test_tapes_may_be_used_in_any_order():
    layer = build(LSTM, SHAPE)
    calls = [draw(layer, SHAPE.T, SHAPE.N, seed) for seed in range(4)]
    expected = [layer.backward(layer.forward(call.x)[2], call.dy) for call in calls]
    tapes = [layer.forward(call.x)[2] for call in calls]
    for k in (2, 0, 3, 1):
        assert_same_bits(layer.backward(tapes[k], calls[k].dy), expected[k])


def test_backward_leaves_its_arguments_alone():
    layer = build(LSTM, SHAPE)
    call = draw(layer, SHAPE.T, SHAPE.N)
    before = copy.deepcopy(call)
    layer.backward(layer.forward(call.x, call.state)[2], call.dy, call.dstate)
    assert_same_bits(call, before)


@CELL
def test_gradients_at_padding_are_ignored(cell):
    layer = build(cell, SHAPE, bidirectional=True)
    call = draw(layer, SHAPE.T, SHAPE.N)
    lengths = np.array([2, 6, 0, 4, 3])
    padding = np.arange(SHAPE.T)[:, np.newaxis] >= lengths
    expected = layer.backward(layer.forward(call.x, lengths=lengths)[2], call.dy)
    call.x[padding], call.dy[padding] = np.nan, np.nan
    assert_same_bits(layer.backward(layer.forward(call.x, lengths=lengths)[2], call.dy), expected)
    assert np.all(expected.x[padding] == 0)


def test_tape_tells_its_size():
    layer = build(LSTM, SHAPE)
    small, large = (layer.forward(draw(layer, T, 1).x)[2].nbytes for T in (1, 100))
    gates = 100 * layer.spec.gates * layer.spec.hidden_size * layer.spec.dtype.itemsize
    assert small < gates < large


# Sizes at the edge -----------------------------------------------------------------------------------------


@CELL
@pytest.mark.parametrize("backend", backends.BACKENDS)
@pytest.mark.parametrize("T, N", [(0, 3), (4, 0), (0, 0)], ids=["T0", "N0", "T0N0"])
def test_empty_calls_on_every_backend(cell, backend, T, N):
    layer = build(cell, SHAPE, num_layers=2, bidirectional=True)
    call = draw(layer, T, N)
    for lengths in (None, np.zeros(N, int)):
        with rnncore.use_backend(backend):
            y, final = layer(call.x, call.state, lengths=lengths)
        assert y.shape == (T, N, layer.spec.y_size)
        assert_same_bits(final, call.state)


def run_python(code, **environment):
    """A fresh interpreter with NumPy and rnncore imported; gives the finished process."""
    return subprocess.run(
        [sys.executable, "-c", "import numpy as np, rnncore, sys\n" + code],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


HUGE = {
    "T2^57": ((2**57, 1, 4), errors.SizeError),
    "T2^20N2^37": ((2**20, 2**37, 4), errors.SizeError),
    "T2^45": ((2**45, 1, 4), errors.MemoryExhaustedError),
}
HUGE_CALLS = {
    "call": lambda layer, x: layer(x),
    "forward": lambda layer, x: layer.forward(x),
    "run": lambda layer, x: layer.stream(1).run(x),
}


@pytest.mark.parametrize("call", HUGE_CALLS.values(), ids=HUGE_CALLS)
@pytest.mark.parametrize("shape, error", HUGE.values(), ids=HUGE)
def test_huge_inputs_fail_cleanly(call, shape, error):
    """A broadcast x takes no memory; what would hold the results does."""
    layer = build(LSTM, SHAPE)
    with pytest.raises(error):
        call(layer, np.broadcast_to(np.float32(0), shape))


def test_steps_without_rows_are_not_walked_over():
    """A broadcast x may have any number of steps of no rows; a loop over these would take days."""
    done = run_python(
        "x = np.broadcast_to(np.float32(0), (2**45, 0, 4))\n"
        "y, state = rnncore.GRU(4, 3)(x)\n"
        "assert y.shape == (2**45, 0, 3) and state.shape == (1, 0, 3)\n",
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("threads", [10**4, 2**31 - 1, 2**40])
def test_any_number_of_threads_may_be_allowed(threads):
    """num_threads is an upper bound: a call takes what its work is worth."""
    layer = build(LSTM, SHAPE)
    call = draw(layer, SHAPE.T, SHAPE.N)
    expected = layer.backward(layer.forward(call.x, num_threads=1)[2], call.dy)
    *_, tape = layer.forward(call.x, num_threads=threads)
    assert_near("gradient", "float32", vars(layer.backward(tape, call.dy)), vars(expected))
