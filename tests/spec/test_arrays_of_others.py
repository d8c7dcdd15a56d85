# SPDX-License-Identifier: MIT
"""Arrays of others are read where they lie, and results are NumPy's."""

import array

import numpy as np
import pytest

import rnncore
from rnncore import engine, errors
from rnncore.spec import as_array

X = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
FLOAT32 = (X.dtype,)
SPEC = engine.Spec("gru", 3, 4)


class Interface:
    """An array that others see by NumPy's protocol alone."""

    def __init__(self, owner):
        self.owner = owner

    def __array__(self, dtype=None, copy=None):
        return self.owner


class Dlpack:
    """An array that others see by DLPack alone."""

    def __init__(self, owner):
        self.owner = owner

    def __dlpack__(self, **options):
        return self.owner.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.owner.__dlpack_device__()


class Elsewhere(Dlpack):
    """One that lies on a device."""

    def __dlpack__(self, **options):
        raise BufferError("cannot be exported to the CPU")


def wrapped(wrapper):
    def make():
        copy = X.copy()
        return wrapper(copy), copy.ctypes.data

    return make


def of_torch():
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(X.copy())
    return tensor, tensor.data_ptr()


def of_jax():
    jax = pytest.importorskip("jax")
    found = jax.numpy.asarray(X)
    return found, found.unsafe_buffer_pointer()


def of_pyarrow():
    pyarrow = pytest.importorskip("pyarrow")
    tensor = pyarrow.Tensor.from_numpy(X.copy())
    return tensor, pyarrow.py_buffer(tensor).address


CUBES = {
    "memoryview": wrapped(memoryview),
    "__array__": wrapped(Interface),
    "DLPack": wrapped(Dlpack),
    "torch": of_torch,
    "jax": of_jax,
    "pyarrow": of_pyarrow,
}


@pytest.mark.parametrize("make", CUBES.values(), ids=CUBES)
def test_x_is_read_where_it_lies(make):
    theirs, address = make()
    assert engine.Call(SPEC, theirs).x.ctypes.data == address
    layer = rnncore.GRU(3, 4, seed=0)
    for found, wanted in zip(layer(theirs), layer(X), strict=True):
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, wanted)
    y, _, tape = layer.forward(theirs)
    assert type(layer.backward(tape, y).x) is np.ndarray


def column_of_polars():
    column = pytest.importorskip("polars").Series(X[0, 0])
    return column, column.to_numpy(allow_copy=False).ctypes.data


def column_of_pandas():
    values = X[0, 0].copy()
    return pytest.importorskip("pandas").Series(values, copy=False), values.ctypes.data


def column_of_pyarrow():
    column = pytest.importorskip("pyarrow").array(X[0, 0])
    return column, column.buffers()[1].address


def chunks_of_pyarrow():
    column, address = column_of_pyarrow()
    return pytest.importorskip("pyarrow").chunked_array([column]), address


def plain():
    values = array.array("f", X[0, 0])
    return values, values.buffer_info()[0]


COLUMNS = {
    "array.array": plain,
    "polars": column_of_polars,
    "pandas": column_of_pandas,
    "pyarrow": column_of_pyarrow,
    "pyarrow, one chunk": chunks_of_pyarrow,
}


@pytest.mark.parametrize("make", COLUMNS.values(), ids=COLUMNS)
def test_columns_are_read_where_they_lie(make):
    theirs, address = make()
    found = as_array("x", theirs, FLOAT32)
    assert found.ctypes.data == address
    np.testing.assert_array_equal(found, X[0, 0])


def test_frames_are_read_where_they_lie():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for frame in (pandas.DataFrame(X[:, 0].copy(), copy=False), polars.DataFrame(np.asfortranarray(X[:, 0]))):
        assert np.shares_memory(engine.Call(SPEC, frame).x, frame.to_numpy())


def test_an_array_on_another_device_is_refused():
    with pytest.raises(
        errors.UnsupportedError, match="x: expected what NumPy can read, got a Elsewhere: cannot be"
    ):
        rnncore.GRU(3, 4)(Elsewhere(X))
