# SPDX-License-Identifier: MIT
"""List columns as values and lengths, in the columns' own memory."""

import numpy as np
import pytest

import rnncore
from rnncore import errors, ragged

pyarrow = pytest.importorskip("pyarrow")

LISTS = [[1.0, 2.0, 3.0], [], [4.0], [5.0, 6.0]]
PAIRS = [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]], [[7.0, 8.0], [9.0, 0.0]]]
EVEN = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
NUMBER = pyarrow.float32()
PAIR = pyarrow.list_(NUMBER, 2)
TYPES = {
    "list": (pyarrow.list_(NUMBER), LISTS),
    "large list": (pyarrow.large_list(NUMBER), LISTS),
    "fixed-size list": (pyarrow.list_(NUMBER, 2), EVEN),
    "list of pairs": (pyarrow.list_(PAIR), PAIRS),
    "large list of pairs": (pyarrow.large_list(PAIR), PAIRS),
    "fixed-size list of pairs": (pyarrow.list_(PAIR, 2), [PAIRS[0], PAIRS[2]]),
}
each_type = pytest.mark.parametrize("kind", TYPES)


def numbers_of(column):
    """The array of numbers within a column."""
    while hasattr(column, "values"):
        column = column.values
    return column


def address_of(column):
    numbers = numbers_of(column)
    return numbers.buffers()[1].address + numbers.offset * numbers.type.bit_width // 8


def assert_holds(found, wanted):
    values, lengths = found
    assert lengths.dtype == np.int64 and lengths.tolist() == [len(row) for row in wanted]
    assert [row.tolist() for row in ragged.rows(values, lengths)] == wanted


@each_type
def test_values_lie_where_the_columns_do(kind):
    type_, wanted = TYPES[kind]
    column = pyarrow.array(wanted, type_)
    values, lengths = ragged.from_arrow(column)
    assert values.dtype == np.float32 and values.ctypes.data == address_of(column)
    assert_holds((values, lengths), wanted)


@each_type
@pytest.mark.parametrize("chunked", [False, True], ids=["array", "chunked"])
def test_slices_are_what_they_show(kind, chunked):
    type_, wanted = TYPES[kind]
    column = pyarrow.array(wanted, type_)[1:]
    given = pyarrow.chunked_array([column]) if chunked else column
    values, lengths = ragged.from_arrow(given)
    skipped = np.size(wanted[0]) * values.itemsize
    assert values.ctypes.data == address_of(column) + skipped
    assert_holds((values, lengths), wanted[1:])


@each_type
def test_several_chunks_are_put_together(kind):
    type_, wanted = TYPES[kind]
    chunks = [pyarrow.array(wanted[:1], type_), pyarrow.array(wanted[1:], type_)]
    assert_holds(ragged.from_arrow(pyarrow.chunked_array(chunks)), wanted)


@each_type
def test_empty_columns(kind):
    type_, _ = TYPES[kind]
    for column in (pyarrow.array([], type_), pyarrow.chunked_array([], type_)):
        values, lengths = ragged.from_arrow(column)
        assert lengths.shape == (0,) and values.shape == ((0, 2) if "pairs" in kind else (0,))


def test_columns_of_polars():
    polars = pytest.importorskip("polars")
    series = polars.Series(LISTS, dtype=polars.List(polars.Float32))
    values, lengths = ragged.from_arrow(series)
    assert values.ctypes.data == pyarrow.chunked_array(series).chunk(0).values.buffers()[1].address
    assert_holds((values, lengths), LISTS)
    cubes = polars.Series(np.arange(24, dtype=np.float32).reshape(4, 3, 2))
    values, lengths = ragged.from_arrow(cubes)
    assert values.shape == (12, 2) and lengths.tolist() == [3] * 4
    assert_holds(ragged.from_arrow(series.slice(2)), LISTS[2:])


def test_columns_of_pandas():
    pandas = pytest.importorskip("pandas")
    column = pyarrow.array(LISTS, pyarrow.list_(NUMBER))
    series = pandas.Series(column, dtype=pandas.ArrowDtype(column.type))
    values, lengths = ragged.from_arrow(series)
    assert values.ctypes.data == address_of(column)
    assert_holds((values, lengths), LISTS)


def test_columns_of_duckdb():
    duckdb = pytest.importorskip("duckdb")
    relation = duckdb.sql("select unnest([[1.0, 2.0, 3.0], [], [4.0], [5.0, 6.0]])::float[] as sequence")
    assert_holds(ragged.from_arrow(relation), LISTS)
    with pytest.raises(errors.UnsupportedError, match="column: expected one column, got 2"):
        ragged.from_arrow(duckdb.sql("select [1.0] as a, [2.0] as b"))


REFUSED = {
    "a null": (pyarrow.array([[1.0], None]), errors.ArgumentError, "column: expected no nulls, got 1"),
    "a null step": (pyarrow.array([[1.0, None]]), errors.ArgumentError, "no missing step"),
    "a null number": (pyarrow.array([[[1.0, None]]], pyarrow.list_(PAIR)), errors.ArgumentError, "got 1"),
    "numbers": (pyarrow.array([1.0]), errors.UnsupportedError, "a column of lists, got double"),
    "words": (pyarrow.array([["a"]]), errors.UnsupportedError, "lists of numbers, .* got lists of string"),
    "lists of lists": (pyarrow.array([LISTS]), errors.UnsupportedError, "lists of one size of numbers"),
    "steps of no numbers": (
        pyarrow.array([[[], []], [[]]], pyarrow.list_(pyarrow.list_(NUMBER))),
        errors.UnsupportedError,
        "got steps without numbers",
    ),
    "steps of a fixed size of none": (
        pyarrow.array([[[], []], [None]], pyarrow.list_(pyarrow.list_(NUMBER, 0))),
        errors.UnsupportedError,
        "got steps without numbers",
    ),
    "a list": ([[1.0]], errors.UnsupportedError, "an Arrow column, got list"),
}


@pytest.mark.parametrize("column, error, text", REFUSED.values(), ids=REFUSED)
def test_what_is_no_ragged_column_is_refused(column, error, text):
    with pytest.raises(error, match=text) as caught:
        ragged.from_arrow(column)
    assert caught.value.field == "column"


@pytest.mark.parametrize("large", [False, True], ids=["lists", "large lists"])
def test_lists_of_one_size_are_features(large):
    list_ = pyarrow.large_list if large else pyarrow.list_
    column = pyarrow.array(PAIRS, list_(list_(NUMBER)))[1:]
    values, lengths = ragged.from_arrow(column)
    assert values.ctypes.data == numbers_of(column).buffers()[1].address + 4 * values.itemsize
    assert_holds((values, lengths), PAIRS[1:])
    assert ragged.from_arrow(column[:0])[1].shape == (0,)
    gaps = [PAIRS[0], [[5.0, 6.0], None], PAIRS[2]]
    found = ragged.spans(pyarrow.array(gaps, list_(list_(NUMBER))))
    assert found.valid.tolist() == [True, False, True] and found.lengths.tolist() == [2, 0, 2]
    assert found.values[found.starts[2] :].tolist() == PAIRS[2]


def test_a_null_that_a_slice_leaves_out_does_not_matter():
    assert_holds(ragged.from_arrow(pyarrow.array([None, [1.0, 2.0], [3.0]])[1:]), [[1.0, 2.0], [3.0]])


def test_rows_are_views():
    values = np.arange(6.0).reshape(3, 2)
    found = ragged.rows(values, [1, 0, 2])
    assert [len(row) for row in found] == [1, 0, 2] and all(row.base is not None for row in found)
    assert np.shares_memory(found[2], values)
    assert ragged.rows(values[:0], np.zeros(0, int)) == []


def test_layers_take_padded_values_with_their_lengths():
    values, lengths = ragged.from_arrow(pyarrow.array(PAIRS, pyarrow.list_(PAIR)))
    layer = rnncore.LSTM(2, 3, seed=0)
    y, _ = layer(ragged.pad(values, lengths), lengths=lengths)
    for k, row in enumerate(ragged.rows(values, lengths)):
        np.testing.assert_array_equal(y[: len(row), k], layer(row)[0])
        assert not y[len(row) :, k].any()


@pytest.mark.parametrize("function", [ragged.rows, ragged.pad])
def test_lengths_must_be_those_of_the_values(function):
    with pytest.raises(errors.LengthsError, match="lengths: expected lengths whose sum is 3"):
        function(np.zeros((3, 2)), [1, 1])
    with pytest.raises(errors.LengthsError):
        function(np.zeros((3, 2)), [4, -1])
    with pytest.raises(errors.DTypeError, match="lengths: expected integers"):
        function(np.zeros((3, 2)), [1.0, 2.0])
