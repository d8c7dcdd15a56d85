# SPDX-License-Identifier: MIT
"""What a layer is: `Spec`."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, SizeError, shown
from . import activations, checks
from .cells import CELLS, OPTIONS, Cell, Parameter, gate_names, places

if TYPE_CHECKING:
    from collections.abc import Iterator

# Far above any use; keeps a mistyped count from listing parameters until memory ends.
MAX_LAYERS = 2**16


@dataclasses.dataclass(frozen=True)
class Spec:
    """Architecture of a layer; validated on construction, immutable, hashable.

    Parameters
    ----------
    cell : {"rnn", "lstm", "gru", "min_gru", "min_lstm"}
    input_size, hidden_size, num_layers : int
        I, H, L; each at least 1.
    nonlinearity : {"tanh", "relu"}
        Of the basic RNN; "tanh" for the other cells.
    bias, batch_first, bidirectional : bool
    dropout : float
        Probability of dropping an output of a layer before the next layer reads it; 0 <= p < 1.
    dtype : {"float32", "float64"} or numpy.dtype
    proj_size : int
        P of an LSTM with projection, 0 <= P < H; 0 means none.
    reset_after : bool
        Of the GRU: multiply by the reset gate after (True) or before the recurrent product.
    peepholes, coupled : bool
        Of the LSTM: gates i, f, o see the cell state; f = 1 - i and there is no gate f.
    clip : float, optional
        Bound of the gates' pre-activations.
    zoneout, zoneout_c : float
        Probability of a unit of h, and of an LSTM's c, of keeping its value of the step before; 0 <= p < 1.
    layer_norm : bool
        Of the LSTM and of the GRU that resets after: what the products give, and an LSTM's c, is normalised.
    activations : tuple
        As `activations.normalize` gives it; anything that it takes.
    store : {None, "bfloat16", "float16", "int8", "int8x16"}
        What packed matrices hold their values in, of a float32 layer; None: the dtype itself.

    Raises
    ------
    ArgumentError, DTypeError
        A value of the wrong type or outside its range.
    SizeError
        The parameters' bytes do not fit a signed 64-bit integer.
    """

    cell: str
    input_size: int
    hidden_size: int
    num_layers: int = 1
    nonlinearity: str = OPTIONS["nonlinearity"].neutral
    bias: bool = True
    batch_first: bool = False
    dropout: float = 0.0
    bidirectional: bool = False
    dtype: np.dtype[Any] = checks.DTYPES[0]
    proj_size: int = OPTIONS["proj_size"].neutral
    reset_after: bool = OPTIONS["reset_after"].neutral
    peepholes: bool = OPTIONS["peepholes"].neutral
    coupled: bool = OPTIONS["coupled"].neutral
    clip: float | None = OPTIONS["clip"].neutral
    activations: tuple[Any, ...] = OPTIONS["activations"].neutral
    zoneout: float = OPTIONS["zoneout"].neutral
    zoneout_c: float = OPTIONS["zoneout_c"].neutral
    layer_norm: bool = OPTIONS["layer_norm"].neutral
    store: str | None = OPTIONS["store"].neutral

    def __post_init__(self) -> None:
        def put(name, value):
            object.__setattr__(self, name, value)

        checks.check_choice("cell", self.cell, tuple(CELLS))
        for name in ("input_size", "hidden_size", "num_layers"):
            put(name, checks.check_int(name, getattr(self, name), 1))
        if self.num_layers > MAX_LAYERS:
            raise ArgumentError("num_layers", f"at most {MAX_LAYERS}", self.num_layers)
        for name in ("bias", "batch_first", "bidirectional"):
            put(name, checks.check_bool(name, getattr(self, name)))
        put("dropout", checks.check_probability("dropout", self.dropout))
        put("dtype", checks.check_dtype("dtype", self.dtype))
        for name, option in OPTIONS.items():
            value = option.check(name, getattr(self, name))
            if name not in self.table.options and value != option.neutral:
                raise ArgumentError(name, f"{option.neutral!r} for cell {self.cell!r}", shown(value))
            put(name, value)
        if self.form is None:
            asked = {name: getattr(self, name) for options in self.table.forms.values() for name in options}
            raise ArgumentError("/".join(asked), " or ".join(map(str, self.table.forms.values())), str(asked))
        if self.store and self.dtype.itemsize != checks.DTYPES[0].itemsize:
            raise ArgumentError("store", f"None for dtype {self.dtype}", repr(self.store))
        if self.proj_size >= self.hidden_size:
            raise ArgumentError("proj_size", f"less than hidden_size = {self.hidden_size}", self.proj_size)
        put("activations", activations.normalize(self.activations, self.cell, self.coupled, self.directions))
        if self.cell == "rnn" and self.activations:
            if self.nonlinearity != "tanh":
                raise ArgumentError("nonlinearity", "'tanh' beside activations", shown(self.nonlinearity))
            if self.activations == ((("relu",),),):  # which has a name and a kernel of its own
                put("nonlinearity", "relu")
                put("activations", ())
                put("form", "rnn_relu")
        self._check_sizes()

    def _check_sizes(self):
        # Layers above the second repeat its shapes: count them, do not list them.
        widths = (self.input_size, self.directions * self.output_size)
        per_layer = [self.directions * sum(map(math.prod, self._layer_shapes(w).values())) for w in widths]
        elements = per_layer[0] + (self.num_layers - 1) * per_layer[1]
        if elements * self.dtype.itemsize > checks.INT64_MAX:
            sizes = f"({self.input_size}, {self.hidden_size}, {self.num_layers})"
            limit = "(input_size, hidden_size, num_layers) whose parameters fit 2**63 - 1 bytes"
            raise SizeError("hidden_size", limit, sizes)

    @functools.cached_property
    def _sizes(self) -> dict[str, int]:
        """Sizes by their names in the table of cells, but for "I"."""
        G, H, P = self.gates, self.hidden_size, self.proj_size
        return {"H": H, "P": P, "O": P or H, "GH": G * H, "(G-1)H": (G - 1) * H}

    def _layer_shapes(self, width):
        """Shapes of one layer and direction whose input has `width` features, in PyTorch's order."""
        sizes = self._sizes | {"I": width}
        return {row.name: tuple(sizes[name] for name in row.shape) for row in self.kinds}

    @functools.cached_property
    def table(self) -> Cell:
        """The cell's row of CELLS."""
        return CELLS[self.cell]

    @property
    def title(self) -> str:
        """The name of the cell's class."""
        return self.table.title

    @functools.cached_property
    def form(self) -> str:
        """The cell's name in the core; None where it has no such form."""
        for name, options in self.table.forms.items():
            if all(getattr(self, option) == value for option, value in options.items()):
                return name
        return None

    @functools.cached_property
    def kinds(self) -> tuple[Parameter, ...]:
        """The parameters that each layer and direction has: rows of the table of cells."""
        return tuple(row for row in self.table.parameters if not row.when or getattr(self, row.when))

    @functools.cached_property
    def is_recurrent(self) -> bool:
        """Whether a matrix multiplies the h of the step before."""
        return any(row.name == "weight_hh" for row in self.kinds)

    @functools.cached_property
    def gate_names(self) -> tuple[str, ...]:
        """The gates in the order of their row blocks; coupled ones leave no f."""
        return gate_names(self.cell, self.coupled)

    @functools.cached_property
    def gates(self) -> int:
        """G: number of gates."""
        return len(self.gate_names)

    def functions(self, direction: int) -> dict[str, tuple[Any, ...]]:
        """The activations of a direction: place -> (name, parameter, ...)."""
        own = places(self.cell, self.coupled)
        if not self.activations:
            named = {place: self.nonlinearity if place == "h" else name for place, name in own.items()}
            return {place: activations.entry_of(place, name) for place, name in named.items()}
        return dict(zip(own, self.activations[min(direction, len(self.activations) - 1)], strict=True))

    @functools.cached_property
    def directions(self) -> int:
        """D: 2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @functools.cached_property
    def output_size(self) -> int:
        """Features of h in one direction: P with projection, else H."""
        return self._sizes["O"]

    @functools.cached_property
    def y_size(self) -> int:
        """Features of y: D times `output_size`."""
        return self.directions * self.output_size

    @functools.cached_property
    def drops(self) -> bool:
        """Whether training calls draw masks; dropout has none where there is no output between layers."""
        zoneout = any(getattr(self, part.zoneout) for part in self.table.state)
        return zoneout or (self.dropout > 0 and self.num_layers > 1)

    @functools.cached_property
    def token_bytes(self) -> int:
        """Upper bound of the bytes that one token (one step of one row) needs in any one buffer."""
        per_layer = self.directions * (self.gates + 2) * self.hidden_size
        return self.dtype.itemsize * max(self.input_size, self.num_layers * per_layer)

    def layer_input_size(self, layer: int) -> int:
        """Features that layer `layer` reads."""
        return self.input_size if layer == 0 else self.y_size

    def suffixes(self) -> list[str]:
        """Name suffixes in order: ``_l0``, ``_l0_reverse``, ``_l1`` ...; position is the row of the state."""
        ends = ("", "_reverse")[: self.directions]
        return [f"_l{layer}{end}" for layer in range(self.num_layers) for end in ends]

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all parameters.

        Returns
        -------
        dict of str to tuple of int
            In PyTorch's order: per layer and direction weight_ih (G*H, in), weight_hh (G*H, H or P),
            bias_ih (G*H,), bias_hh (G*H,), weight_hr (P, H), weight_peephole (3*H,) of gates i f o, or
            coupled (2*H,) of i o; those that the cell has.
        """
        return dict(self._parameter_shapes)

    @functools.cached_property
    def _parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: shape for name, _, shape in self.each_parameter()}

    @functools.cached_property
    def parameter_size(self) -> int:
        """How many numbers all parameters are."""
        return sum(map(math.prod, self._parameter_shapes.values()))

    def each_parameter(self) -> Iterator[tuple[str, Parameter, tuple[int, ...]]]:
        """Name, row of the table of cells, and shape of each parameter, in the order of `parameter_shapes`."""
        for k, suffix in enumerate(self.suffixes()):
            shapes = self._layer_shapes(self.layer_input_size(k // self.directions))
            for row in self.kinds:
                yield row.name + suffix, row, shapes[row.name]

    @property
    def parameter_count(self) -> int:
        """How many arrays `parameter_shapes` lists."""
        return self.num_layers * self.directions * len(self.kinds)

    def state_shapes(self, N: int) -> tuple[tuple[int, int, int], ...]:
        """Shapes of the state of a batch of `N` rows.

        Returns
        -------
        tuple of tuple of int
            ``((L*D, N, H or P), (L*D, N, H))`` for LSTM, ``((L*D, N, H),)`` for the others.
        """
        rows, features = self._state_sizes
        return tuple([(rows, N, size) for size in features])

    @functools.cached_property
    def _state_sizes(self) -> tuple[int, tuple[int, ...]]:
        """L*D, and the features of each part of the state."""
        sizes = tuple(self._sizes[part.size] for part in self.table.state)
        return self.num_layers * self.directions, sizes

    def arguments(self) -> str:
        """The constructor call's arguments as text; what equals its default is left out."""
        shown = [str(self.input_size), str(self.hidden_size)]
        for name, value in self.keywords().items():
            if name not in ("input_size", "hidden_size") and value != _DEFAULTS[name]:
                shown.append(f"{name}={str(value) if name == 'dtype' else value!r}")
        return ", ".join(shown)

    def keywords(self) -> dict[str, Any]:
        """The arguments that make a layer of this Spec, by name: all but options of other cells."""
        others = OPTIONS.keys() - self.table.options
        return {name: getattr(self, name) for name in _DEFAULTS if name != "cell" and name not in others}

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON.

        Returns
        -------
        dict
            `from_dict` reads it. The names are those of format version 1 of rnncore's files; options that came later
            are there where they are used.
        """
        found = {name: getattr(self, name) for name in _DEFAULTS} | {"dtype": self.dtype.name}
        return {
            name: value for name, value in found.items() if name not in _LATER or value != _DEFAULTS[name]
        }

    @classmethod
    def from_dict(cls, fields: Any) -> Spec:
        """The Spec of what `to_dict` gave, or of what claims to be that.

        Raises
        ------
        ArgumentError, DTypeError, SizeError
            It describes none.
        """
        if not isinstance(fields, dict) or set(fields) | _LATER != set(_DEFAULTS):
            raise ArgumentError(
                "architecture", f"exactly the fields {', '.join(_DEFAULTS)}", str(fields)[:200]
            )
        if not isinstance(fields["dtype"], str):  # NumPy would take structures, too
            raise ArgumentError("dtype", "text", str(fields["dtype"])[:40])
        return cls(**fields)


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Spec)}
_LATER = {name for name, option in OPTIONS.items() if not option.always}
