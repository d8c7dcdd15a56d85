# SPDX-License-Identifier: MIT
"""Every kind of bad input raises the named exception and changes nothing; exceptions pickle."""

import pickle

import numpy as np
import pytest
import tables
from bad_input import BAD_INPUT, Bench

import rnncore
from rnncore import errors

BUILTINS = {
    "ShapeError": ("SHAPE", ValueError),
    "DTypeError": ("DTYPE", TypeError),
    "ArgumentError": ("ARGUMENT", ValueError),
    "FormatError": ("FORMAT", ValueError),
    "LengthsError": ("LENGTHS", ValueError),
    "OverlapError": ("OVERLAP", ValueError),
    "SizeError": ("OVERFLOW", OverflowError),
    "MemoryExhaustedError": ("OUT_OF_MEMORY", MemoryError),
    "TapeError": ("TAPE", RuntimeError),
    "UnsupportedError": ("UNSUPPORTED", ValueError),
}


@pytest.mark.parametrize("row", BAD_INPUT, ids=lambda row: row.id)
def test_bad_input_is_refused_and_touches_nothing(implementation, row):
    bench = Bench(implementation, row.layer, **dict(row.options))
    before = bench.arrays()
    with pytest.raises(errors.RnncoreError) as caught:
        row.call(bench)
    error = caught.value
    assert type(error).__name__ == row.error
    assert error.field == row.field
    assert str(error).startswith(f"{row.field}: expected ")
    for name, array in bench.arrays().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_ids_of_rows_differ():
    ids = [row.id for row in BAD_INPUT]
    assert len(ids) == len(set(ids))


def test_every_class_is_tabled():
    classes = {name for name, value in vars(errors).items() if isinstance(value, type)} - {"RnncoreError"}
    assert classes == set(BUILTINS)
    assert classes == {row.error for row in BAD_INPUT}


@pytest.mark.parametrize("name", BUILTINS)
def test_class_has_status_and_builtin_base_and_pickles(name):
    status, builtin = BUILTINS[name]
    error = getattr(errors, name)("weight_hh", "shape (4, 1)", "(1, 4)", "transposed?")
    again = pickle.loads(pickle.dumps(error))
    for one in (error, again):
        assert isinstance(one, builtin) and isinstance(one, errors.RnncoreError)
        assert (one.status, one.field, one.hint) == (status, "weight_hh", "transposed?")
        assert str(one) == "weight_hh: expected shape (4, 1), got (1, 4) (transposed?)"


def test_transposed_weight_is_named_as_such(implementation):
    bench = Bench(implementation)
    values = bench.layer.state_dict() | {"weight_hh_l0": np.zeros((4, 16))}
    with pytest.raises(errors.ShapeError) as caught:
        bench.layer.load_state_dict(values)
    assert str(caught.value) == "weight_hh_l0: expected shape (16, 4), got (4, 16) (transposed?)"


def test_refused_backward_leaves_the_tape_usable(implementation):
    bench = Bench(implementation)
    tape = bench.tape()
    with pytest.raises(errors.ShapeError):
        bench.layer.backward(tape, bench.dy[1:])
    grads = bench.layer.backward(tape, bench.dy)
    assert grads.x.shape == bench.x.shape


def test_refused_update_changes_no_parameter(implementation):
    bench = Bench(implementation)
    tape = bench.tape()
    with pytest.raises(errors.ShapeError):
        bench.layer.update_parameters({"weight_ih_l0": np.ones((16, 4)), "bias_ih_l0": np.zeros(4)})
    assert bench.layer.backward(tape, bench.dy).params["weight_ih_l0"].shape == (16, 4)


def test_interleaved_out_does_not_overlap(implementation):
    bench = Bench(implementation)
    buffer = np.zeros((bench.T, bench.N, 2 * bench.H))
    x, out = buffer[:, :, 0::2], buffer[:, :, 1::2]
    x[...] = bench.x
    y, _ = bench.layer(x, out=out)
    assert y is out
    assert tables.relative_error(out, bench.layer(bench.x)[0]) <= tables.TOLERANCES["forward", bench.dtype]


def test_reference_needs_no_compiled_core():
    assert rnncore.reference.LSTM(1, 2)(np.zeros((1, 1), np.float32))[0].shape == (1, 2)
