# SPDX-License-Identifier: MIT
"""The cases whose bits are pinned: small calls that reach every option of every cell, alone and together.

Their arrays are dyadic fractions from an integer generator, exact in both dtypes' own digits: they depend on the
array's name and shape alone, on no library's random streams and on no function of libm.
"""

import dataclasses
import hashlib

import numpy as np

import rnncore

# Cells -----------------------------------------------------------------------------------------------------

CELLS = {
    "rnn_tanh": ("RNN", {"nonlinearity": "tanh"}),
    "rnn_relu": ("RNN", {"nonlinearity": "relu"}),
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {"reset_after": True}),
    "gru_before": ("GRU", {"reset_after": False}),
    "lstm_norm": ("LSTM", {"layer_norm": True}),
    "gru_norm": ("GRU", {"layer_norm": True}),
    "min_gru": ("MinGRU", {}),
    "min_lstm": ("MinLSTM", {}),
}
DTYPES = ("float32", "float64")

# Calls -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Call:
    """Sizes, options of the layer, arguments of `forward`, and which arrays the calls are given."""

    T: int = 6
    N: int = 7
    I: int = 5  # noqa: E741  the project's word for the input size
    H: int = 17
    layer: dict = dataclasses.field(default_factory=dict)
    forward: dict = dataclasses.field(default_factory=dict)
    lengths: tuple | None = None
    state: bool = False
    batched: bool = True
    gradients: tuple = ("dy", "dstate")


RAGGED = (3, 0, 6, 1, 5, 6, 2)
LONG = (40, 0, 7, 33, 40)
DEEP = {"num_layers": 2, "bidirectional": True}
DROPS = {"recurrent_dropout": 0.25, "weight_dropout": 0.375}

# Of every cell.
COMMON = {
    "plain": Call(),
    "two-layers": Call(layer={"num_layers": 2}),
    "both-directions": Call(layer={"bidirectional": True}),
    "two-layers-both-directions": Call(layer=DEEP),
    "ragged": Call(lengths=RAGGED),
    "two-layers-ragged": Call(layer={"num_layers": 2}, lengths=RAGGED, state=True),
    "both-directions-ragged": Call(layer={"bidirectional": True}, lengths=RAGGED, state=True),
    "state": Call(state=True),
    "gradient-of-state-alone": Call(state=True, lengths=RAGGED, gradients=("dstate",)),
    "gradient-of-y-alone": Call(layer=DEEP, gradients=("dy",)),
    "batch-first": Call(layer={"batch_first": True}, state=True),
    "no-bias": Call(layer={"bias": False}),
    "unbatched": Call(N=1, layer={"num_layers": 2}, state=True, batched=False),
    "clip": Call(layer={"clip": 0.375}),
    "zoneout": Call(layer={"zoneout": 0.25}, state=True),
    "dropout": Call(layer={"num_layers": 3, "dropout": 0.375}),
    "recurrent-dropout": Call(forward={"recurrent_dropout": 0.25}, state=True),
    "weight-dropout": Call(forward={"weight_dropout": 0.375}, state=True),
    "checkpoint-gates": Call(T=9, layer={"num_layers": 2}, forward={"checkpoint": "gates"}),
    "checkpoint-4": Call(T=9, layer={"bidirectional": True}, forward={"checkpoint": 4}, state=True),
    "smallest": Call(T=1, N=1, I=1, H=1),
    "one-unit": Call(I=1, H=1, layer={"num_layers": 2}),
    "few-units-of-many-rows": Call(N=33, H=5, layer={"num_layers": 2}, state=True),
    "one-step-of-many-rows": Call(T=1, N=33, I=5, H=40, state=True),
    "many-rows": Call(T=5, N=33, I=1, H=40, layer={"bidirectional": True}),
    "many-steps": Call(T=40, N=1, I=5, H=40, layer={"num_layers": 2}),
    "many-steps-ragged": Call(T=40, N=5, I=5, H=17, layer=DEEP, lengths=LONG),
    # Several chunks of tokens, and rows of gates whose length is a power of two.
    "many-tokens": Call(T=13, N=17, I=33, H=64, state=True),
    "many-units": Call(T=4, N=2, I=5, H=131, layer={"num_layers": 2}),
    "together": Call(
        layer=DEEP | {"dropout": 0.25, "zoneout": 0.125, "clip": 1.5},
        forward={"recurrent_dropout": 0.25},
        lengths=RAGGED,
        state=True,
    ),
    "together-checkpoint": Call(
        T=40,
        N=5,
        layer=DEEP | {"dropout": 0.25, "zoneout": 0.125, "batch_first": True},
        forward=DROPS | {"checkpoint": "gates"},
        lengths=LONG,
        state=True,
    ),
    "together-stream": Call(
        T=9,
        layer={"num_layers": 3, "dropout": 0.25, "zoneout": 0.125, "clip": 1.5, "bias": False},
        forward=DROPS | {"checkpoint": 3},
        state=True,
    ),
}

# Functions at the gates; where there are two mappings, each has a direction. Every family has every function, and
# those that log_space was made for have that.
FUNCTIONS_OF_RNN = (
    (("affine", 0.75, 0.125), ("elu", 0.5)),
    (("leaky_relu", 0.25), "softsign"),
    ("softplus", ("hard_sigmoid", 0.25, 0.375)),
    (("thresholded_relu", 0.125), ("scaled_tanh", 1.5, 0.75)),
    ("sigmoid", "relu"),
)
GATES_OF_GRU = (
    {"r": "relu", "z": ("affine", 0.25, 0.5), "n": ("leaky_relu", 0.25)},
    {"r": "softsign", "z": "sigmoid", "n": ("thresholded_relu", 0.125)},
    {"r": "softplus", "z": ("hard_sigmoid", 0.25, 0.375), "n": ("scaled_tanh", 1.5, 0.75)},
    {"r": "tanh", "z": "sigmoid", "n": ("elu", 0.5)},
)
GATES_OF_MIN_GRU = (
    {"z": ("affine", 0.25, 0.5), "n": ("leaky_relu", 0.25)},
    {"z": "sigmoid", "n": ("scaled_tanh", 1.5, 0.75)},
)
GATES_OF_MIN_LSTM = (
    {"i": "softplus", "f": ("hard_sigmoid", 0.25, 0.625), "g": ("elu", 0.5)},
    {"g": "tanh"},
)
GATES_OF_LSTM = (
    {"i": "hard_sigmoid", "f": ("affine", 0.25, 0.5), "g": ("elu", 0.5), "o": "softsign", "c": "softplus"},
    {"i": "tanh", "f": "sigmoid", "g": "relu", "o": ("leaky_relu", 0.25), "c": ("scaled_tanh", 1.5, 0.75)},
    {"g": ("thresholded_relu", 0.125), "c": "softsign"},
)


RNN_CALLS = {
    f"functions-{k}": Call(
        layer={"bidirectional": True, "activations": tuple({"h": function} for function in pair)},
        lengths=RAGGED,
        state=True,
    )
    for k, pair in enumerate(FUNCTIONS_OF_RNN)
} | {
    "functions-5": Call(
        layer={"num_layers": 2, "activations": {"h": "softplus"}, "clip": 0.375, "zoneout": 0.25},
        forward={"checkpoint": 3} | DROPS,
        state=True,
    )
}

GRU_CALLS = {
    "functions-0": Call(layer={"activations": GATES_OF_GRU[0]}, state=True),
    "functions-1": Call(layer={"bidirectional": True, "activations": GATES_OF_GRU[1:3]}, lengths=RAGGED),
    "functions-2": Call(
        layer={"num_layers": 2, "activations": GATES_OF_GRU[3], "clip": 0.375, "zoneout": 0.25},
        forward={"checkpoint": 3} | DROPS,
        state=True,
    ),
}


def min_calls(first, second, new):
    """Those of a cell without recurrent products, whose gate `new` is what may come in."""
    return {
        "log-space": Call(
            layer={"num_layers": 2, "activations": {new: "log_space"}}, lengths=RAGGED, state=True
        ),
        "functions-0": Call(layer={"activations": first}, state=True),
        "functions-1": Call(layer={"bidirectional": True, "activations": (first, second)}, lengths=RAGGED),
        "functions-2": Call(
            layer={"num_layers": 2, "activations": second, "clip": 0.375, "zoneout": 0.25},
            forward={"checkpoint": 3} | DROPS,
            state=True,
        ),
    }


WHOLE_LSTM = {"peepholes": True, "coupled": True, "proj_size": 7, "clip": 1.5, "zoneout": 0.125}
WHOLE_LSTM |= {"zoneout_c": 0.25, "dropout": 0.25}
LSTM_CALLS = {
    "functions-0": Call(layer={"activations": GATES_OF_LSTM[0]}, state=True),
    "functions-1": Call(layer={"bidirectional": True, "activations": GATES_OF_LSTM[1:3]}, lengths=RAGGED),
    "functions-2": Call(
        layer={"num_layers": 2, "activations": GATES_OF_LSTM[1], "clip": 0.375, "peepholes": True},
        forward={"checkpoint": 3} | DROPS,
        state=True,
    ),
    "projection": Call(layer={"proj_size": 7}, state=True),
    "projection-deep-ragged": Call(layer=DEEP | {"proj_size": 7}, lengths=RAGGED, state=True),
    "projection-many-rows": Call(T=3, N=33, H=40, layer={"proj_size": 33}, forward={"checkpoint": 2}),
    "projection-together": Call(
        layer=DEEP | {"proj_size": 7, "zoneout": 0.25, "zoneout_c": 0.125, "dropout": 0.375},
        forward=DROPS,
        lengths=RAGGED,
        state=True,
    ),
    "zoneout-c": Call(layer={"zoneout_c": 0.25}, state=True),
    "zoneout-both": Call(
        T=9,
        layer={"num_layers": 2, "zoneout": 0.125, "zoneout_c": 0.25},
        forward={"checkpoint": "gates"},
        state=True,
    ),
    "peepholes": Call(layer={"peepholes": True}, state=True),
    "peepholes-deep-ragged": Call(layer=DEEP | {"peepholes": True}, lengths=RAGGED, state=True),
    "coupled": Call(layer={"coupled": True}, state=True),
    "coupled-no-bias": Call(layer={"coupled": True, "bias": False, "num_layers": 2}, lengths=RAGGED),
    "peepholes-coupled-clip": Call(layer={"peepholes": True, "coupled": True, "clip": 0.375}, state=True),
    "whole": Call(layer=DEEP | WHOLE_LSTM, forward=DROPS, lengths=RAGGED, state=True),
    "whole-checkpoint": Call(T=40, N=5, layer=DEEP | WHOLE_LSTM, forward={"checkpoint": 6}, lengths=LONG),
    "whole-stream": Call(
        N=3, layer=WHOLE_LSTM | {"num_layers": 2, "activations": GATES_OF_LSTM[2]}, state=True
    ),
}

SPECIAL = {
    "rnn_tanh": RNN_CALLS,
    "rnn_relu": {},  # takes no other function
    "lstm": LSTM_CALLS,
    "gru": GRU_CALLS,
    "gru_before": GRU_CALLS,
    "lstm_norm": LSTM_CALLS,
    "gru_norm": GRU_CALLS,
    "min_gru": min_calls(*GATES_OF_MIN_GRU, "n"),
    "min_lstm": min_calls(*GATES_OF_MIN_LSTM, "g"),
}

# Arrays ----------------------------------------------------------------------------------------------------

DIGITS = {"float32": 24, "float64": 53}


def _mix(z):
    """SplitMix64's output function (Steele, Lea, Flood 2014) on an array of uint64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def fractions(name, shape, dtype, scale=1.0):
    """An array of this name and shape: multiples of 2**(1 - DIGITS) in -1 <= v < 1, times a power of two."""
    digits = DIGITS[dtype]
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    counter = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64)
    draws = _mix(np.uint64(seed) + counter * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - digits)
    whole = draws.astype(np.int64) - (1 << (digits - 1))
    return (whole * (scale * 2.0 ** (1 - digits))).astype(dtype).reshape(shape)


# Cases -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Case:
    """One cell, dtype and call."""

    cell: str
    dtype: str
    name: str
    call: Call

    @property
    def id(self):
        """What the table calls it, such as lstm-float32-two-layers-ragged."""
        return f"{self.cell}-{self.dtype}-{self.name}"

    def build(self):
        """The layer; each one draws the same masks."""
        kind, options = CELLS[self.cell]
        call = self.call
        layer = getattr(rnncore, kind)(call.I, call.H, dtype=self.dtype, seed=1, **options, **call.layer)
        # A power of two near 1 / sqrt(H), so that gates are neither straight nor saturated.
        scale = 0.5 ** (call.H.bit_length() // 2)
        shapes = {name: array.shape for name, array in layer.parameters().items()}
        layer.load_state_dict(
            {name: fractions(name, shape, self.dtype, scale) for name, shape in shapes.items()}
        )
        return layer

    @property
    def x(self):
        """The input, in the layout of the layer."""
        call = self.call
        x = fractions("x", (call.T, call.N, call.I), self.dtype)
        if not call.batched:
            return x[:, 0]
        return x.swapaxes(0, 1) if call.layer.get("batch_first") else x

    def like(self, name, arrays):
        """Fractions in the shapes of a state: h, or a pair (h, c)."""
        if isinstance(arrays, tuple):
            return tuple(
                fractions(name + part, a.shape, self.dtype) for part, a in zip("hc", arrays, strict=True)
            )
        return fractions(name + "h", arrays.shape, self.dtype)

    @property
    def streams(self):
        """Whether the calls can be made step by step."""
        return self.call.lengths is None and not self.call.layer.get("bidirectional")


CASES = {
    case.id: case
    for cell in CELLS
    for dtype in DTYPES
    for name, call in (COMMON | SPECIAL[cell]).items()
    for case in [Case(cell, dtype, name, call)]
}
