# SPDX-License-Identifier: MIT
"""Columns of tensors, Arrow's own and Ray's: what they show is what a model reads, in their own memory."""

import numpy as np
import pytest
import scoring

import rnncore
from rnncore import errors
from rnncore.cluster import Scorer, arrow

pyarrow = pytest.importorskip("pyarrow", reason="scorers read Arrow's record batches")

NUMBERS = np.arange(5 * 4 * 3, dtype=np.float32).reshape(5, 4, 3) / 60
"""Five sequences of four steps of three features."""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Layers of one and of three features, and their files."""
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for features in (1, 3):
        layer = rnncore.GRU(features, 4, seed=0)
        layer.save(folder / f"{features}.safetensors")
        found[features] = layer, Scorer(folder / f"{features}.safetensors", "x", steps="last")
    return found


def of_arrow(array):
    return pyarrow.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(array))


def of_ray(rows):
    """As Ray makes them of NumPy's arrays, in one block."""
    pytest.importorskip("ray", reason="ray is not installed")
    kinds = pytest.importorskip("ray.data._internal.tensor_extensions.arrow", reason="another version of ray")
    return kinds.ArrowTensorArray.from_numpy(rows)


def ragged(array):
    """Views of different lengths, of 4, 3, 2, 1 and 4 steps."""
    found = np.empty(len(array), object)
    found[:] = [one[k % 4 :] for k, one in enumerate(array)]
    return found


COLUMNS = {
    "arrow": (of_arrow, NUMBERS),
    "ray": (of_ray, NUMBERS),
    "ray, of various lengths": (of_ray, ragged(NUMBERS)),
    "arrow, one feature": (of_arrow, NUMBERS[:, :, 0]),
    "ray, one feature": (of_ray, NUMBERS[:, :, 0]),
    "ray, one feature, of various lengths": (of_ray, ragged(NUMBERS[:, :, 0])),
}


@pytest.mark.parametrize("cut", [slice(0, 5), slice(1, 4), slice(2, 2)], ids=["whole", "slice", "empty"])
@pytest.mark.parametrize("name", COLUMNS)
def test_results_are_those_of_each_sequence_alone(name, cut, models):
    make, rows = COLUMNS[name]
    features = rows[0].shape[1] if rows[0].ndim == 2 else 1
    layer, scorer = models[features]
    found = scorer(pyarrow.record_batch({"x": make(rows)})[cut])["score"].to_pylist()
    assert found == [scoring.alone(layer, features, one.tolist(), "last") for one in rows[cut]]


@pytest.mark.parametrize("name", COLUMNS)
def test_sequences_lie_where_the_tensors_do(name):
    make, rows = COLUMNS[name]
    tensors = make(rows)
    data = tensors.storage
    numbers = (data.field("data") if pyarrow.types.is_struct(data.type) else data).values
    found = arrow.Sequences(pyarrow.record_batch({"x": tensors}), ["x"]).parts[0]
    assert found.values.ctypes.data == numbers.buffers()[1].address
    assert found.lengths.tolist() == [len(one) for one in rows]


def test_null_tensors_are_null_results(models):
    layer, scorer = models[3]
    kind = pyarrow.fixed_shape_tensor(pyarrow.float32(), (4, 3))
    storage = pyarrow.array(
        [None, NUMBERS[1].ravel(), None, NUMBERS[3].ravel()], pyarrow.list_(pyarrow.float32(), 12)
    )
    for cut in (slice(0, 4), slice(2, 4)):
        column = pyarrow.ExtensionArray.from_storage(kind, storage[cut])
        found = scorer(pyarrow.record_batch({"x": column}))["score"].to_pylist()
        rows = [None, NUMBERS[1].tolist(), None, NUMBERS[3].tolist()][cut]
        assert found == [scoring.alone(layer, 3, one, "last") for one in rows]


@pytest.mark.parametrize(
    "column, error, text",
    [
        (lambda: of_arrow(NUMBERS.reshape(5, 2, 2, 3)), errors.UnsupportedError, "expected tensors of shape"),
        (lambda: of_arrow(NUMBERS), errors.ShapeError, "expected 1 features a step, got 3"),
        (
            lambda: pyarrow.FixedShapeTensorArray.from_numpy_ndarray(NUMBERS.transpose(0, 2, 1)),
            errors.UnsupportedError,
            "expected tensors of shape",
        ),
    ],
    ids=["three axes", "features", "transposed"],
)
def test_tensors_that_do_not_fit_are_refused(column, error, text, models):
    with pytest.raises(error, match=f"x: {text}"):
        models[1][1](pyarrow.record_batch({"x": column()}))


def test_tensors_of_different_features_are_refused(models):
    rows = np.empty(2, object)
    rows[:] = [np.ones((3, 2), np.float32), np.ones((3, 4), np.float32)]
    with pytest.raises(errors.ShapeError, match="x: expected one number of features, got from 2 to 4"):
        models[3][1](pyarrow.record_batch({"x": of_ray(rows)}))
