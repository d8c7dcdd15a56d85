# SPDX-License-Identifier: MIT
"""What the tests walk over, as data: cells, dtypes, shapes, tolerances.

Every tolerance of the tests stands here with its derivation; the outside suites bring their own.
"""

import dataclasses

import numpy as np

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
    Cell("min_gru", "MinGRU"),
    Cell("min_lstm", "MinLSTM"),
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
    Cell(
        "min_gru_general",
        "MinGRU",
        (("clip", 1.0), ("activations", (("hard_sigmoid", "log_space"),))),
    ),
    # Gates are sigmoids or not.
    Cell(
        "min_lstm_clip",
        "MinLSTM",
        (("clip", 0.75), ("activations", (("sigmoid", "sigmoid", "tanh"),))),
    ),
    Cell(
        "min_lstm_general",
        "MinLSTM",
        (("clip", 2.0), ("activations", (("softplus", "sigmoid", ("affine", 0.5, 0.25)),))),
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

# Stores of packed matrices. Of floats, half a unit in the last place of one: what rounding may change.
FLOAT_STORES = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
# Of integers, what may come between their outputs and those of floats: 64 + 40 weights within half a code of 1/8/127
# each and operands within half of 1/127, as random sums sqrt(104) (0.0005 * 1 + 0.004 / 8) = 0.01, at most three of
# them; with operands of 16 bits half of that, as the weights' part stays.
INTEGER_STORES = {"int8": 0.03, "int8x16": 0.03}
STORES = (*FLOAT_STORES, *INTEGER_STORES)
# A weight is the nearest multiple of its scale, which is cut to 17 bits.
HALF_A_CODE = 0.5 + 127 * 2.0**-17

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

# Weights in and out ----------------------------------------------------------------------------------------

# Another program runs the same float32 weights on sequences of a few steps: eight units in the last place
# of the largest output, or of 1 where outputs are bounded by it.
ROUND_TRIP = 1e-6

# A damaged file may claim any size; what reading it allocates stays below its own size and a parsed header.
HOSTILE_BYTES = 64 * 2**20

# Reading a hostile file takes at most twice its bytes and this: the parsed form of the largest header that is taken,
# some thirty times as large as it.
HOSTILE_SPARE = 32 * 2**20
