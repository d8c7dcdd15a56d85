# SPDX-License-Identifier: MIT
"""Safetensors files: read and written with NumPy, json and mmap alone, checked as untrusted input.

A file is 8 bytes (header length, little endian), a JSON header, then the arrays' bytes. The header's claims
are checked against the file before anything is built: its size, every offset, dtype against shape against
bytes, no overlaps, no holes. Arrays are read-only views of the mapped file, so reading costs no copy.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import struct
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError, FormatError
from .files import Path, check_path, replacing

# Far above any header of such models (about 100 bytes per array), and low enough that its parsed form, at worst some
# thirty times as large, stays small.
MAX_HEADER = 2**20
MAX_RANK = 8

DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # widened to float32 when read
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
NAMES: dict[np.dtype, str] = {dtype: name for name, dtype in DTYPES.items() if name != "BF16"}


def _refuse(path: Path, got: str) -> FormatError:
    return FormatError(str(path), "a sound safetensors file", got)


def _no_duplicates(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_constant(text):
    raise ValueError(f"{text} is no JSON number")


def parse_json(text: str) -> Any:
    """JSON as its standard says: no NaN, no name twice; ValueError for anything else, and deep nesting."""
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _read_header(path, view):
    if len(view) < 8:
        raise _refuse(path, f"{len(view)} bytes")
    (length,) = struct.unpack_from("<Q", view)
    if length > MAX_HEADER or length > len(view) - 8:
        raise _refuse(path, f"a header of {length} bytes in a file of {len(view)}")
    try:
        header = parse_json(bytes(view[8 : 8 + length]).decode("utf-8"))
    except ValueError as error:
        raise _refuse(path, f"a header that is no JSON ({error})") from error
    if not isinstance(header, dict):
        raise _refuse(path, f"a header that is a {type(header).__name__}")
    return header, 8 + length


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _check_entry(path, name, entry):
    """(dtype name, shape, begin, end) of one array; dtype, shape and size agree."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _refuse(path, f"{name!r} without exactly dtype, shape, data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in DTYPES:
        raise _refuse(path, f"{name!r} of dtype {str(kind)[:40]!r}")
    if not isinstance(shape, list) or len(shape) > MAX_RANK or not all(map(_is_count, shape)):
        raise _refuse(path, f"{name!r} of shape {str(shape)[:80]}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
        raise _refuse(path, f"{name!r} with offsets {str(offsets)[:80]}")
    # An array of nothing may still have axes that no array can have.
    if math.prod(max(size, 1) for size in shape) * DTYPES[kind].itemsize >= 2**63:
        raise _refuse(path, f"{name!r} of shape {str(shape)[:80]}")
    begin, end = offsets
    if end - begin != math.prod(shape) * DTYPES[kind].itemsize:
        raise _refuse(path, f"{name!r} with {end - begin} bytes for shape {tuple(shape)} of {kind}")
    return kind, tuple(shape), begin, end


def _check_metadata(path, metadata):
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _refuse(path, "metadata that is not text by name")
    return metadata


def _check_tiling(path, entries, size):
    """The arrays cover the data exactly, one after the other."""
    reached = 0
    for name, (_, _, begin, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin != reached:
            raise _refuse(path, f"{name!r} beginning at {begin} where {reached} is due")
        reached = end
    if reached != size:
        raise _refuse(path, f"{reached} bytes of arrays in {size} bytes of data")


def _array(buffer, start, kind, shape):
    count = math.prod(shape)
    if not count:
        array = np.zeros(shape, DTYPES[kind])
    else:
        array = np.frombuffer(buffer, DTYPES[kind], count, start).reshape(shape)
    if kind == "BF16":  # the upper half of a float32
        wide = array.astype(np.uint32)
        wide <<= np.uint32(16)
        return wide.view(np.float32)
    return array


def is_file(path: Path, head: bytes) -> bool:
    """Whether a file that starts like this may be one: the header's length fits it, and a header follows."""
    return (
        len(head) > 8 and head[8:9] == b"{" and struct.unpack_from("<Q", head)[0] <= os.path.getsize(path) - 8
    )


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a safetensors file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    tensors : dict of str to numpy.ndarray
        Read-only views of the mapped file, in the order of their bytes; bfloat16 arrays are copies in
        float32. The file stays mapped while a view lives and must not be truncated meanwhile.
    metadata : dict of str to str

    Raises
    ------
    FormatError
        The file is damaged or no safetensors file. Nothing of its claimed size was allocated.
    OSError
        It cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> from rnncore.formats import safetensors
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     safetensors.write(f"{folder}/a.safetensors", {"a": np.arange(3.0)}, {"who": "me"})
    ...     tensors, metadata = safetensors.read(f"{folder}/a.safetensors")
    >>> tensors["a"].tolist(), metadata
    ([0.0, 1.0, 2.0], {'who': 'me'})
    """
    with open(check_path(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < 8:
            raise _refuse(path, f"{size} bytes")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return parse(path, mapped)


def parse(path: Path, data: Any) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """What `read` gives, of a file's bytes; `path` is what errors call it."""
    header, start = _read_header(path, data)
    metadata = _check_metadata(path, header.pop("__metadata__", {}))
    entries = {name: _check_entry(path, name, entry) for name, entry in header.items()}
    _check_tiling(path, entries, len(data) - start)
    ordered = sorted(entries.items(), key=lambda item: item[1][2])
    return {
        name: _array(data, start + begin, kind, shape) for name, (kind, shape, begin, _) in ordered
    }, metadata


def write(
    path: Path,
    tensors: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
    *,
    bfloat16: Collection[str] = (),
) -> None:
    """Write a safetensors file; the path holds the old file or the whole new one, whenever the process dies.

    Parameters
    ----------
    path : path-like
    tensors : mapping of str to numpy.ndarray
        Written in C order, wide elements first so that all lie on element boundaries.
    metadata : mapping of str to str, optional
    bfloat16 : collection of str
        Names of uint16 arrays that are the upper halves of floats.

    Raises
    ------
    DTypeError
        An array of a dtype that the format has not.
    ArgumentError
        A header too large to be read again.
    OSError
    """
    parts = packed(tensors, metadata, bfloat16)
    with replacing(path) as draft, open(draft, "wb") as file:
        file.writelines(parts)


def packed(
    tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None, bfloat16: Collection[str] = ()
) -> list[Any]:
    """The bytes of a file, piece by piece; arguments and errors as those of `write`."""
    arrays = {}
    for name, array in tensors.items():
        array = np.asarray(array)
        plain = array.dtype.newbyteorder("<")
        if plain not in NAMES:
            raise DTypeError(name, "dtype " + ", ".join(NAMES.values()), str(array.dtype))
        arrays[name] = array.astype(plain, order="C", copy=False)
    order = sorted(arrays, key=lambda name: -arrays[name].dtype.itemsize)
    header, reached = {"__metadata__": dict(metadata)} if metadata else {}, 0
    for name in order:
        array = arrays[name]
        end = reached + array.nbytes
        kind, shape = "BF16" if name in bfloat16 else NAMES[array.dtype], list(array.shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [reached, end]}
        reached = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise ArgumentError("tensors", f"a header of at most {MAX_HEADER} bytes", len(text))
    # A view as bytes: an empty or 0-d array has no buffer that write() takes.
    views = [np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data for name in order]
    return [struct.pack("<Q", len(text)) + text, *views]
