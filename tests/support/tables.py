# SPDX-License-Identifier: MIT
"""What the tests walk over, as data: cells, dtypes, shapes, tolerances, bad input.

Every tolerance of the tests stands here with its derivation; the outside suites bring their own.
"""

import dataclasses
import os

import numpy as np

import rnncore

# Cells -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Cell:
    """One row of the grid: a layer class and the options that select the cell's equations."""

    id: str
    layer: str
    fixed: tuple = ()
    projected: bool = False

    def options(self, hidden_size):
        """Keyword arguments for this hidden size; a projection halves it."""
        options = dict(self.fixed)
        if self.projected:
            options["proj_size"] = hidden_size // 2
        return options


CELLS = [
    Cell("rnn", "RNN"),
    Cell("rnn_relu", "RNN", (("nonlinearity", "relu"),)),
    Cell("lstm", "LSTM"),
    Cell("lstm_proj", "LSTM", projected=True),
    Cell("gru", "GRU"),
    Cell("gru_before", "GRU", (("reset_after", False),)),
    Cell("lstm_norm", "LSTM", (("layer_norm", True),)),
    Cell("gru_norm", "GRU", (("layer_norm", True),)),
    # Rows with options; every function of rnncore.spec.activations is in one of them.
    Cell("rnn_general", "RNN", (("clip", 1.5), ("activations", (("softplus",),)))),
    Cell("lstm_peepholes", "LSTM", (("peepholes", True),)),
    Cell(
        "lstm_general",
        "LSTM",
        (
            ("peepholes", True),
            ("clip", 0.75),
            (
                "activations",
                (("hard_sigmoid", ("affine", 0.5, 0.25), "elu", "sigmoid", ("scaled_tanh", 1.7, 0.6)),),
            ),
        ),
        projected=True,
    ),
    Cell(
        "lstm_coupled",
        "LSTM",
        (("coupled", True), ("peepholes", True), ("activations", (("sigmoid", "softsign", "tanh", "relu"),))),
    ),
    Cell(
        "lstm_norm_general",
        "LSTM",
        (("layer_norm", True), ("coupled", True), ("peepholes", True), ("clip", 1.0)),
        projected=True,
    ),
    Cell(
        "gru_norm_general", "GRU", (("layer_norm", True), ("activations", (("sigmoid", "softsign", "elu"),)))
    ),
    Cell(
        "gru_general",
        "GRU",
        (("clip", 1.0), ("activations", (("sigmoid", "hard_sigmoid", ("leaky_relu", 0.3)),))),
    ),
    Cell(
        "gru_before_general",
        "GRU",
        (("reset_after", False), ("activations", (("softsign", "sigmoid", ("thresholded_relu", -0.4)),))),
    ),
]

DTYPES = {"f32": np.dtype(np.float32), "f64": np.dtype(np.float64)}


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of one call; the id reads T7N3I5H17."""

    T: int
    N: int
    I: int  # noqa: E741  the project's word for the input size
    H: int

    @property
    def id(self):
        return f"T{self.T}N{self.N}I{self.I}H{self.H}"


# Smallest sizes, sizes around the vector widths (4, 8, 16 lanes), odd ones, and more rows than one tile.
SHAPES = [
    Shape(1, 1, 1, 2),
    Shape(3, 2, 4, 8),
    Shape(7, 3, 5, 17),
    Shape(5, 7, 16, 16),
    Shape(2, 13, 33, 31),
    Shape(4, 1, 9, 65),
]

GRADIENT_SHAPE = Shape(4, 3, 2, 4)  # small: each parameter costs two forward passes

# Tolerances ------------------------------------------------------------------------------------------------

# Central difference (f(v + e) - f(v - e)) / 2e of a float64 loss.  Truncation is e^2 |f'''| / 6 ~ 2e-11 at
# e = 1e-5 with derivatives of order 1; rounding is k 2^-53 |f| / e ~ 1e-10 for the k ~ 10 roundings that a
# loss of order 10 sees.  The bound leaves a factor of about 30 for larger third derivatives.
DIFFERENCE_STEP = 1e-5
DIFFERENCE_TOLERANCE = 3e-9
# Rounding in the narrower one is ten times that, still below the bound for a loss of order 1.
DIFFERENCE_STEPS = (DIFFERENCE_STEP, DIFFERENCE_STEP / 10)

# Fourfold precision is not at hand, so another float64 implementation is the judge: two sums of K products
# differ by about K 2^-53, and contracting steps do not amplify; 1e-12 and 1e-10 leave a factor of 100.  The
# float32 figures are the same argument with 2^-24.  Relative to the largest element of each array.
TOLERANCES = {
    ("forward", DTYPES["f64"]): 1e-12,
    ("gradient", DTYPES["f64"]): 1e-10,
    ("forward", DTYPES["f32"]): 1e-5,
    ("gradient", DTYPES["f32"]): 1e-4,
}

# Printed with four digits: half a unit of the last one.
FOUR_DIGITS = 0.5e-4

# A fraction of 1e5 Bernoulli draws: five standard deviations, sqrt(0.25 / 1e5) each.
MASK_DRAWS = 100_000
MASK_FRACTION_TOLERANCE = 5 * (0.25 / MASK_DRAWS) ** 0.5

# Products of orthogonal float64 matrices of at most 20 rows.
ORTHOGONALITY = 1e-14


def relative_error(got, expected):
    """Largest difference relative to the largest magnitude expected; 0 for empty arrays."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"shape {got.shape}, expected {expected.shape}"
    if expected.size == 0:
        return 0.0
    return float(np.max(np.abs(got - expected)) / max(np.max(np.abs(expected)), np.finfo(np.float64).tiny))


# Cases of the shared suites that must be refused: name -> (exception, field).
REFUSED = {
    "RNN.RNN_invalid_sequence_lens": ("ShapeError", "lengths"),
    "RNN.RNN_invalid_sequence_lens#2": ("LengthsError", "lengths"),
    "RNN.RNN_with_invalid_activation_load_failure": ("UnsupportedError", "activations"),
}

# Bad input -------------------------------------------------------------------------------------------------


class Bench:
    """A layer of `implementation` with sound arguments for every call; error rows spoil one of them."""

    T, N, I, H = 5, 2, 4, 4  # noqa: E741  I = H, so that y may be written over x

    def __init__(self, implementation, layer="LSTM", **options):
        options = {"dtype": "float64", "seed": 1} | options
        self.implementation = implementation
        self.make = getattr(implementation, layer)
        self.layer = self.make(self.I, self.H, **options)
        self.dtype = np.dtype(options["dtype"])
        rng = np.random.default_rng(2)
        self.x = rng.standard_normal((self.T, self.N, self.I)).astype(self.dtype)
        self.h = rng.standard_normal((1, self.N, self.H)).astype(self.dtype)
        self.c = rng.standard_normal((1, self.N, self.H)).astype(self.dtype)
        self.dy = rng.standard_normal((self.T, self.N, self.H)).astype(self.dtype)
        self.out = np.full_like(self.dy, 7)
        self.lengths = np.array([3, 5])

    def tape(self):
        return self.layer.forward(self.x)[2]

    def arrays(self):
        """Copies of all that a refused call must leave alone."""
        own = {name: value.copy() for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return own | self.layer.state_dict()


@dataclasses.dataclass(frozen=True)
class BadInput:
    """A call that must raise `error` (a class of rnncore.errors) about `field` and change nothing."""

    id: str
    error: str
    field: str
    call: object  # takes a Bench
    layer: str = "LSTM"
    options: tuple = ()


def _folded(b):
    """An array of y's shape in which all steps are the same memory."""
    y = b.out
    return np.lib.stride_tricks.as_strided(y, y.shape, (0, *y.strides[1:]))


def _shifted(b):
    """x and out one step apart in one buffer."""
    buffer = np.zeros((b.T + 1, b.N, b.I))
    return b.layer(buffer[:-1], out=buffer[1:])


def _read_only(b):
    b.out.flags.writeable = False
    return b.layer(b.x, out=b.out)


def _with(b, name, value):
    return {**b.layer.state_dict(), name: value}


def _without(b, name):
    values = b.layer.state_dict()
    del values[name]
    return values


def _twice(b):
    tape = b.tape()
    b.layer.backward(tape, b.dy)
    return b.layer.backward(tape, b.dy)


def _stale(b):
    tape = b.tape()
    b.layer.load_state_dict(b.layer.state_dict())
    return b.layer.backward(tape, b.dy)


def _huge_view(b):
    return np.broadcast_to(b.dtype.type(0), (2**36, 2**20, b.I))


BAD_INPUT = [
    # Construction
    BadInput("input_size-zero", "ArgumentError", "input_size", lambda b: b.make(0, 3)),
    BadInput("hidden_size-negative", "ArgumentError", "hidden_size", lambda b: b.make(3, -1)),
    BadInput("hidden_size-bool", "ArgumentError", "hidden_size", lambda b: b.make(3, True)),
    BadInput("hidden_size-float", "ArgumentError", "hidden_size", lambda b: b.make(3, 4.0)),
    BadInput("hidden_size-nan", "ArgumentError", "hidden_size", lambda b: b.make(3, float("nan"))),
    BadInput("hidden_size-text", "ArgumentError", "hidden_size", lambda b: b.make(3, "4")),
    BadInput("hidden_size-none", "ArgumentError", "hidden_size", lambda b: b.make(3, None)),
    BadInput("num_layers-zero", "ArgumentError", "num_layers", lambda b: b.make(3, 4, 0)),
    BadInput("num_layers-billion", "ArgumentError", "num_layers", lambda b: b.make(3, 4, 10**9)),
    BadInput("bias-int", "ArgumentError", "bias", lambda b: b.make(3, 4, bias=1)),
    BadInput("batch_first-none", "ArgumentError", "batch_first", lambda b: b.make(3, 4, batch_first=None)),
    BadInput(
        "bidirectional-text", "ArgumentError", "bidirectional", lambda b: b.make(3, 4, bidirectional="no")
    ),
    BadInput("dropout-one", "ArgumentError", "dropout", lambda b: b.make(3, 4, dropout=1.0)),
    BadInput("dropout-negative", "ArgumentError", "dropout", lambda b: b.make(3, 4, dropout=-0.1)),
    BadInput("dropout-nan", "ArgumentError", "dropout", lambda b: b.make(3, 4, dropout=float("nan"))),
    BadInput("dropout-text", "ArgumentError", "dropout", lambda b: b.make(3, 4, dropout="0.5")),
    BadInput("dtype-float16", "DTypeError", "dtype", lambda b: b.make(3, 4, dtype="float16")),
    BadInput("dtype-nonsense", "DTypeError", "dtype", lambda b: b.make(3, 4, dtype="real")),
    BadInput("dtype-none", "DTypeError", "dtype", lambda b: b.make(3, 4, dtype=None)),
    BadInput(
        "dtype-swapped", "DTypeError", "dtype", lambda b: b.make(3, 4, dtype=np.dtype("f4").newbyteorder())
    ),
    BadInput("seed-negative", "ArgumentError", "seed", lambda b: b.make(3, 4, seed=-1)),
    BadInput("seed-float", "ArgumentError", "seed", lambda b: b.make(3, 4, seed=1.5)),
    BadInput("proj_size-hidden", "ArgumentError", "proj_size", lambda b: b.make(3, 4, proj_size=4)),
    BadInput("proj_size-negative", "ArgumentError", "proj_size", lambda b: b.make(3, 4, proj_size=-1)),
    BadInput(
        "nonlinearity", "ArgumentError", "nonlinearity", lambda b: b.make(3, 4, nonlinearity="elu"), "RNN"
    ),
    BadInput("reset_after-int", "ArgumentError", "reset_after", lambda b: b.make(3, 4, reset_after=1), "GRU"),
    BadInput("peepholes-int", "ArgumentError", "peepholes", lambda b: b.make(3, 4, peepholes=1)),
    BadInput("coupled-none", "ArgumentError", "coupled", lambda b: b.make(3, 4, coupled=None)),
    BadInput("zoneout-one", "ArgumentError", "zoneout", lambda b: b.make(3, 4, zoneout=1.0)),
    BadInput("zoneout_c-text", "ArgumentError", "zoneout_c", lambda b: b.make(3, 4, zoneout_c="0.5")),
    BadInput("clip-zero", "ArgumentError", "clip", lambda b: b.make(3, 4, clip=0.0)),
    BadInput("clip-infinite", "ArgumentError", "clip", lambda b: b.make(3, 4, clip=float("inf"))),
    BadInput("clip-nan", "ArgumentError", "clip", lambda b: b.make(3, 4, clip=float("nan"))),
    BadInput("clip-text", "ArgumentError", "clip", lambda b: b.make(3, 4, clip="1")),
    BadInput("clip-bool", "ArgumentError", "clip", lambda b: b.make(3, 4, clip=True)),
    BadInput("activations-text", "ArgumentError", "activations", lambda b: b.make(3, 4, activations="relu")),
    BadInput("activations-number", "ArgumentError", "activations", lambda b: b.make(3, 4, activations=3)),
    BadInput(
        "activations-place", "ArgumentError", "activations", lambda b: b.make(3, 4, activations={"h": "relu"})
    ),
    BadInput(
        "activations-coupled-f",
        "ArgumentError",
        "activations",
        lambda b: b.make(3, 4, coupled=True, activations={"f": "relu"}),
    ),
    BadInput(
        "activations-two-of-one", "ArgumentError", "activations", lambda b: b.make(3, 4, activations=({}, {}))
    ),
    BadInput(
        "activations-count", "ArgumentError", "activations", lambda b: b.make(3, 4, activations=(("relu",),))
    ),
    BadInput(
        "activations-name",
        "ArgumentError",
        "activations['g']",
        lambda b: b.make(3, 4, activations={"g": "gelu"}),
    ),
    BadInput(
        "activations-none",
        "ArgumentError",
        "activations['g']",
        lambda b: b.make(3, 4, activations={"g": None}),
    ),
    BadInput(
        "activations-parameters",
        "ArgumentError",
        "activations['g']",
        lambda b: b.make(3, 4, activations={"g": ("elu", 1, 2)}),
    ),
    BadInput(
        "activations-nan",
        "ArgumentError",
        "activations['g']",
        lambda b: b.make(3, 4, activations={"g": ("elu", float("nan"))}),
    ),
    BadInput(
        "activations-and-nonlinearity",
        "ArgumentError",
        "nonlinearity",
        lambda b: b.make(3, 4, nonlinearity="relu", activations={"h": "elu"}),
        "RNN",
    ),
    BadInput("load-empty", "FormatError", os.devnull, lambda b: rnncore.load(os.devnull)),
    BadInput("sizes-overflow", "SizeError", "hidden_size", lambda b: b.make(3, 2**31)),
    BadInput("size-overflow", "SizeError", "input_size", lambda b: b.make(2**63, 1)),
    BadInput("too-large", "MemoryExhaustedError", "hidden_size", lambda b: b.make(1, 2**27)),
    # x
    BadInput("x-rank-1", "ShapeError", "x", lambda b: b.layer(b.x[0, 0])),
    BadInput("x-rank-4", "ShapeError", "x", lambda b: b.layer(b.x[None])),
    BadInput("x-features", "ShapeError", "x", lambda b: b.layer(b.x[:, :, :3])),
    BadInput("x-ragged-list", "ShapeError", "x", lambda b: b.layer([[1.0, 2.0], [3.0]])),
    BadInput("x-int", "DTypeError", "x", lambda b: b.layer(b.x.astype(int))),
    BadInput("x-narrow", "DTypeError", "x", lambda b: b.layer(b.x.astype(np.float32))),
    BadInput("x-complex", "DTypeError", "x", lambda b: b.layer(b.x.astype(complex))),
    BadInput("x-text", "DTypeError", "x", lambda b: b.layer("series")),
    BadInput("x-none", "DTypeError", "x", lambda b: b.layer(None)),
    BadInput("x-swapped", "DTypeError", "x", lambda b: b.layer(b.x.astype(b.dtype.newbyteorder()))),
    BadInput("x-masked", "UnsupportedError", "x", lambda b: b.layer(np.ma.masked_array(b.x))),
    BadInput("x-overflow", "SizeError", "x", lambda b: b.layer(_huge_view(b))),
    BadInput("x-forward", "ShapeError", "x", lambda b: b.layer.forward(b.x[:, :, :3])),
    BadInput(
        "x-wide",
        "DTypeError",
        "x",
        lambda b: b.layer(b.x.astype(np.float64)),
        options=(("dtype", "float32"),),
    ),
    # state
    BadInput("state-array", "ArgumentError", "state", lambda b: b.layer(b.x, b.h)),
    BadInput("state-triple", "ArgumentError", "state", lambda b: b.layer(b.x, (b.h, b.c, b.c))),
    BadInput("state-h-rows", "ShapeError", "state[0]", lambda b: b.layer(b.x, (b.h[:, :1], b.c))),
    BadInput("state-c-rank", "ShapeError", "state[1]", lambda b: b.layer(b.x, (b.h, b.c[0]))),
    BadInput("state-dtype", "DTypeError", "state[0]", lambda b: b.layer(b.x, (b.h.astype("f4"), b.c))),
    BadInput("state-none", "DTypeError", "state[1]", lambda b: b.layer(b.x, (b.h, None))),
    BadInput("state-pair", "ArgumentError", "state", lambda b: b.layer(b.x, (b.h, b.c)), "GRU"),
    BadInput("state-features", "ShapeError", "state", lambda b: b.layer(b.x, b.h[:, :, :3]), "RNN"),
    BadInput("state-unbatched", "ShapeError", "state", lambda b: b.layer(b.x[:, 0], b.h), "RNN"),
    # lengths
    BadInput("lengths-long", "LengthsError", "lengths", lambda b: b.layer(b.x, lengths=[6, 1])),
    BadInput("lengths-negative", "LengthsError", "lengths", lambda b: b.layer(b.x, lengths=[1, -1])),
    BadInput(
        "lengths-huge", "LengthsError", "lengths", lambda b: b.layer(b.x, lengths=np.uint64([1, 2**64 - 1]))
    ),
    BadInput("lengths-count", "ShapeError", "lengths", lambda b: b.layer(b.x, lengths=[1, 2, 3])),
    BadInput("lengths-scalar", "ShapeError", "lengths", lambda b: b.layer(b.x, lengths=3)),
    BadInput("lengths-rank", "ShapeError", "lengths", lambda b: b.layer(b.x, lengths=[[1, 2]])),
    BadInput("lengths-float", "DTypeError", "lengths", lambda b: b.layer(b.x, lengths=[1.0, 2.0])),
    BadInput("lengths-nan", "DTypeError", "lengths", lambda b: b.layer(b.x, lengths=[np.nan, 2.0])),
    BadInput("lengths-bool", "DTypeError", "lengths", lambda b: b.layer(b.x, lengths=[True, False])),
    BadInput("lengths-forward", "LengthsError", "lengths", lambda b: b.layer.forward(b.x, lengths=[6, 1])),
    # out, num_threads
    BadInput("out-list", "ArgumentError", "out", lambda b: b.layer(b.x, out=b.out.tolist())),
    BadInput("out-shape", "ShapeError", "out", lambda b: b.layer(b.x, out=b.out[:-1])),
    BadInput("out-dtype", "DTypeError", "out", lambda b: b.layer(b.x, out=b.out.astype(np.float32))),
    BadInput("out-read-only", "ArgumentError", "out", _read_only),
    BadInput("out-is-x", "OverlapError", "out", lambda b: b.layer(b.x, out=b.x)),
    BadInput("out-over-x", "OverlapError", "out", _shifted),
    BadInput("out-folded", "OverlapError", "out", lambda b: b.layer(b.x, out=_folded(b))),
    BadInput("out-over-state", "OverlapError", "out", lambda b: b.layer(b.x[:1], (b.h, b.c), out=b.h)),
    BadInput("num_threads-zero", "ArgumentError", "num_threads", lambda b: b.layer(b.x, num_threads=0)),
    BadInput("num_threads-float", "ArgumentError", "num_threads", lambda b: b.layer(b.x, num_threads=2.0)),
    # backward
    BadInput("tape-none", "TapeError", "tape", lambda b: b.layer.backward(None, b.dy)),
    BadInput("tape-twice", "TapeError", "tape", _twice),
    BadInput("tape-stale", "TapeError", "tape", _stale),
    BadInput("tape-other", "TapeError", "tape", lambda b: b.make(4, 4).backward(b.tape(), b.dy)),
    BadInput("dy-shape", "ShapeError", "dy", lambda b: b.layer.backward(b.tape(), b.dy[1:])),
    BadInput("dy-dtype", "DTypeError", "dy", lambda b: b.layer.backward(b.tape(), b.dy.astype(np.float32))),
    BadInput("dy-nothing", "ArgumentError", "dy", lambda b: b.layer.backward(b.tape(), None)),
    BadInput("dstate-array", "ArgumentError", "dstate", lambda b: b.layer.backward(b.tape(), b.dy, b.h)),
    BadInput(
        "dstate-shape", "ShapeError", "dstate[1]", lambda b: b.layer.backward(b.tape(), b.dy, (None, b.c[0]))
    ),
    # parameters
    BadInput("load-list", "ArgumentError", "parameters", lambda b: b.layer.load_state_dict([1])),
    BadInput(
        "load-missing",
        "ArgumentError",
        "bias_hh_l0",
        lambda b: b.layer.load_state_dict(_without(b, "bias_hh_l0")),
    ),
    BadInput("load-unknown", "ArgumentError", "w", lambda b: b.layer.load_state_dict(_with(b, "w", b.x))),
    BadInput(
        "load-transposed",
        "ShapeError",
        "weight_hh_l0",
        lambda b: b.layer.load_state_dict(_with(b, "weight_hh_l0", np.zeros((4, 16)))),
    ),
    BadInput(
        "load-dtype",
        "DTypeError",
        "weight_hh_l0",
        lambda b: b.layer.load_state_dict(_with(b, "weight_hh_l0", np.zeros((16, 4), "f4"))),
    ),
    BadInput("update-unknown", "ArgumentError", "w", lambda b: b.layer.update_parameters({"w": b.x})),
    BadInput(
        "update-shape",
        "ShapeError",
        "bias_ih_l0",
        lambda b: b.layer.update_parameters({"weight_ih_l0": np.ones((16, 4)), "bias_ih_l0": np.zeros(4)}),
    ),
    # stream
    BadInput(
        "stream-both-ways",
        "UnsupportedError",
        "bidirectional",
        lambda b: b.layer.stream(),
        options=(("bidirectional", True),),
    ),
    BadInput("stream-batch", "ArgumentError", "batch_size", lambda b: b.layer.stream(0)),
    BadInput("step-rows", "ShapeError", "x", lambda b: b.layer.stream(3).step(b.x[0])),
    BadInput("step-vector", "ShapeError", "x", lambda b: b.layer.stream(2).step(b.x[0, 0])),
    BadInput("step-dtype", "DTypeError", "x", lambda b: b.layer.stream(2).step(b.x[0].astype("f4"))),
    BadInput("step-out", "ShapeError", "out", lambda b: b.layer.stream(2).step(b.x[0], out=b.out)),
    BadInput("step-out-is-x", "OverlapError", "out", lambda b: b.layer.stream(2).step(b.x[0], out=b.x[0])),
    BadInput("run-rows", "ShapeError", "x", lambda b: b.layer.stream(3).run(b.x)),
    BadInput(
        "stream-state", "ShapeError", "state[0]", lambda b: setattr(b.layer.stream(3), "state", (b.h, b.c))
    ),
]

# Weights in and out ----------------------------------------------------------------------------------------

# Another program runs the same float32 weights on sequences of a few steps: eight units in the last place
# of the largest output, or of 1 where outputs are bounded by it.
ROUND_TRIP = 1e-6

# A damaged file may claim any size; what reading it allocates stays below its own size and a parsed header.
HOSTILE_BYTES = 64 * 2**20
