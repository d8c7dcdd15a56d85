# SPDX-License-Identifier: MIT
"""What stores of weights cost a model on data of one's own: what ``rnncore convert --report`` shows."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import spec as checks
from ..errors import ArgumentError, UnsupportedError
from ..layers import Fleet
from ..layers.build import build_layer
from ..nn import Recurrent, Sequential
from ..spec.stores import MOST_CODE, OPERANDS, STORES
from .files import Path

# Difference of the outputs, by their own size, that a store may cost to be recommended.
ALLOWED = 0.02
# From the fastest on.
SPEED = ("int8", "int8x16", "bfloat16", "float16")


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a report.

    Attributes
    ----------
    store : str
    name : str
        Of a recurrent layer, or "output" for the model's.
    error : float
        Root of the mean squared difference from float32, by that of float32 itself.
    largest : float
        Largest difference.
    saturated : float or None
        Share of h's codes that are the largest one; None of stores without codes.
    """

    store: str
    name: str
    error: float
    largest: float
    saturated: float | None = None


def _layers(layer: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The layers of a stack, each by itself; their results one after the other are its own."""
    spec, values = layer.spec, layer.parameters()
    if spec.num_layers == 1:
        yield name, layer
        return
    for k in range(spec.num_layers):
        one = dataclasses.replace(spec, num_layers=1, dropout=0.0, input_size=spec.layer_input_size(k))
        own = {
            key.replace(f"_l{k}", "_l0"): value
            for key, value in values.items()
            if key.removesuffix("_reverse").endswith(f"_l{k}")
        }
        yield f"{name} l{k}".strip(), build_layer(one, own)


def _states(module: Any, x: Any, name: str = "") -> tuple[list[tuple[str, np.ndarray]], Any]:
    """The h of each recurrent layer of a model, by its place, and the model's output."""
    if isinstance(module, Sequential):
        found = []
        for k, part in enumerate(module):
            states, x = _states(part, x, f"{name}.{k}" if name else str(k))
            found += states
        return found, x
    if not isinstance(module, Recurrent) or isinstance(module.layer, Fleet):
        return [], module(x)
    found, y = [], x
    for place, layer in _layers(module.layer, name):
        y = Recurrent(layer, order="forward" if module.order == "forward" else "reverse")(y)
        found.append((place, y))
    return found, module(x)


def _row(store: str, name: str, got: np.ndarray, plain: np.ndarray, coded: bool) -> Row:
    got, wide = np.asarray(got, np.float64), np.asarray(plain, np.float64)
    size = float(np.sqrt(np.square(wide).mean()))
    error = float(np.sqrt(np.square(got - wide).mean()))
    saturated = float((np.abs(got) >= 1 - 0.5 / MOST_CODE).mean()) if coded else None
    return Row(store, name, error / size if size else error, float(np.abs(got - wide).max()), saturated)


def compare(model: Any, x: Any) -> list[Row]:
    """What every store costs a model on some data.

    Parameters
    ----------
    model : float32 layer or module of `rnncore.nn`
    x : array
        What the model takes; not empty.

    Returns
    -------
    list of Row
        Of each store those of the recurrent layers, in their order, each with the quantised layers before it, and last
        that of the model's output.

    Raises
    ------
    RnncoreError
        See `Module.quantize`, and what the model says of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> rows = compare(rnncore.GRU(3, 4, seed=0), np.ones((5, 2, 3), np.float32))
    >>> [row.name for row in rows if row.store == "int8"], recommended(rows)
    (['gru', 'output'], 'int8')
    """
    whole = Recurrent(model) if hasattr(model, "spec") else model
    name = model.spec.cell if hasattr(model, "spec") else ""
    plain, output = _states(whole.quantize(None), x, name)
    if not plain:
        raise UnsupportedError("report", "a model with recurrent layers", type(model).__name__)
    if not isinstance(output, np.ndarray) or not output.size:
        raise ArgumentError("report", "data that the model makes an array of", type(output).__name__)
    rows = []
    for store in STORES:
        states, got = _states(whole.quantize(store), x, name)
        for (place, h), (_, expected) in zip(states, plain, strict=True):
            rows.append(_row(store, place, h, expected, store in OPERANDS))
        rows.append(_row(store, "output", got, output, coded=False))
    return rows


def recommended(rows: list[Row]) -> str:
    """The fastest store whose output is within 2 % of float32's (root mean square), or "float32"."""
    errors = {row.store: row.error for row in rows if row.name == "output"}
    return next((store for store in SPEED if errors[store] <= ALLOWED), "float32")


def sentence(rows: list[Row], chosen: str | None) -> str:
    """What a report comes to."""
    best = recommended(rows)
    text = f"recommended: {best}, the fastest whose output is within {ALLOWED:.0%} of float32's"
    if best == "float32":
        text = f"recommended: float32; no store's output is within {ALLOWED:.0%} of float32's"
    own = next((row.error for row in rows if (row.store, row.name) == (chosen, "output")), None)
    return text if own is None else f"{text}; {chosen} is within {own:.2%}"


def read_data(path: Path) -> np.ndarray:
    """The array of an .npy file.

    Raises
    ------
    ArgumentError
        It holds none, or objects.
    OSError
    """
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ArgumentError("report", "an .npy file of numbers", str(error)[:80]) from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
        raise ArgumentError("report", "an .npy file of numbers", type(found).__name__)
    return checks.read_array("report", found.astype(np.float32) if found.dtype.kind == "f" else found)


def show(rows: list[Row], chosen: str | None = None) -> None:
    """Print a report: with rich where it is installed, else as plain text."""
    header = ("store", "layer", "error", "largest", "saturated")
    lines = [
        (
            row.store,
            row.name,
            f"{row.error:.3%}",
            f"{row.largest:.2e}",
            "" if row.saturated is None else f"{row.saturated:.2%}",
        )
        for row in rows
    ]
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
        for line in (header, *lines):
            text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            sys.stdout.write(text.rstrip() + "\n")
    else:
        table = Table(title="differences from float32")
        for name in header:
            table.add_column(name, justify="right" if name in header[2:] else "left")
        for (store, *cells), after in zip(lines, [*lines[1:], ("",)], strict=True):
            table.add_row(
                store,
                *cells,
                style="bold" if store == chosen else None,
                end_section=store != after[0],
            )
        Console().print(table)
    sys.stdout.write(sentence(rows, chosen) + "\n")
