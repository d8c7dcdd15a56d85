# SPDX-License-Identifier: MIT
"""One layer in one direction from another system's layout into ours and back, by the table in layouts.py.

Canonical is PyTorch's layout. A conversion that would lose something is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import spec as checks
from ..errors import ArgumentError, ShapeError, UnsupportedError, shown
from ..spec import CELLS, gate_names
from .layouts import BIASES, SYSTEMS, Convention, row_of


def _row(system: str, cell: str, reset_after: bool) -> tuple[Convention, str, str]:
    checks.check_choice("cell", cell, tuple(CELLS))
    if not isinstance(system, str) or system not in SYSTEMS:
        raise ArgumentError("system", "one of " + ", ".join(SYSTEMS), shown(system))
    convention, key = SYSTEMS[system], row_of(system, cell, reset_after)
    return convention, convention.gates[key], convention.bias[key]


def reorder(array: np.ndarray, own: str, wanted: str) -> np.ndarray:
    """Row blocks of `array` (len(own)*H, ...) taken from gate order `own` into gate order `wanted`.

    Returns `array` itself where the orders are equal.
    """
    if own == wanted:
        return array
    blocks = np.split(array, len(own))
    return np.concatenate([blocks[own.index(gate)] for gate in wanted])


def _candidate(cell: str, order: str, H: int, reset_after: bool) -> slice | None:
    """Rows of gate n in a reset-after GRU, else None."""
    if cell != "gru" or not reset_after:
        return None
    return slice(order.index("n") * H, (order.index("n") + 1) * H)


def from_system(
    system: str,
    cell: str,
    weight_ih: Any,
    weight_hh: Any = None,
    bias: Any = None,
    *,
    reset_after: bool = True,
    coupled: bool | str = False,
    peephole: Any = None,
    weight_hr: Any = None,
) -> dict[str, np.ndarray]:
    """Canonical parameters of one layer in one direction.

    Parameters
    ----------
    system : str
        A key of SYSTEMS.
    cell : {"rnn", "lstm", "gru", "min_gru", "min_lstm"}
    weight_ih, weight_hh : arrays, in the system's layout
        The latter None for a cell without a recurrent matrix.
    bias : array, pair of arrays or None
        In the system's form.
    reset_after : bool
        Of the GRU.
    coupled : bool or "forget"
        Of the LSTM. True: gate f, which is 1 - i then, is left out. "forget": gate i is 1 - f, as in TFLite and
        TensorFlow; what comes out is the same cell with f = 1 - i, as sigmoid(-a) = 1 - sigmoid(a): rows of f with
        their signs changed become rows of i.
    peephole : array (3*H,), optional
        Of the LSTM.
    weight_hr : array, optional
        The LSTM's projection.

    Returns
    -------
    dict of str to numpy.ndarray
        weight_ih (G*H, I), weight_hh (G*H, H or P), with a bias bias_ih, bias_hh (G*H,), with a projection weight_hr
        (P, H), with peepholes weight_peephole; views where possible.

    Raises
    ------
    ArgumentError, ShapeError, UnsupportedError

    Examples
    --------
    >>> import numpy as np
    >>> kernel, recurrent = np.zeros((3, 16), np.float32), np.zeros((4, 16), np.float32)
    >>> found = rnncore.formats.from_system("keras", "lstm", kernel, recurrent)
    >>> {name: array.shape for name, array in found.items()}
    {'weight_ih': (16, 3), 'weight_hh': (16, 4)}
    """
    convention, order, kind = _row(system, cell, reset_after)
    checks.check_type("coupled", coupled, (bool, str), "False, or of an LSTM True or 'forget'")
    if coupled not in (False, True, "forget") or (coupled and cell != "lstm"):
        raise ArgumentError("coupled", "False, or of an LSTM True or 'forget'", shown(coupled))
    wanted, rows, own = "".join(gate_names(cell, bool(coupled))), 0, _names_of(cell)
    source = order.replace("i", "-").replace("f", "i") if coupled == "forget" else order
    found = {}
    if "weight_hh" not in own and weight_hh is not None:
        raise ArgumentError("weight_hh", f"None for cell {cell!r}", shown(weight_hh))
    for name, matrix in (("weight_ih", weight_ih), ("weight_hh", weight_hh)):
        if name not in own:
            continue
        matrix = checks.numbers(name, matrix)
        if matrix.ndim != 2:
            raise ShapeError(name, "a matrix", f"shape {matrix.shape}")
        matrix = matrix.T if convention.columns else matrix
        if len(matrix) == 0 or len(matrix) % len(order):
            raise ShapeError(name, f"a multiple of {len(order)} gates", f"{len(matrix)}", "transposed?")
        rows = rows or len(matrix)
        found[name] = reorder(matrix, source, wanted)
    H = rows // len(order)
    if bias is not None:
        split, _, shape = BIASES[kind]
        bias, expected = checks.numbers("bias", bias), shape(len(order), H)
        if bias.shape != expected:
            raise ShapeError("bias", f"shape {expected}", f"{bias.shape}")
        parts = split(bias, _candidate(cell, order, H, reset_after))
        for name, part in zip(("bias_ih", "bias_hh"), parts, strict=True):
            if name in own:
                found[name] = reorder(part, source, wanted)
    if weight_hr is not None:
        found["weight_hr"] = _projection(system, convention, checks.numbers("weight_hr", weight_hr))
    if peephole is not None:
        peephole, own = checks.numbers("peephole", peephole), _peepholes(system, convention)
        if peephole.shape != (3 * H,):
            raise ShapeError("peephole", f"shape {(3 * H,)}", f"{peephole.shape}")
        own = own.replace("i", "-").replace("f", "i") if coupled == "forget" else own
        found["weight_peephole"] = reorder(peephole, own, wanted.replace("g", ""))
    if coupled == "forget":
        found = {name: array if name == "weight_hr" else _negated(array, H) for name, array in found.items()}
    return found


def _negated(array: np.ndarray, H: int) -> np.ndarray:
    """A copy with the sign of the first block of rows changed."""
    array = array.copy()
    np.negative(array[:H], out=array[:H])
    return array


def _peepholes(system: str, convention: Convention) -> str:
    """The gates of a system's peepholes in its order."""
    if not convention.peepholes:
        raise UnsupportedError("peepholes", f"none for {system}", "some", "it has none")
    return convention.peepholes


def _projection(system: str, convention: Convention, matrix: np.ndarray) -> np.ndarray:
    """A projection (P, H) in a system's layout, or back."""
    if matrix.ndim != 2:
        raise ShapeError("weight_hr", "a matrix", f"shape {matrix.shape}")
    if "proj_size" not in convention.options:
        raise UnsupportedError("proj_size", f"0 for {system}", matrix.shape[0], "it has no projection")
    return np.ascontiguousarray(matrix.T) if convention.columns else matrix


class Foreign(NamedTuple):
    """One layer in one direction as another system lays it out; None for what it has not."""

    weight_ih: np.ndarray
    weight_hh: np.ndarray | None = None
    bias: Any = None
    peephole: np.ndarray | None = None
    weight_hr: np.ndarray | None = None


def to_system(
    system: str,
    cell: str,
    parameters: Mapping[str, np.ndarray],
    *,
    reset_after: bool = True,
    coupled: bool = False,
) -> Foreign:
    """One layer in one direction in the layout of another system: the reverse of `from_system`.

    Parameters
    ----------
    system, cell, reset_after, coupled
        As there; the row blocks of gate f, unused, become zeros.
    parameters : dict of str to array
        Canonical, without suffix; what the system has no place for is refused.

    Returns
    -------
    Foreign
        weight_ih, weight_hh, bias (array, pair of them or None; where the system has one bias, the sum, rounded
        once), peephole, weight_hr.

    Raises
    ------
    ArgumentError
    UnsupportedError
        The system has no such cell, no projection, no peepholes, or one bias cannot hold both (a GRU's b_hn).

    Examples
    --------
    >>> import numpy as np
    >>> parameters = {"weight_ih": np.zeros((16, 3)), "weight_hh": np.zeros((16, 4))}
    >>> rnncore.formats.to_system("keras", "lstm", parameters).weight_ih.shape
    (3, 16)
    """
    convention, order, kind = _row(system, cell, reset_after)
    own = "".join(gate_names(cell, checks.check_bool("coupled", coupled)))
    parameters = _checked(system, cell, len(own), parameters)

    def reordered(name: str, own: str = own, wanted: str = order) -> np.ndarray:
        blocks = parameters[name]
        if coupled:
            if "coupled" not in convention.options:
                raise UnsupportedError("coupled", f"False for {system}", True, "it has a gate f")
            own, blocks = own + "f", np.concatenate([blocks, np.zeros_like(np.split(blocks, len(own))[0])])
        return reorder(blocks, own, wanted)

    matrices = [reordered(name) for name in ("weight_ih", "weight_hh") if name in parameters]
    if convention.columns:
        matrices = [np.ascontiguousarray(matrix.T) for matrix in matrices]
    bias = peephole = projection = None
    if "bias_ih" in parameters:
        b_ih = reordered("bias_ih")
        b_hh = reordered("bias_hh") if "bias_hh" in parameters else np.zeros_like(b_ih)
        n = _candidate(cell, order, len(b_ih) // len(order), reset_after)
        bias = BIASES[kind][1](b_ih, b_hh, n)
    if "weight_peephole" in parameters:
        peephole = reordered("weight_peephole", own.replace("g", ""), _peepholes(system, convention))
    if "weight_hr" in parameters:
        projection = _projection(system, convention, parameters["weight_hr"])
    return Foreign(matrices[0], matrices[1] if len(matrices) > 1 else None, bias, peephole, projection)


def _names_of(cell: str) -> tuple[str, ...]:
    """What systems may have of a cell, of _NAMES."""
    if any(row.name == "weight_hh" for row in CELLS[cell].parameters):
        return _NAMES
    return tuple(row.name for row in CELLS[cell].parameters)


def _checked(system: str, cell: str, gates: int, parameters: Any) -> dict[str, np.ndarray]:
    """Canonical arrays of one layer and direction, whose shapes fit together."""
    checks.check_type("parameters", parameters, Mapping, "a mapping of names to arrays")
    names = _names_of(cell)
    if unknown := parameters.keys() - names:
        first = min(map(str, unknown))
        raise UnsupportedError(first, "one of " + ", ".join(names), f"none for {system}", "it has none")
    arrays = {name: checks.numbers(name, array) for name, array in parameters.items()}
    matrices = [name for name in names[:2] if name.startswith("weight")]
    for name in matrices:
        if name not in arrays or arrays[name].ndim != 2:
            raise ShapeError(name, "a matrix", f"shape {arrays[name].shape}" if name in arrays else "nothing")
    rows = len(arrays[matrices[-1]])
    if rows % gates or not rows:
        raise ShapeError(matrices[-1], f"a multiple of {gates} gates", str(rows), "transposed?")
    shapes = {"weight_ih": (rows, arrays["weight_ih"].shape[1]), "bias_ih": (rows,), "bias_hh": (rows,)}
    shapes["weight_peephole"] = (rows // gates * (gates - 1),)
    for name, shape in shapes.items():
        if name in arrays:
            checks.check_shape(name, arrays[name], shape)
    if "bias_hh" in names and ("bias_ih" in arrays) != ("bias_hh" in arrays):
        raise ArgumentError("bias_hh", "both biases or none", "one")
    return arrays


_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "weight_peephole")


def split_joined(kernel: Any, input_size: int) -> tuple[np.ndarray, np.ndarray]:
    """A TensorFlow 1 kernel (I+H, G*H) as (weight_ih, weight_hh) of the "tensorflow" row; views.

    Raises
    ------
    ShapeError
    """
    kernel = checks.numbers("kernel", kernel)
    if kernel.ndim != 2 or not 0 < input_size < len(kernel):
        raise ShapeError("kernel", f"a matrix of more than {input_size} rows", f"shape {kernel.shape}")
    return kernel[:input_size], kernel[input_size:]
