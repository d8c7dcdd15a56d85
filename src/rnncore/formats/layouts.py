# SPDX-License-Identifier: MIT
"""How other systems lay out the same weights: one table of gate orders, matrix layouts and biases.

Canonical is PyTorch's layout: gates LSTM i f g o, GRU r z n; weight_ih (G*H, I), weight_hh (G*H, H or P), two
biases. systems.py converts by this table. A new system is a row in SYSTEMS.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import UnsupportedError, shown
from ..spec import OPTIONS, Spec


@dataclasses.dataclass(frozen=True)
class Convention:
    """One row of SYSTEMS.

    Attributes
    ----------
    gates : dict of str to str
        Gate order by cell, in our letters (h; i f g o; r z n; z n; i f g). "gru_before" multiplies by r before the
        product.
    bias : dict of str to str
        Kind of bias by cell, a key of BIASES. A cell that is absent cannot be expressed.
    columns : bool
        Whether matrices are (in, G*H) instead of (G*H, in).
    peepholes : str
        Gates of an LSTM's peepholes in order; "": it has none.
    options : frozenset of str
        Options of cells that it has, too; coupled gates keep the row blocks of gate f, unused.
    """

    gates: dict[str, str]
    bias: dict[str, str]
    columns: bool = False
    peepholes: str = ""
    options: frozenset[str] = frozenset()


SYSTEMS: dict[str, Convention] = {
    "torch": Convention(
        gates={"rnn": "h", "lstm": "ifgo", "gru": "rzn"},
        bias={"rnn": "two", "lstm": "two", "gru": "two"},
        options=frozenset({"proj_size"}),
    ),
    "keras": Convention(
        gates={"rnn": "h", "lstm": "ifgo", "gru": "zrn", "gru_before": "zrn"},
        bias={"rnn": "one", "lstm": "one", "gru": "pair", "gru_before": "one"},
        columns=True,
        options=frozenset({"activations"}),
    ),
    "onnx": Convention(
        gates={"rnn": "h", "lstm": "iofg", "gru": "zrn", "gru_before": "zrn"},
        bias={"rnn": "joined", "lstm": "joined", "gru": "joined", "gru_before": "joined"},
        peepholes="iof",
        options=frozenset({"peepholes", "coupled", "clip", "activations", "store"}),
    ),
    # oneDNN's ldigo; u r o are our z r n, and the linear-before-reset GRU has a fourth bias row.
    "onednn": Convention(
        gates={"rnn": "h", "lstm": "ifgo", "gru": "zrn", "gru_before": "zrn"},
        bias={"rnn": "one", "lstm": "one", "gru": "four", "gru_before": "one"},
        columns=True,
        peepholes="ifo",
        options=frozenset({"peepholes", "proj_size"}),
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
        options=frozenset({"peepholes"}),
    ),
    # The package minGRU-pytorch: one matrix, to_hidden_and_gate or to_hidden_and_f_i_gate, in log-space form: with
    # activations={"n": "log_space"}, of a minLSTM {"g": "log_space"}.
    "mingru_pytorch": Convention(
        gates={"min_gru": "nz", "min_lstm": "gfi"},
        bias={"min_gru": "one", "min_lstm": "one"},
        options=frozenset({"activations"}),
    ),
}
"""Layouts of other systems by name: order of gates, biases, orientation of matrices, options."""

# Options that are told by the cell's row, and one that every system has.
_BY_CELL = frozenset({"reset_after", "nonlinearity"})

# Other systems name one function for several places: gates, cell input, cell output; GRU: gates, candidate.
GROUPS: dict[str, tuple[tuple[str, ...], ...]] = {
    "rnn": (("h",),),
    "lstm": (("i", "f", "o"), ("g",), ("c",)),
    "gru": (("r", "z"), ("n",)),
}

# An activation input of this magnitude is saturated: sigmoid gives exactly 0 or 1 in that dtype, tanh exactly
# -1 or 1 long before, so clipping there changes no bit. exp(-x) < half the least subnormal number.
SATURATED: dict[np.dtype, float] = {np.dtype(np.float32): 105.0, np.dtype(np.float64): 746.0}


def spread(cell: str, functions: Any, coupled: bool = False) -> dict[str, Any]:
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


def row_of(system: str, cell: str, reset_after: bool) -> str:
    """The name of a cell in a system's row.

    Raises
    ------
    UnsupportedError
        The system has no such cell.
    """
    gates = SYSTEMS[system].gates
    key = "gru_before" if cell == "gru" and not reset_after else cell
    if key not in gates:
        what = {
            "gru": "a GRU that resets after the product",
            "gru_before": "a GRU that resets before the product",
        }
        raise UnsupportedError("cell", f"a cell that {system} has ({', '.join(gates)})", what.get(key, cell))
    return key


def refuse_options(system: str, spec: Spec) -> None:
    """UnsupportedError for a cell that a system has not, or the first option of a layer that it cannot hold."""
    row_of(system, spec.cell, spec.reset_after)
    refuse_all_but(system, spec)


def refuse_all_but(system: str, spec: Spec) -> None:
    """UnsupportedError for the first option of a layer that a system cannot hold, of whatever cell."""
    for name in OPTIONS.keys() - SYSTEMS[system].options - _BY_CELL:
        value = getattr(spec, name)
        if value != OPTIONS[name].neutral:
            raise UnsupportedError(name, f"none for {system}", shown(value), "it has none")


# Biases ----------------------------------------------------------------------------------------------------
#
# Each kind splits its own form into (b_ih, b_hh) and joins them back; blocks are in the system's gate order,
# `n` is the row slice of the GRU's candidate gate where the reset gate multiplies its recurrent part, else
# None.


def _split_one(bias: Any, n: Any) -> tuple[np.ndarray, np.ndarray]:
    return bias, np.zeros_like(bias)


def _join_one(b_ih: Any, b_hh: Any, n: Any) -> np.ndarray:
    if n is not None and np.any(b_hh[n]):
        raise UnsupportedError(
            "bias_hh", "zeros for gate n", "other values", "one bias cannot hold a b_hn that r multiplies"
        )
    return b_ih + b_hh


def _split_four(bias: Any, n: Any) -> tuple[np.ndarray, np.ndarray]:
    H = len(bias) // 4
    b_hh = np.zeros(3 * H, bias.dtype)
    b_hh[n] = bias[3 * H :]
    return bias[: 3 * H], b_hh


def _join_four(b_ih: Any, b_hh: Any, n: Any) -> np.ndarray:
    rows = b_ih + b_hh
    rows[n] = b_ih[n]
    return np.concatenate([rows, b_hh[n]])


# kind -> (split, join, bias shape as a function of G and H)
BIASES: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[[int, int], tuple[int, ...]]]] = {
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
