# SPDX-License-Identifier: MIT
"""What an ONNX model would take in memory, counted from its bytes before it is parsed.

Protocol Buffers make an object of some hundred bytes of two that say "an empty one", and a number of eight bytes of
one. A model is walked through by its lengths alone: nothing is made, and weights are jumped over.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

from ..errors import FormatError
from .files import Path, reading

# Messages by the numbers of their fields that hold messages, and those that hold packed integers.
_MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 14: "entry", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph", 3: "entry", 4: "entry"},
    "graph": dict.fromkeys((11, 12, 13), "value")
    | {1: "node", 5: "tensor", 14: "annotation", 15: "sparse", 16: "entry"},
    "function": {7: "node", 9: "opset", 11: "attribute", 12: "value", 14: "entry"},
    "node": {5: "attribute", 9: "entry"},
    "attribute": dict.fromkeys((5, 10), "tensor")
    | dict.fromkeys((6, 11), "graph")
    | dict.fromkeys((14, 15), "type")
    | dict.fromkeys((22, 23), "sparse"),
    "tensor": {3: "entry", 13: "entry", 16: "entry"},
    "sparse": {1: "tensor", 2: "tensor"},
    "annotation": {2: "entry"},
    "value": {2: "type", 4: "entry"},
    "type": {1: "array type", 4: "list type", 5: "map type", 8: "array type", 9: "list type"},
    "array type": {2: "shape"},
    "list type": {1: "type"},
    "map type": {2: "type"},
    "shape": {1: "dim"},
}  # fmt: skip
_INTEGERS: dict[str, frozenset[int]] = {
    "attribute": frozenset({8}),
    "tensor": frozenset({1, 5, 7, 11}),
    "sparse": frozenset({3}),
}
MESSAGE_BYTES, NUMBER_BYTES, SPARE = 300, 8, 48 * 2**20
MAX_DEPTH = 100


class _Walk:
    """A walk through a model of `size` bytes that ends when it would take more than twice that."""

    def __init__(self, path: Path, view: Any) -> None:
        self.path, self.view = path, view
        self.left: int = 2 * len(view) + SPARE

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            expected = "a model that takes about its size"
            raise FormatError(str(self.path), expected, "one of countless empty parts")

    def varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while at < end and shift < 64:
            byte = self.view[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at
        raise FormatError(str(self.path), "an ONNX model", "a number without an end")

    def message(self, kind: str, at: int, end: int, depth: int = 0) -> None:
        """Walk through one message, of the bytes from `at` to `end`."""
        if depth > MAX_DEPTH:
            raise FormatError(str(self.path), f"graphs in at most {MAX_DEPTH} messages", "more")
        messages, integers = _MESSAGES.get(kind, {}), _INTEGERS.get(kind, frozenset())
        while at < end:
            key, at = self.varint(at, end)
            number, wire = key >> 3, key & 7
            if wire == 2:
                length, at = self.varint(at, end)
                if length > end - at:
                    raise FormatError(str(self.path), "an ONNX model", "a part beyond its end")
                self.spend(MESSAGE_BYTES)
                if number in messages:
                    self.message(messages[number], at, at + length, depth + 1)
                elif number in integers:
                    self.spend(NUMBER_BYTES * length)
                at += length
            elif wire == 0:
                _, at = self.varint(at, end)
                self.spend(NUMBER_BYTES)
            elif wire in (1, 5):
                at += 8 if wire == 1 else 4
                self.spend(NUMBER_BYTES)
            else:  # groups, which no message has
                raise FormatError(str(self.path), "an ONNX model", f"a field of wire type {wire}")


def check(path: Path) -> None:
    """Whether a model may be parsed.

    Raises
    ------
    FormatError
        It is damaged, or would take far more memory than it has bytes.
    OSError
    """
    with reading(path, "an ONNX model"), open(path, "rb") as file:
        if not os.path.getsize(path):
            raise FormatError(str(path), "an ONNX model", "an empty file")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            _Walk(path, view).message("model", 0, len(view))
