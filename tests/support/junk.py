# SPDX-License-Identifier: MIT
"""What no argument expects, or of a wrong kind, size or type: name -> maker, as some can be used once."""

import collections
import fractions
import inspect

import numpy as np

import rnncore
from rnncore import engine


def _itself():
    found = []
    found.append(found)
    return found


def _swapped():
    return np.ones((5, 2, 3), ">f4")


JUNK = {
    "none": lambda: None,
    "true": lambda: True,
    "zero": lambda: 0,
    "negative": lambda: -1,
    "two": lambda: 2,
    "terabytes": lambda: 2**43,
    "2**62": lambda: 2**62,
    "10**400": lambda: 10**400,
    "fraction": lambda: fractions.Fraction(1, 3),
    "half": lambda: 0.5,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "complex": lambda: 1j,
    "text": lambda: "junk",
    "no text": lambda: "",
    "null character": lambda: "a\0b",
    "surrogate": lambda: "\udcff",
    "long text": lambda: "x" * 10_000,
    "bytes": lambda: b"junk",
    "list": lambda: [],
    "list of things": lambda: [1, "a", None],
    "list of None": lambda: [None, None],
    "list in itself": _itself,
    "tuple": lambda: (),
    "pair": lambda: (1, 2),
    "dict": lambda: {},
    "dict of text": lambda: {"a": 1},
    "dict of None": lambda: {None: None},
    "dict of numbers": lambda: {1: 2, "a": 3},
    "default dict": lambda: collections.defaultdict(list, {"kind": []}),
    "set": lambda: {1, "a"},
    "object": object,
    "type": lambda: int,
    "exception": lambda: ValueError("junk"),
    "module": lambda: inspect,
    "function": lambda: lambda *args: None,
    "generator": lambda: iter([1, 2]),
    "range": lambda: range(3),
    "array 0-d": lambda: np.array(3.0, np.float32),
    "array of nothing": lambda: np.zeros((0, 3), np.float32),
    "array 5-d": lambda: np.ones((1, 2, 1, 2, 3), np.float32),
    "array": lambda: np.ones((5, 2, 3), np.float32),
    "array f8": lambda: np.ones((5, 2, 3)),
    "array f2": lambda: np.ones((5, 2, 3), np.float16),
    "array swapped": _swapped,
    "array of int": lambda: np.ones(2, np.int64),
    "array of bool": lambda: np.ones((5, 2, 3), bool),
    "array of complex": lambda: np.ones((5, 2, 3), np.complex64),
    "array of objects": lambda: np.array([[None, 1], ["a", {}]], object),
    "array of text": lambda: np.array(["a", "b"]),
    "array of times": lambda: np.array(["2020-01-01"], "M8[D]"),
    "array of fields": lambda: np.zeros(2, [("a", "f4"), ("b", "i4")]),
    "array of nan": lambda: np.full((5, 2, 3), np.nan, np.float32),
    "array of huge size": lambda: np.broadcast_to(np.float32(0), (2**40, 2, 3)),
    "masked array": lambda: np.ma.masked_array(np.ones((5, 2, 3), np.float32)),
    "layer": lambda: rnncore.GRU(3, 4, seed=0),
    "module of nn": lambda: rnncore.Linear(3, 4, seed=0),
    "spec": lambda: engine.Spec("rnn", 1, 1),
}
