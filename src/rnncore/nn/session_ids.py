# SPDX-License-Identifier: MIT
"""Ids of sessions as the 64-bit numbers that the engine finds them by: integers as they are, others through a dict."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import repeat
from typing import Any

import numpy as np

from .. import spec
from ..errors import ArgumentError, DTypeError, ShapeError, shown

UNKNOWN = -1
"""The number of a name that has none; names' numbers are 0, 1, ..."""


class Integers:
    """Ids that are integers: their own numbers."""

    def numbers(self, ids: np.ndarray) -> np.ndarray:
        """Numbers (n,) of ids as `read_ids` gives them."""
        return ids

    def different(self, ids: np.ndarray, places: np.ndarray) -> list[int]:
        """The different ids at these places."""
        return np.unique(ids[places]).tolist()

    def number(self, one: int) -> int:
        """The number of a live id."""
        return one

    def enroll(self, one: int) -> int:
        """The number of a new id."""
        return one

    def forget(self, number: int) -> None:
        """A number is used no more."""

    def name(self, number: int) -> int:
        """The id of a number."""
        return number

    def names(self, numbers: np.ndarray) -> list[int]:
        """Ids of numbers."""
        return numbers.tolist()


class Names:
    """Ids that are anything hashable: each gets a number while it lives."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._names: dict[int, Hashable] = {}
        self._next = 0

    def numbers(self, ids: list[Hashable]) -> np.ndarray:
        """As of `Integers`; UNKNOWN for new ones."""
        return np.fromiter(map(self._numbers.get, ids, repeat(UNKNOWN)), np.int64, len(ids))

    def different(self, ids: list[Hashable], places: np.ndarray) -> list[Hashable]:
        """As of `Integers`."""
        return list(dict.fromkeys(ids[k] for k in places.tolist()))

    def number(self, one: Hashable) -> int:
        """As of `Integers`; UNKNOWN for a new one."""
        return self._numbers.get(one, UNKNOWN)

    def enroll(self, one: Hashable) -> int:
        """As of `Integers`."""
        number, self._next = self._next, self._next + 1
        self._numbers[one], self._names[number] = number, one
        return number

    def forget(self, number: int) -> None:
        """As of `Integers`."""
        del self._numbers[self._names.pop(number)]

    def name(self, number: int) -> Hashable:
        """As of `Integers`."""
        return self._names[number]

    def names(self, numbers: np.ndarray) -> list[Hashable]:
        """As of `Integers`."""
        return [self._names[number] for number in numbers.tolist()]


def is_integer(one: Any) -> bool:
    return isinstance(one, (int, np.integer)) and not isinstance(one, bool)


def as_int64(field: str, array: np.ndarray) -> np.ndarray:
    """Integers as contiguous int64; ArgumentError if one does not fit."""
    if array.dtype.kind == "u" and array.size and int(array.max()) > spec.INT64_MAX:
        raise ArgumentError(field, "integers of 64 bits", int(array.max()))
    return np.ascontiguousarray(array, np.int64)


def read_ids(ids: Any) -> np.ndarray | list[Hashable]:
    """Integers as an int64 array, and all else as a list of hashables.

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
    """
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise ArgumentError("ids", "a sequence of ids", shown(ids))
    if isinstance(ids, np.ndarray):
        if ids.ndim != 1:
            raise ShapeError("ids", "shape (n,)", str(ids.shape))
        if ids.dtype.kind in "iu":
            return as_int64("ids", ids)
        if ids.dtype.kind in "fc":
            raise DTypeError("ids", "integers or names", ids.dtype)
    values = list(ids)
    numbers = sum(map(is_integer, values))
    if 0 < numbers < len(values):
        raise ArgumentError("ids", "integers or names", f"{numbers} integers of {len(values)}")
    if numbers == len(values):
        if not all(-(2**63) <= one < 2**63 for one in values):
            raise ArgumentError("ids", "integers of 64 bits", "larger ones")
        return np.array(values, np.int64)
    for one in values:
        check_name("ids", one)
    return values


def check_name(field: str, one: Any) -> None:
    """ArgumentError unless it is hashable."""
    try:
        hash(one)
    except Exception as error:  # a stranger's own __hash__, too
        raise ArgumentError(field, "what is hashable", shown(one)) from error
