# SPDX-License-Identifier: MIT
"""How other systems lay out the same weights: one table of gate orders, matrix layouts and biases.

Canonical is PyTorch's layout: gates LSTM i f g o, GRU r z n; weight_ih (G*H, I), weight_hh (G*H, H or P), two
biases. `from_system` and `to_system` convert one layer in one direction; a conversion that would lose
something is refused. A new system is a row in SYSTEMS.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, ShapeError, UnsupportedError
from ..spec import Spec, gate_names

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class Convention:
    """One row of SYSTEMS.

    Attributes
    ----------
    gates : dict of str to str
        Gate order by cell, in our letters (h; i f g o; r z n). "gru_before" multiplies by r before the
        product.
    bias : dict of str to str
        Kind of bias by cell, a key of BIASES. A cell that is absent cannot be expressed.
    columns : bool
        Whether matrices are (in, G*H) instead of (G*H, in).
    projection : bool
        Whether an LSTM may have one.
    peepholes : str
        Gates of an LSTM's peepholes in order; "": it has none.
    coupled, clip, activations : bool
        Whether it has those options; coupled gates keep the row blocks of gate f, unused.
    """

    gates: dict[str, str]
    bias: dict[str, str]
    columns: bool = False
    projection: bool = False
    peepholes: str = ""
    coupled: bool = False
    clip: bool = False
    activations: bool = False


SYSTEMS: dict[str, Convention] = {
    "torch": Convention(
        gates={"rnn": "h", "lstm": "ifgo", "gru": "rzn"},
        bias={"rnn": "two", "lstm": "two", "gru": "two"},
        projection=True,
    ),
    "keras": Convention(
        gates={"rnn": "h", "lstm": "ifgo", "gru": "zrn", "gru_before": "zrn"},
        bias={"rnn": "one", "lstm": "one", "gru": "pair", "gru_before": "one"},
        columns=True,
        activations=True,
    ),
    "onnx": Convention(
        gates={"rnn": "h", "lstm": "iofg", "gru": "zrn", "gru_before": "zrn"},
        bias={"rnn": "joined", "lstm": "joined", "gru": "joined", "gru_before": "joined"},
        peepholes="iof",
        coupled=True,
        clip=True,
        activations=True,
    ),
    # oneDNN's ldigo; u r o are our z r n, and the linear-before-reset GRU has a fourth bias row.
    "onednn": Convention(
        gates={"rnn": "h", "lstm": "ifgo", "gru": "zrn", "gru_before": "zrn"},
        bias={"rnn": "one", "lstm": "one", "gru": "four", "gru_before": "one"},
        columns=True,
        projection=True,
        peepholes="ifo",
    ),
    "openvino": Convention(
        gates={"rnn": "h", "lstm": "figo", "gru": "zrn", "gru_before": "zrn"},
        bias={"rnn": "one", "lstm": "one", "gru": "four", "gru_before": "one"},
    ),
    # Flax nnx: the LSTM's bias sits on the hidden side, the GRU's on the input side.
    "flax": Convention(
        gates={"rnn": "h", "lstm": "ifgo", "gru": "rzn"},
        bias={"rnn": "one", "lstm": "one", "gru": "one"},
        columns=True,
    ),
    "haste": Convention(
        gates={"lstm": "igfo", "gru": "zrn"},
        bias={"lstm": "one", "gru": "two"},
        columns=True,
    ),
    # TensorFlow 1 cells; their kernel is [input; hidden] stacked, see `split_joined`. GRU: gates r z beside
    # candidate n.
    "tensorflow": Convention(
        gates={"rnn": "h", "lstm": "igfo", "gru_before": "rzn"},
        bias={"rnn": "one", "lstm": "one", "gru_before": "one"},
        columns=True,
        peepholes="ifo",
    ),
}

# Other systems name one function for several places: gates, cell input, cell output; GRU: gates, candidate.
GROUPS: dict[str, tuple[tuple[str, ...], ...]] = {
    "rnn": (("h",),),
    "lstm": (("i", "f", "o"), ("g",), ("c",)),
    "gru": (("r", "z"), ("n",)),
}

# An activation input of this magnitude is saturated: sigmoid gives exactly 0 or 1 in that dtype, tanh exactly
# -1 or 1 long before, so clipping there changes no bit. exp(-x) < half the least subnormal number.
SATURATED: dict[np.dtype, float] = {np.dtype(np.float32): 105.0, np.dtype(np.float64): 746.0}


def spread(cell: str, functions: Sequence[Any], coupled: bool = False) -> dict[str, Any]:
    """Functions of a cell's groups as a Spec's activations of one direction: place -> function."""
    pairs = zip(GROUPS[cell], functions, strict=True)
    return {place: entry for group, entry in pairs for place in group if not (coupled and place == "f")}


def grouped(spec: Spec, direction: int, system: str) -> list[tuple[Any, ...]]:
    """The reverse of `spread`: the functions of a layer's groups, (name, *parameters) each.

    Raises
    ------
    UnsupportedError
        Places of a group have different functions: `system` has one for all of them.
    """
    own, found = spec.functions(direction), []
    for group in GROUPS[spec.cell]:
        entries = {own[place] for place in group if place in own}
        if len(entries) > 1:
            got = ", ".join(entry[0] for entry in sorted(entries))
            raise UnsupportedError("activations", f"one function for {' '.join(group)} in {system}", got)
        found.append(entries.pop())
    return found


def refuse_options(system: str, spec: Spec) -> None:
    """UnsupportedError for the first option of a layer that a system cannot hold."""
    convention = SYSTEMS[system]
    for name, present, possible in (
        ("peepholes", spec.peepholes, bool(convention.peepholes)),
        ("coupled", spec.coupled, convention.coupled),
        ("clip", spec.clip is not None, convention.clip),
        ("activations", bool(spec.activations), convention.activations),
        ("zoneout", spec.zoneout > 0, False),  # it acts at inference, too
        ("zoneout_c", spec.zoneout_c > 0, False),
    ):
        if present and not possible:
            raise UnsupportedError(name, f"none for {system}", repr(getattr(spec, name)), "it has none")


# Biases ----------------------------------------------------------------------------------------------------
#
# Each kind splits its own form into (b_ih, b_hh) and joins them back; blocks are in the system's gate order,
# `n` is the row slice of the GRU's candidate gate where the reset gate multiplies its recurrent part, else
# None.


def _split_one(bias, n):
    return bias, np.zeros_like(bias)


def _join_one(b_ih, b_hh, n):
    if n is not None and np.any(b_hh[n]):
        raise UnsupportedError(
            "bias_hh", "zeros for gate n", "other values", "one bias cannot hold a b_hn that r multiplies"
        )
    return b_ih + b_hh


def _split_four(bias, n):
    H = len(bias) // 4
    b_hh = np.zeros(3 * H, bias.dtype)
    b_hh[n] = bias[3 * H :]
    return bias[: 3 * H], b_hh


def _join_four(b_ih, b_hh, n):
    rows = b_ih + b_hh
    rows[n] = b_ih[n]
    return np.concatenate([rows, b_hh[n]])


# kind -> (split, join, bias shape as a function of G and H)
BIASES: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    "two": (lambda bias, n: tuple(bias), lambda b_ih, b_hh, n: (b_ih, b_hh), lambda G, H: (2, G * H)),
    "pair": (
        lambda bias, n: tuple(bias),
        lambda b_ih, b_hh, n: np.stack([b_ih, b_hh]),
        lambda G, H: (2, G * H),
    ),
    "joined": (
        lambda bias, n: np.split(bias, 2),
        lambda b_ih, b_hh, n: np.concatenate([b_ih, b_hh]),
        lambda G, H: (2 * G * H,),
    ),
    "one": (_split_one, _join_one, lambda G, H: (G * H,)),
    "four": (_split_four, _join_four, lambda G, H: (4 * H,)),
}


# Conversion ------------------------------------------------------------------------------------------------


def _row(system, cell, reset_after):
    if system not in SYSTEMS:
        raise ArgumentError("system", "one of " + ", ".join(SYSTEMS), repr(system))
    convention = SYSTEMS[system]
    key = "gru_before" if cell == "gru" and not reset_after else cell
    if key not in convention.gates:
        what = {
            "gru": "a GRU that resets after the product",
            "gru_before": "a GRU that resets before the product",
        }
        expected = f"a cell that {system} has ({', '.join(convention.gates)})"
        raise UnsupportedError("cell", expected, what.get(key, cell))
    return convention, convention.gates[key], convention.bias[key]


def reorder(array: np.ndarray, own: str, wanted: str) -> np.ndarray:
    """Row blocks of `array` (len(own)*H, ...) taken from gate order `own` into gate order `wanted`.

    Returns `array` itself where the orders are equal.
    """
    if own == wanted:
        return array
    blocks = np.split(array, len(own))
    return np.concatenate([blocks[own.index(gate)] for gate in wanted])


def _candidate(cell, order, H, reset_after):
    """Rows of gate n in a reset-after GRU, else None."""
    if cell != "gru" or not reset_after:
        return None
    return slice(order.index("n") * H, (order.index("n") + 1) * H)


def from_system(
    system: str,
    cell: str,
    weight_ih: ArrayLike,
    weight_hh: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    reset_after: bool = True,
    coupled: bool = False,
    peephole: ArrayLike | None = None,
) -> dict[str, np.ndarray]:
    """Canonical parameters of one layer in one direction.

    Parameters
    ----------
    system : str
        A key of SYSTEMS.
    cell : {"rnn", "lstm", "gru"}
    weight_ih, weight_hh : arrays, in the system's layout
    bias : array, pair of arrays or None
        In the system's form.
    reset_after : bool
        Of the GRU.
    coupled : bool
        Of the LSTM: gate f, which is 1 - i then, is left out.
    peephole : array (3*H,), optional
        Of the LSTM.

    Returns
    -------
    dict of str to numpy.ndarray
        weight_ih (G*H, I), weight_hh (G*H, H or P), with a bias bias_ih, bias_hh (G*H,), with peepholes
        weight_peephole; views where possible.

    Raises
    ------
    ArgumentError, ShapeError, UnsupportedError
    """
    convention, order, kind = _row(system, cell, reset_after)
    wanted, rows = "".join(gate_names(cell, coupled)), 0
    found = {}
    for name, matrix in (("weight_ih", weight_ih), ("weight_hh", weight_hh)):
        matrix = np.asarray(matrix)
        if matrix.ndim != 2:
            raise ShapeError(name, "a matrix", f"shape {matrix.shape}")
        matrix = matrix.T if convention.columns else matrix
        if len(matrix) == 0 or len(matrix) % len(order):
            raise ShapeError(name, f"a multiple of {len(order)} gates", f"{len(matrix)}", "transposed?")
        rows = rows or len(matrix)
        found[name] = reorder(matrix, order, wanted)
    if bias is not None:
        split, _, shape = BIASES[kind]
        H = rows // len(order)
        bias, expected = np.asarray(bias), shape(len(order), H)
        if bias.shape != expected:
            raise ShapeError("bias", f"shape {expected}", f"{bias.shape}")
        parts = split(bias, _candidate(cell, order, H, reset_after))
        for name, part in zip(("bias_ih", "bias_hh"), parts, strict=True):
            found[name] = reorder(part, order, wanted)
    if peephole is not None:
        peephole, expected = np.asarray(peephole), (rows // len(order) * 3,)
        if peephole.shape != expected:
            raise ShapeError("peephole", f"shape {expected}", f"{peephole.shape}")
        wanted = wanted.replace("g", "")
        found["weight_peephole"] = reorder(peephole, _peepholes(system, convention), wanted)
    return found


def _peepholes(system, convention):
    """The gates of a system's peepholes in its order."""
    if not convention.peepholes:
        raise UnsupportedError("peepholes", f"none for {system}", "some", "it has none")
    return convention.peepholes


def to_system(
    system: str,
    cell: str,
    parameters: Mapping[str, np.ndarray],
    *,
    reset_after: bool = True,
    coupled: bool = False,
) -> tuple[Any, ...]:
    """One layer in one direction in the layout of another system: the reverse of `from_system`.

    Parameters
    ----------
    system, cell, reset_after, coupled
        As there; the row blocks of gate f, unused, become zeros.
    parameters : dict of str to array
        Canonical, without suffix; a weight_hr is refused where the system has no projection.

    Returns
    -------
    weight_ih, weight_hh : numpy.ndarray
    bias : numpy.ndarray, pair of them or None
        Where the system has one bias, the sum, rounded once.
    peephole : numpy.ndarray
        Where `parameters` hold some.

    Raises
    ------
    ArgumentError
    UnsupportedError
        The system has no such cell or no projection, or one bias cannot hold both (a GRU's b_hn).
    """
    convention, order, kind = _row(system, cell, reset_after)
    if "weight_hr" in parameters and not convention.projection:
        raise UnsupportedError(
            "proj_size", f"0 for {system}", parameters["weight_hr"].shape[0], "it has no projection"
        )
    own = "".join(gate_names(cell, coupled))

    def reordered(name, own=own, wanted=order):
        blocks = parameters[name]
        if coupled:
            if not convention.coupled:
                raise UnsupportedError("coupled", f"False for {system}", True, "it has a gate f")
            own, blocks = own + "f", np.concatenate([blocks, np.zeros_like(np.split(blocks, len(own))[0])])
        return reorder(blocks, own, wanted)

    matrices = [reordered(name) for name in ("weight_ih", "weight_hh")]
    if convention.columns:
        matrices = [np.ascontiguousarray(matrix.T) for matrix in matrices]
    bias = None
    if "bias_ih" in parameters:
        b_ih, b_hh = (reordered(name) for name in ("bias_ih", "bias_hh"))
        n = _candidate(cell, order, len(b_ih) // len(order), reset_after)
        bias = BIASES[kind][1](b_ih, b_hh, n)
    if "weight_peephole" not in parameters:
        return (*matrices, bias)
    return (
        *matrices,
        bias,
        reordered("weight_peephole", own.replace("g", ""), _peepholes(system, convention)),
    )


def split_joined(kernel: ArrayLike, input_size: int) -> tuple[np.ndarray, np.ndarray]:
    """A TensorFlow 1 kernel (I+H, G*H) as (weight_ih, weight_hh) of the "tensorflow" row; views.

    Raises
    ------
    ShapeError
    """
    kernel = np.asarray(kernel)
    if kernel.ndim != 2 or not 0 < input_size < len(kernel):
        raise ShapeError("kernel", f"a matrix of more than {input_size} rows", f"shape {kernel.shape}")
    return kernel[:input_size], kernel[input_size:]
