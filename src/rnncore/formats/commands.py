# SPDX-License-Identifier: MIT
"""Convert and inspect files: what ``rnncore convert`` and ``rnncore inspect`` run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from .. import spec as checks
from ..errors import FormatError, UnsupportedError
from ..layers.build import build_layer
from ..spec.stores import STORES
from . import quality
from .doors import check_ending, contents, save
from .files import Path
from .records import Contents, Record


def _cast(record: Record, dtype: str) -> Record:
    if isinstance(dtype, str) and dtype in STORES:
        spec = dataclasses.replace(_cast(record, "float32").spec, store=dtype)
        return dataclasses.replace(_cast(record, "float32"), spec=spec)
    if isinstance(dtype, str):
        checks.check_choice("dtype", dtype, (*(own.name for own in checks.DTYPES), *STORES))
    dtype = checks.check_dtype("dtype", dtype)
    with np.errstate(over="ignore"):  # looked for below
        parameters = {name: array.astype(dtype) for name, array in record.parameters.items()}
    for name, array in parameters.items():
        if not np.array_equal(np.isfinite(array), np.isfinite(record.parameters[name])):
            raise UnsupportedError(name, f"values within {dtype}'s range", "larger ones")
    return dataclasses.replace(
        record, spec=dataclasses.replace(record.spec, dtype=dtype), parameters=parameters
    )


def _is_whole(found: Contents, name: str | None) -> bool:
    """Whether a chain of modules is meant, not one layer of it."""
    alone = [record.plain for record in found.records.values()] == [True] and not found.refused
    return name is None and found.stages is not None and not (alone and len(found.stages) == 1)


def convert(source: Path, target: Path, *, name: str | None = None, dtype: str | None = None) -> str:
    """Convert a file.

    Parameters
    ----------
    source : path-like
        Its content says the format.
    target : path-like
        Its ending does.
    name : str, optional
        Which layer of `source`; needed if it holds several, unless `target` is .safetensors and `source` a
        chain of known modules, which is then written as a whole.
    dtype : "float32", "float64", or "int8", "int8x16", "bfloat16", "float16", optional
        Cast to it, or to float32 with matrices that are packed so; without it the dtype stays. Of the latter four a
        .safetensors file holds what is packed, a quarter or half of the bytes, see `save`.

    Returns
    -------
    str
        One sentence that says what was written.

    Raises
    ------
    RnncoreError
        UnsupportedError where the target cannot hold it; nothing was written.
    OSError
    """
    row = check_ending(target)
    found = contents(source)
    is_store = isinstance(dtype, str) and dtype in STORES
    compact = is_store and not row.layers_only
    if _is_whole(found, name) and not row.layers_only and (dtype is None or is_store):
        model = found.model() if dtype is None else found.model().quantize(dtype)
        save(model, target, compact=compact)
        return f"{target}: Sequential of {len(model)} modules"
    record = found.record(name)
    if record.order != "forward" or record.merge != "concat":
        got = f"order {record.order!r}, merge {record.merge!r}"
        hint = "use Record.module()" if found.stages is None else "convert the whole chain to .safetensors"
        raise UnsupportedError(record.name, "a layer that reads forward and concatenates", got, hint)
    record = record if dtype is None else _cast(record, dtype)
    layer = build_layer(record.spec, record.parameters)
    save(layer, target, compact=compact)
    notes = record.notes
    if not record.return_sequences:
        notes += ("the source returned its last step only, this layer returns all",)
    return f"{target}: {layer!r}" + "".join(f"; note: {note}" for note in notes)


def report(source: Path, data: Path, *, name: str | None = None) -> list[quality.Row]:
    """What stores of weights cost a model on some data.

    Parameters
    ----------
    source : path-like
        The model, as for `convert`.
    data : path-like
        An .npy file with what it takes: of a layer (T, N, I), with batch_first (N, T, I); floats or integers.
    name : str, optional
        Which layer, as for `convert`.

    Returns
    -------
    list of Row
        See `quality.compare`.

    Raises
    ------
    RnncoreError, OSError
    """
    found, x = contents(source), quality.read_data(data)
    if _is_whole(found, name):
        return quality.compare(found.model(), x)
    record = _cast(found.record(name), "float32")
    return quality.compare(record.layer() if record.plain else record.module(), x)


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of `inspect`.

    Attributes
    ----------
    name : str
        In the file.
    source : str
        What it is there.
    maps_to : str
        The layer it becomes, or why it becomes none.
    shapes : str
        Of the arrays it becomes.
    parameters : int
        How many numbers they hold.
    notes : str
    """

    name: str
    source: str
    maps_to: str
    shapes: str = ""
    parameters: int = 0
    notes: str = ""


COLUMNS = tuple(field.name for field in dataclasses.fields(Row))


def _row(record: Record) -> Row:
    arrays = record.parameters
    shapes = ", ".join(f"{name} {'x'.join(map(str, array.shape))}" for name, array in arrays.items())
    maps_to = f"{record.spec.cell.upper()}({record.spec.arguments()})"
    options = [
        text
        for text, said in (
            (f"order={record.order!r}", record.order != "forward"),
            (f"merge={record.merge!r}", record.merge != "concat"),
            ("return_sequences=False", not record.return_sequences),
        )
        if said
    ]
    maps_to += f" in Recurrent({', '.join(options)})" if options else ""
    count = sum(math.prod(array.shape) for array in arrays.values())
    return Row(record.name, record.source, maps_to, shapes, count, "; ".join(record.notes))


def inspect(path: Path) -> list[Row]:
    """What a file holds.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    list of Row
        Recurrent layers, then those that cannot be read with the reason, then the rest.

    Raises
    ------
    RnncoreError, OSError
        See `load`; also of a file that holds nothing.
    """
    found = contents(path)
    rows = [_row(record) for record in found.records.values()]
    rows += [Row(name, found.format, f"refused: {error}") for name, error in found.refused.items()]
    rows += [
        Row(text, found.format, "in the chain" if found.stages is not None else "not read")
        for text in found.other
    ]
    if not rows:
        raise FormatError(str(path), "a file that holds layers or weights", "one that holds none")
    return rows


def table(rows: Sequence[Row]) -> str:
    """Rows as aligned text: one line each, then its shapes and notes below."""
    cells = [("name", "source", "parameters", "maps to")]
    cells += [(row.name, row.source, str(row.parameters or ""), row.maps_to) for row in rows]
    widths = [max(len(line[k]) for line in cells) for k in range(3)]
    lines = []
    for line, row in zip(cells, [None, *rows], strict=True):
        lines.append(
            "  ".join([*(text.ljust(width) for text, width in zip(line, widths, strict=False)), line[3]])
        )
        for more in (row.shapes, row.notes) if row else ():
            if more:
                lines.append(f"    {more}")
    return "\n".join(line.rstrip() for line in lines)
