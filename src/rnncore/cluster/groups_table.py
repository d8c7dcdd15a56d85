# SPDX-License-Identifier: MIT
"""Tables of groups: rows sorted by key and time and cut where the key changes, and the seed that follows from a key."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, shown
from .arrow import package


def arrow() -> Any:
    """pyarrow and its functions; UnsupportedError if it is not installed."""
    package("pyarrow.compute")
    return package("pyarrow")


def table_of(field: str, value: Any) -> Any:
    """A pyarrow Table of whatever is one: Arrow's tables and datasets, data frames, a dict of columns.

    Raises
    ------
    ArgumentError
        It is none.
    UnsupportedError
        pyarrow is not installed.
    """
    pa = arrow()
    if isinstance(value, pa.Table):
        return value
    try:
        if isinstance(value, pa.RecordBatch):
            return pa.Table.from_batches([value])
        if callable(getattr(value, "to_table", None)):
            return value.to_table()
        # Texts of polars are otherwise views, which have no order.
        if callable(getattr(value, "to_arrow", None)):
            value = value.to_arrow()
        return pa.table(value)
    except (TypeError, ValueError, AttributeError, KeyError, OverflowError, pa.ArrowException) as error:
        raise ArgumentError(
            field, "an Arrow table, a data frame or a dict of columns", shown(value)
        ) from error


def names_of(field: str, value: Any) -> list[str]:
    """One name or several, as a list of different ones."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ArgumentError(field, "a column's name, or a list of names", shown(value))
    if len(set(names)) != len(names):
        raise ArgumentError(field, "different names", shown(value))
    return list(names)


def name_of(field: str, value: Any) -> str | None:
    """One name, or None."""
    if value is not None and not isinstance(value, str):
        raise ArgumentError(field, "a column's name, or None", shown(value))
    return value


def check_columns(field: str, names: Sequence[str], schema: Any) -> None:
    """ArgumentError unless the table has each of these columns, once."""
    for name in names:
        if schema.names.count(name) != 1:
            known = ", ".join(schema.names) or "none"
            raise ArgumentError(field, f"a column of the table ({known})", shown(name))


def check_free(field: str, names: Sequence[str], own: Sequence[str]) -> None:
    """ArgumentError if a column of the table has the name of one of the result's own."""
    for name in names:
        if name in own:
            raise ArgumentError(field, f"a name other than {', '.join(own)}, which results have", shown(name))


def key_type(name: str, kind: Any) -> Any:
    """The type of a key's column: what has one text for each value, so that seeds can follow from it.

    Raises
    ------
    ArgumentError
        Floats, lists and the like.
    """
    types = arrow().types
    if types.is_dictionary(kind):
        return key_type(name, kind.value_type)
    texts = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    numbers = (types.is_integer, types.is_boolean, types.is_decimal, types.is_temporal, types.is_null)
    if not any(test(kind) for test in (*texts, *numbers)):
        raise ArgumentError(f"key {name}", "a column of texts, integers or times", str(kind))
    return kind


@dataclasses.dataclass(frozen=True)
class Groups:
    """A table sorted by key and time, and where its groups begin and end."""

    table: Any
    keys: list[tuple[Any, ...]]
    bounds: np.ndarray
    unsound: dict[int, ArgumentError]

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[tuple[tuple[Any, ...], Any, ArgumentError | None]]:
        """Key, rows, and what is wrong with their times, of each group."""
        for k, key in enumerate(self.keys):
            yield (
                key,
                self.table.slice(self.bounds[k], self.bounds[k + 1] - self.bounds[k]),
                self.unsound.get(k),
            )

    def packs(self, size: int) -> Iterator[Groups]:
        """The same in pieces of so many groups."""
        for first in range(0, len(self), size):
            end = min(first + size, len(self))
            bounds = self.bounds[first : end + 1]
            table = self.table.slice(bounds[0], bounds[-1] - bounds[0])
            unsound = {k - first: error for k, error in self.unsound.items() if first <= k < end}
            yield Groups(table, self.keys[first:end], bounds - bounds[0], unsound)


def grouped(table: Any, keys: Sequence[str], time: str | None) -> Groups:
    """The groups of a table, in the order of their keys; their rows in the order of `time`, else as they came.

    Raises
    ------
    ArgumentError
        A column is not there, or a key's type has no order.
    """
    pa = arrow()
    check_columns("key", keys, table.schema)
    if time is not None:
        check_columns("time", [time], table.schema)
    for name in keys:
        kind = key_type(name, table.schema.field(name).type)
        column = table.schema.get_field_index(name)
        table = table.set_column(column, name, table[name].cast(kind))
    by = [(name, "ascending") for name in (*keys, *([] if time is None else [time]))]
    try:
        table = (table.take(pa.compute.sort_indices(table, sort_keys=by)) if by else table).combine_chunks()
    except pa.ArrowException as error:
        raise ArgumentError("time", "a column that has an order", str(error)) from error
    n = len(table)
    begins = np.zeros(n, bool)
    begins[:1] = True
    for name in keys:
        begins[1:] |= _changes(table[name])
    bounds = np.append(np.flatnonzero(begins), n)
    firsts = table.select(list(keys)).take(bounds[:-1])
    columns = [column.to_pylist() for column in firsts.columns]
    found = list(zip(*columns, strict=True)) if keys else [()] * (len(bounds) - 1)
    return Groups(table, found, bounds, {} if time is None else _unsound(table[time], begins, bounds))


def _changes(column: Any) -> np.ndarray:
    """Whether each value but the first differs from the one before it."""
    encoded = column.dictionary_encode(null_encoding="encode").combine_chunks()
    return np.diff(encoded.indices.to_numpy(zero_copy_only=False)) != 0


def _unsound(times: Any, begins: np.ndarray, bounds: np.ndarray) -> dict[int, ArgumentError]:
    """What is wrong with the times of some groups: rows of one time have no order of their own."""
    doubled = np.flatnonzero(~_changes(times) & ~begins[1:]) + 1
    missing = np.flatnonzero(times.is_null().to_numpy())
    found: dict[int, ArgumentError] = {}
    for row in (*missing, *doubled):
        group = int(np.searchsorted(bounds, row, "right")) - 1
        if group not in found:
            got = "a null" if row in missing else f"two rows of {times[int(row)].as_py()}"
            found[group] = ArgumentError("time", "a time of its own for each row", got)
    return found


def seed_of(seed: int, key: Sequence[Any]) -> int:
    """The seed of a group, 0 <= s < 2**63, which follows from the run's seed and the key alone.

    It is BLAKE2b of the lengths and texts of both: the same in every process, on every machine and for every version.

    Examples
    --------
    >>> from rnncore.cluster.groups_table import seed_of
    >>> seed_of(0, ("store 1",)) == seed_of(0, ("store 1",)), seed_of(0, (1,)) == seed_of(0, ("1",))
    (True, False)
    """
    digest = hashlib.blake2b(digest_size=8, person=b"rnncore group")
    for value in (seed, *key):
        word = _word(value)
        digest.update(len(word).to_bytes(8, "little") + word)
    return int.from_bytes(digest.digest(), "little") >> 1


def _word(value: Any) -> bytes:
    """A key's value as bytes that no other value has; integers of different widths are one."""
    if isinstance(value, bytes):
        return b"b" + value
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(datetime.UTC)
    if isinstance(value, datetime.date | datetime.time):
        return b"t" + value.isoformat().encode()
    if isinstance(value, datetime.timedelta):  # pandas' own has another text
        value = datetime.timedelta(value.days, value.seconds, value.microseconds)
    kinds = {bool: "o", int: "i", str: "s", type(None): "n", datetime.timedelta: "d", decimal.Decimal: "e"}
    kind = next((letter for known, letter in kinds.items() if isinstance(value, known)), None)
    if kind is None:
        raise ArgumentError("key", "texts, integers or times", shown(value))
    return f"{kind}{value}".encode("utf-8", "surrogatepass")
