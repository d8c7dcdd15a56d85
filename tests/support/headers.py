# SPDX-License-Identifier: MIT
"""Bytes of files that a reader must refuse, headers of safetensors by what is wrong with them, and how it refuses."""

import json
import struct
import tracemalloc

import pytest
import tables

from rnncore.errors import RnncoreError
from rnncore.formats import load


def file_of(header, data=b"", length=None):
    """Bytes of a safetensors file with this header, sound or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def refused(path, content, reader=load):
    """Write, read, and give the error; its memory is measured."""
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(RnncoreError) as caught:
            reader(path)
        assert tracemalloc.get_traced_memory()[1] < tables.HOSTILE_BYTES + len(content)
    finally:
        tracemalloc.stop()
    return caught.value


GOOD = {"a": entry()}
HEADERS = {
    "empty file": b"",
    "seven bytes": b"\0" * 7,
    "header bomb": struct.pack("<Q", 2**63) + b"{}",
    "header of 100 MB": struct.pack("<Q", 100_000_000) + b"{}",
    "header beyond the file": file_of(GOOD, b"\0" * 8, length=1000),
    "no JSON": file_of(b"hello"),
    "no UTF-8": file_of(b'{"\xff": 1}'),
    "a list": file_of([]),
    "deep nesting": file_of(b"[" * 2_000_000),
    "many lists": file_of(b"[" + b"[]," * 1_000_000 + b"[]]"),
    "a name twice": file_of(b'{"a":1,"a":2}'),
    "NaN": file_of(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}', b"\0" * 8),
    "infinite offset": file_of(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,1e999]}}', b"\0" * 8),
    "digits": file_of(b'{"a":{"dtype":"F32","shape":[' + b"9" * 10_000 + b'],"data_offsets":[0,8]}}'),
    "entry is a number": file_of({"a": 3}),
    "entry lacks a field": file_of({"a": {"dtype": "F32", "shape": [2]}}),
    "entry has a field too many": file_of({"a": entry() | {"more": 1}}, b"\0" * 8),
    "unknown dtype": file_of({"a": entry("F8_E4M3", (8,))}, b"\0" * 8),
    "dtype is a list": file_of({"a": entry(["F32"])}, b"\0" * 8),
    "negative size": file_of({"a": entry(shape=(-2,))}, b"\0" * 8),
    "size is a float": file_of({"a": entry(shape=(2.0,))}, b"\0" * 8),
    "size is a bool": file_of({"a": entry("F64", shape=(True,))}, b"\0" * 8),
    "an axis of 2**62 without elements": file_of({"a": entry(shape=(2**62, 0), offsets=(0, 0))}),
    "sizes overflow": file_of({"a": entry(shape=(2**32, 2**32, 4), offsets=(0, 0))}),
    "too many axes": file_of({"a": entry(shape=[1] * 65 + [2])}, b"\0" * 8),
    "one axis of 10000": file_of({"a": entry(shape=[1] * 10_000 + [2])}, b"\0" * 8),
    "shape and bytes differ": file_of({"a": entry(shape=(3,))}, b"\0" * 8),
    "offsets reversed": file_of({"a": entry(offsets=(8, 0))}, b"\0" * 8),
    "offsets outside": file_of({"a": entry(offsets=(1000, 1008))}, b"\0" * 8),
    "negative offset": file_of({"a": entry(offsets=(-8, 0))}, b"\0" * 8),
    "three offsets": file_of({"a": entry(offsets=(0, 8, 8))}, b"\0" * 8),
    "claims terabytes": file_of({"a": entry(shape=(2**40,), offsets=(0, 2**42))}, b"\0" * 8),
    "overlap": file_of({"a": entry(), "b": entry(offsets=(4, 12))}, b"\0" * 12),
    "hole": file_of({"a": entry(), "b": entry(offsets=(12, 20))}, b"\0" * 20),
    "trailing bytes": file_of(GOOD, b"\0" * 9),
    "truncated data": file_of(GOOD, b"\0" * 7),
    "metadata is a list": file_of({"__metadata__": []} | GOOD, b"\0" * 8),
    "metadata holds a number": file_of({"__metadata__": {"a": 1}} | GOOD, b"\0" * 8),
}
