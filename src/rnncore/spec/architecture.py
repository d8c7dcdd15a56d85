# SPDX-License-Identifier: MIT
"""What a layer is: `Spec`, and the gates of each cell."""

import dataclasses
import functools
import math

import numpy as np

from ..errors import ArgumentError, SizeError
from . import activations, checks

# Gate order of every stacked matrix: block k of weight_ih, weight_hh, bias_ih, bias_hh belongs to gate k.
GATES = {"rnn": ("h",), "lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n")}
NONLINEARITIES = ("tanh", "relu")

# Far above any use; keeps a mistyped count from listing parameters until memory ends.
MAX_LAYERS = 2**16


def gate_names(cell, coupled=False):
    """The gates of a cell in the order of their row blocks."""
    return tuple(gate for gate in GATES[cell] if not (coupled and gate == "f"))


@dataclasses.dataclass(frozen=True)
class Spec:
    """Architecture of a layer; validated on construction, immutable, hashable.

    Parameters
    ----------
    cell : {"rnn", "lstm", "gru"}
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
    activations : tuple
        As `activations.normalize` gives it; anything that it takes.

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
    nonlinearity: str = "tanh"
    bias: bool = True
    batch_first: bool = False
    dropout: float = 0.0
    bidirectional: bool = False
    dtype: np.dtype = checks.DTYPES[0]
    proj_size: int = 0
    reset_after: bool = True
    peepholes: bool = False
    coupled: bool = False
    clip: float | None = None
    activations: tuple = ()
    zoneout: float = 0.0
    zoneout_c: float = 0.0

    def __post_init__(self):
        def put(name, value):
            object.__setattr__(self, name, value)

        checks.check_choice("cell", self.cell, tuple(GATES))
        for name in ("input_size", "hidden_size", "num_layers"):
            put(name, checks.check_int(name, getattr(self, name), 1))
        if self.num_layers > MAX_LAYERS:
            raise ArgumentError("num_layers", f"at most {MAX_LAYERS}", self.num_layers)
        checks.check_choice("nonlinearity", self.nonlinearity, NONLINEARITIES)
        for name in ("bias", "batch_first", "bidirectional", "reset_after", "peepholes", "coupled"):
            put(name, checks.check_bool(name, getattr(self, name)))
        for name in ("dropout", "zoneout", "zoneout_c"):
            put(name, checks.check_probability(name, getattr(self, name)))
        put("dtype", checks.check_dtype("dtype", self.dtype))
        put("proj_size", checks.check_int("proj_size", self.proj_size, 0))
        if self.proj_size >= self.hidden_size:
            raise ArgumentError("proj_size", f"less than hidden_size = {self.hidden_size}", self.proj_size)
        for name, neutral, cell in (
            ("proj_size", 0, "lstm"),
            ("nonlinearity", "tanh", "rnn"),
            ("reset_after", True, "gru"),
            ("peepholes", False, "lstm"),
            ("coupled", False, "lstm"),
            ("zoneout_c", 0.0, "lstm"),
        ):
            if self.cell != cell and getattr(self, name) != neutral:
                raise ArgumentError(name, f"{neutral!r} for cell {self.cell!r}", repr(getattr(self, name)))
        if self.clip is not None:
            put("clip", checks.check_positive("clip", self.clip))
        put("activations", activations.normalize(self.activations, self.cell, self.coupled, self.directions))
        if self.cell == "rnn" and self.activations:
            if self.nonlinearity != "tanh":
                raise ArgumentError("nonlinearity", "'tanh' beside activations", repr(self.nonlinearity))
            if self.activations == ((("relu",),),):  # which has a name and a kernel of its own
                put("nonlinearity", "relu")
                put("activations", ())
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

    def _layer_shapes(self, width):
        """Shapes of one layer and direction whose input has `width` features, in PyTorch's order."""
        rows = self.gates * self.hidden_size
        shapes = {"weight_ih": (rows, width), "weight_hh": (rows, self.output_size)}
        if self.bias:
            shapes.update(bias_ih=(rows,), bias_hh=(rows,))
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        if self.peepholes:
            shapes["weight_peephole"] = ((self.gates - 1) * self.hidden_size,)
        return shapes

    @functools.cached_property
    def gate_names(self):
        """The gates in the order of their row blocks; coupled ones leave no f."""
        return gate_names(self.cell, self.coupled)

    @functools.cached_property
    def gates(self):
        """G: number of gates."""
        return len(self.gate_names)

    @functools.cached_property
    def general(self):
        """Whether the cell has options that its usual equations do not have."""
        return bool(self.peepholes or self.coupled or self.clip is not None or self.activations)

    def functions(self, direction):
        """The activations of a direction: place -> (name, *parameters)."""
        own = activations.places(self.cell, self.coupled)
        if not self.activations:
            return {place: (self.nonlinearity if place == "h" else name,) for place, name in own.items()}
        return dict(zip(own, self.activations[min(direction, len(self.activations) - 1)], strict=True))

    @functools.cached_property
    def directions(self):
        """D: 2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @functools.cached_property
    def output_size(self):
        """Features of h in one direction: P with projection, else H."""
        return self.proj_size or self.hidden_size

    @functools.cached_property
    def y_size(self):
        """Features of y: D times `output_size`."""
        return self.directions * self.output_size

    @functools.cached_property
    def drops(self):
        """Whether training calls draw masks; dropout has none where there is no output between layers."""
        return bool(self.dropout > 0 and self.num_layers > 1) or self.zoneout > 0 or self.zoneout_c > 0

    @functools.cached_property
    def token_bytes(self):
        """Upper bound of the bytes that one token (one step of one row) needs in any one buffer."""
        per_layer = self.directions * (self.gates + 2) * self.hidden_size
        return self.dtype.itemsize * max(self.input_size, self.num_layers * per_layer)

    def layer_input_size(self, layer):
        """Features that layer `layer` reads."""
        return self.input_size if layer == 0 else self.y_size

    def suffixes(self):
        """Name suffixes in order: ``_l0``, ``_l0_reverse``, ``_l1`` ...; position is the row of the state."""
        ends = ("", "_reverse")[: self.directions]
        return [f"_l{layer}{end}" for layer in range(self.num_layers) for end in ends]

    def parameter_shapes(self):
        """Names and shapes of all parameters.

        Returns
        -------
        dict of str to tuple of int
            In PyTorch's order: per layer and direction weight_ih (G*H, in), weight_hh (G*H, H or P),
            bias_ih (G*H,), bias_hh (G*H,), weight_hr (P, H), weight_peephole (3*H,) of gates i f o, or
            coupled (2*H,) of i o.
        """
        return {
            name + suffix: shape
            for k, suffix in enumerate(self.suffixes())
            for name, shape in self._layer_shapes(self.layer_input_size(k // self.directions)).items()
        }

    def state_shapes(self, N):
        """Shapes of the state of a batch of `N` rows.

        Returns
        -------
        tuple of tuple of int
            ``((L*D, N, H),)`` for RNN and GRU, ``((L*D, N, H or P), (L*D, N, H))`` for LSTM.
        """
        slots = self.num_layers * self.directions
        h = (slots, N, self.output_size)
        return (h, (slots, N, self.hidden_size)) if self.cell == "lstm" else (h,)

    def arguments(self):
        """The constructor call's arguments as text; what equals its default is left out."""
        shown = [str(self.input_size), str(self.hidden_size)]
        for field in dataclasses.fields(self)[3:]:
            value = getattr(self, field.name)
            if value != field.default:
                shown.append(f"{field.name}={str(value) if field.name == 'dtype' else value!r}")
        return ", ".join(shown)
