# SPDX-License-Identifier: MIT
"""The table of cells: gates, functions, state, parameters and options.

`Spec`, the initializers, the files, the twins and the extension walk it. A cell is a row of CELLS, a new option a row
of OPTIONS and a name in the rows of the cells that take it, a new parameter a line in a cell's row.
"""

from __future__ import annotations

import typing

from . import checks
from .stores import check_store


class Parameter(typing.NamedTuple):
    """One array of each layer and direction.

    Attributes
    ----------
    name : str
        PyTorch's, without the suffix of layer and direction.
    shape : tuple of str
        Names of sizes: "I" what the layer reads, "H", "P", "O" what it gives (P with projection, else H), "GH" for
        a block of H rows per gate, "(G-1)H" for one per gate but one.
    when : str
        The option of the layer that it is there with; "" if it always is.
    initial : float, optional
        What all of it begins with; drawn if left out.
    """

    name: str
    shape: tuple[str, ...]
    when: str = ""
    initial: float | None = None


class State(typing.NamedTuple):
    """One part of the state: its name, the name of its size, and the option that is its zoneout."""

    name: str
    size: str
    zoneout: str


class Option(typing.NamedTuple):
    """What a layer may be asked for beside its sizes.

    Attributes
    ----------
    neutral : object
        The value that is no option at all: the only one for cells that do not take it.
    check : callable
        Of the field's name and a value; gives the value as a `Spec` holds it.
    always : bool
        Whether a file names it even where it is neutral.
    """

    neutral: typing.Any
    check: typing.Callable[[str, typing.Any], typing.Any]
    always: bool = False


class Cell(typing.NamedTuple):
    """One row of CELLS.

    Attributes
    ----------
    title : str
        The name of its class.
    gates : str
        Letters of the gates in the order of their row blocks.
    places : dict of str to str
        Where it has a function, and which one unless something else is said: the gates, and "c", through which an
        LSTM's cell state goes on its way to h.
    state : tuple of State
    parameters : tuple of Parameter
        In PyTorch's order.
    options : frozenset of str
        Those of OPTIONS that it takes.
    forms : dict of str to dict
        What the core knows as different cells: name -> the options that make it this one.
    """

    title: str
    gates: str
    places: dict[str, str]
    state: tuple[State, ...]
    parameters: tuple[Parameter, ...]
    options: frozenset[str]
    forms: dict[str, dict[str, typing.Any]]


def _one_of(*choices):
    def check(field, value):
        checks.check_choice(field, value, choices)
        return value

    return check


OPTIONS = {
    "nonlinearity": Option("tanh", _one_of("tanh", "relu"), always=True),
    "proj_size": Option(0, lambda field, value: checks.check_int(field, value, 0), always=True),
    "reset_after": Option(True, checks.check_bool, always=True),
    "peepholes": Option(False, checks.check_bool),
    "coupled": Option(False, checks.check_bool),
    "layer_norm": Option(False, checks.check_bool),
    "clip": Option(None, lambda field, value: None if value is None else checks.check_positive(field, value)),
    "activations": Option((), lambda field, value: value),  # a matter of the cell's places: see `activations`
    "zoneout": Option(0.0, checks.check_probability),
    "zoneout_c": Option(0.0, checks.check_probability),
    "store": Option(None, check_store),
}
_ANY = frozenset({"clip", "activations", "zoneout", "store"})

_INPUT = (Parameter("weight_ih", ("GH", "I")), Parameter("bias_ih", ("GH",), when="bias"))
_WEIGHTS = (
    _INPUT[0],
    Parameter("weight_hh", ("GH", "O")),
    _INPUT[1],
    Parameter("bias_hh", ("GH",), when="bias"),
)
_GAINS = (
    Parameter("gain_ih", ("GH",), when="layer_norm", initial=1.0),
    Parameter("gain_hh", ("GH",), when="layer_norm", initial=1.0),
)
_H = State("h", "O", "zoneout")

CELLS = {
    "rnn": Cell(
        title="RNN",
        gates="h",
        places={"h": "tanh"},
        state=(_H,),
        parameters=_WEIGHTS,
        options=_ANY | {"nonlinearity"},
        forms={"rnn_tanh": {"nonlinearity": "tanh"}, "rnn_relu": {"nonlinearity": "relu"}},
    ),
    "lstm": Cell(
        title="LSTM",
        gates="ifgo",
        places={"i": "sigmoid", "f": "sigmoid", "g": "tanh", "o": "sigmoid", "c": "tanh"},
        state=(_H, State("c", "H", "zoneout_c")),
        parameters=(
            *_WEIGHTS,
            Parameter("weight_hr", ("P", "H"), when="proj_size"),
            Parameter("weight_peephole", ("(G-1)H",), when="peepholes"),
            *_GAINS,
            Parameter("gain_c", ("H",), when="layer_norm", initial=1.0),
            Parameter("bias_c", ("H",), when="layer_norm", initial=0.0),
        ),
        options=_ANY | {"proj_size", "peepholes", "coupled", "zoneout_c", "layer_norm"},
        forms={"lstm": {"layer_norm": False}, "lstm_norm": {"layer_norm": True}},
    ),
    "gru": Cell(
        title="GRU",
        gates="rzn",
        places={"r": "sigmoid", "z": "sigmoid", "n": "tanh"},
        state=(_H,),
        parameters=(*_WEIGHTS, *_GAINS),
        options=_ANY | {"reset_after", "layer_norm"},
        forms={
            "gru": {"reset_after": True, "layer_norm": False},
            "gru_reset_before": {"reset_after": False, "layer_norm": False},
            "gru_norm": {"reset_after": True, "layer_norm": True},
        },
    ),
    "min_gru": Cell(
        title="MinGRU",
        gates="zn",
        places={"z": "sigmoid", "n": "affine"},
        state=(_H,),
        parameters=_INPUT,
        options=_ANY,
        forms={"min_gru": {}},
    ),
    "min_lstm": Cell(
        title="MinLSTM",
        gates="ifg",
        places={"i": "sigmoid", "f": "sigmoid", "g": "affine"},
        state=(_H,),
        parameters=_INPUT,
        options=_ANY,
        forms={"min_lstm": {}},
    ),
}

# Gate order of every stacked matrix: block k of weight_ih, weight_hh, bias_ih, bias_hh belongs to gate k.
GATES = {name: tuple(cell.gates) for name, cell in CELLS.items()}


def gate_names(cell: str, coupled: bool = False) -> tuple[str, ...]:
    """The gates of a cell in the order of their row blocks; coupled ones leave no f."""
    return tuple(gate for gate in GATES[cell] if not (coupled and gate == "f"))


def places(cell: str, coupled: bool = False) -> dict[str, str]:
    """Names and usual functions of a cell's places, in order; coupled gates leave no place f."""
    return {place: name for place, name in CELLS[cell].places.items() if not (coupled and place == "f")}
