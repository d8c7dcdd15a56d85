# SPDX-License-Identifier: MIT
"""A session in bytes: what it is of, how far it is, its state, and a checksum of all that."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any, NamedTuple

import numpy as np

from ..errors import ArgumentError, FormatError, UnsupportedError, shown

MAGIC, VERSION = b"rnnses", 1
HEADER = struct.Struct("<6sH32sqQ")
"""Magic bytes, version, the model's digest, the last sequence number, bytes of the state. The state and the checksum
follow."""
CHECKSUM = 16


def digest_of(model: Any) -> bytes:
    """The SHA-256 of a model's architecture and parameters.

    Parameters
    ----------
    model : Module

    Returns
    -------
    bytes
    """
    described = model.spec.to_dict() if hasattr(model, "spec") else model.config()
    found = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name, array in sorted(model.parameters().items()):
        found.update(f"{name} {array.dtype.name} {array.shape}".encode())
        found.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")))
    return found.digest()


class Digest:
    """The digest of a model as it is, computed anew when its parameters have changed."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._found: tuple[int, bytes] = -1, b""

    def present(self) -> bytes:
        """See `digest_of`."""
        version = self._model.version
        if self._found[0] != version:
            self._found = version, digest_of(self._model)
        return self._found[1]


class Blob(NamedTuple):
    """What a blob holds: the sequence number of the last request, and the state."""

    sequence: int
    state: np.ndarray


def pack(digest: bytes, sequence: int, state: np.ndarray) -> bytes:
    """A session as bytes."""
    values = np.ascontiguousarray(state, state.dtype.newbyteorder("<")).tobytes()
    text = HEADER.pack(MAGIC, VERSION, digest, sequence, len(values)) + values
    return text + checksum(text)


def checksum(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=CHECKSUM).digest()


def unpack(blob: Any, digest: bytes, count: int, dtype: np.dtype[Any]) -> Blob:
    """What `pack` was given: `count` values of state.

    Raises
    ------
    ArgumentError
        No bytes, or a session of another model.
    FormatError
        No session, a part of one, or a damaged one.
    UnsupportedError
        A later version's.
    """
    if not isinstance(blob, (bytes, bytearray, memoryview)):
        raise ArgumentError("blob", "bytes of export", shown(blob))
    text = bytes(blob)
    if len(text) < HEADER.size + CHECKSUM or not text.startswith(MAGIC):
        raise FormatError("blob", "an exported session", f"{len(text)} bytes of something else")
    _, version, of, sequence, size = HEADER.unpack_from(text)
    if version != VERSION:
        hint = "a later version of rnncore wrote it"
        raise UnsupportedError("blob", f"version {VERSION} of sessions", version, hint)
    if len(text) != HEADER.size + size + CHECKSUM:
        got = f"{len(text)} bytes of {HEADER.size + size + CHECKSUM}"
        raise FormatError("blob", "a whole session", got, "it was torn")
    if checksum(text[:-CHECKSUM]) != text[-CHECKSUM:]:
        raise FormatError("blob", "an exported session", "one with another checksum", "it is damaged")
    if of != digest:
        hint = "another model's, or of other parameters"
        raise ArgumentError("blob", f"a session of model {digest.hex()[:16]}", of.hex()[:16], hint)
    if size != count * dtype.itemsize:
        raise FormatError("blob", f"a state of {count} values", f"{size} bytes")
    return Blob(sequence, np.frombuffer(text, dtype.newbyteorder("<"), count, HEADER.size))
