# SPDX-License-Identifier: MIT
"""Tolerances and bad-input tables of the training, forecast and command-line tests, with their reasons."""

# Central differences in float64 with step h: error h^2/6 * f''' + eps/h; h = eps^(1/3) balances them.
DIFFERENCE_STEP = 6e-6
DIFFERENCE_RTOL = 1e-7
DIFFERENCE_ATOL = 1e-9

# The same formulas in another order of operations, some tens of roundings: eps is 1.2e-7 and 2.2e-16.
OPTIMIZER_RTOL = {"float32": 1e-5, "float64": 1e-12}

# A softmax in float32 against float64: a few eps relative to probabilities of at most 1.
FLOAT32_ATOL = 1e-6

# PyTorch solves with a Cholesky factor of the covariance, where strong correlations (tanh(3) = 0.995) cost digits; our
# terms do not cancel.
MIXTURE_TORCH_RTOL = 1e-9


def sampling_error(deviation, n):
    """Five standard errors of a mean of `n` draws; the seeds are fixed, so this is a bound and not a gamble."""
    return 5 * deviation / n**0.5


# Forecast gates: the ensemble must win by this much, seeds vary by about 0.03.
BASELINE_MARGIN = 0.95

# The networks must at least halve the error of the linear path where the rule is a parabola; they reach 0.1.
LEARNED_RATIO = 0.5

# A 90 % interval on 52 overlapping test windows of a series whose amplitude grows.
COVERAGE = (0.7, 1.0)

HEADER = "month,sales\n"
ROWS = [f"2010-{m:02d}-01,{m}.5\n" for m in range(1, 13)]

BAD_CSV = {
    # name: (content or None for a missing file, extra arguments, words the sentence must hold)
    "missing-file": (None, [], ["No such file"]),
    "empty": ("", [], ["empty file"]),
    "blank-lines": ("\n\n\n", [], ["empty file"]),
    "header-only": (HEADER, [], ["header alone"]),
    "binary": (b"\x89PNG\r\n\x1a\n\xff\xfe\x00", [], ["not text"]),
    "nul-bytes": (b"a,b\n1,\x00\n", [], ["not text"]),
    "too-short": ("".join([HEADER, *ROWS]), [], ["sales", "values", "12 values less"]),
    "missing-column": ("".join([HEADER, *ROWS]), ["--column", "profit"], ["--column", "sales", "profit"]),
    "text-cell": (
        "".join([HEADER, *ROWS[:5], "2010-06-01,six\n", *ROWS[6:]]),
        [],
        ["line 7", '"sales"', '"six"'],
    ),
    "only-text": (
        "".join(["month,note\n", *[f"2010-{m:02d}-01,word\n" for m in range(1, 13)]]),
        [],
        ["line 2", "word"],
    ),
    "empty-cell": ("".join([HEADER, *ROWS[:5], "2010-06-01,\n", *ROWS[6:]]), [], ["line 7", "empty cell"]),
    "empty-line": ("".join([HEADER, *ROWS[:5], "\n", *ROWS[5:]]), [], ["line 7", "empty line"]),
    "nan-cell": ("".join([HEADER, *ROWS[:5], "2010-06-01,nan\n", *ROWS[6:]]), [], ["line 7", '"nan"']),
    "infinite-cell": (
        "".join([HEADER, *ROWS[:5], "2010-06-01,1e999\n", *ROWS[6:]]),
        [],
        ["line 7", '"1e999"'],
    ),
    "time-gap": ("".join([HEADER, *ROWS[:5], *ROWS[6:]]), [], ["line 7", "2010-07-01 after 2010-05-01"]),
    "disorder": ("".join([HEADER, *ROWS[:5], ROWS[3], *ROWS[5:]]), [], ["line 7", "ascending"]),
    "ragged": ("".join([HEADER, *ROWS[:5], "2010-06-01,1,2\n"]), [], ["line 7", "2 cells", "3"]),
    "open-quote": ("".join([HEADER, *ROWS[:5], '2010-06-01,"6\n']), [], ["well-formed"]),
    "several-columns": ("a,b\n" + "1,2\n" * 99, [], ["--column", "a, b", "several"]),
    "constant": ("a\n" + "3\n" * 200, [], ["vary"]),
    "huge-numbers": ("a\n" + "1e200\n-1e200\n" * 100, [], ["vary"]),
    "long-horizon": ("a\n" + "1\n2\n4\n" * 30, ["--horizon", "500"], ["at least"]),
}

# The example's network forecasts a smooth series some ten times better than its last value does.
PERSISTENCE_SHARE = 0.5
# Peak memory between window 50 and the end: the heap moves by some pages.
GROWN_BYTES = 2_000_000
# Peak memory of a training call against its formula: allocators round, and the workspace is small beside a tape.
PEAK_TOLERANCE = 0.1

# Quick runs of the forecasting examples: how far the error must lie below the best naive forecast's, and accuracy.
# The full runs' bars, but for air one hour ahead: so short a training gains less there.
EXAMPLE_BARS = {
    "hours, 1 h": 0.40,
    "hours, 24 h": 0.25,
    "air, 1 h": 0.02,
    "air, 24 h": 0.25,
    "speakers": 0.96,
}

# How far the share of hours inside an interval may lie from its level.
EXAMPLE_COVERAGE = {0.8: 0.04, 0.95: 0.03}

# Pen positions are whole units: half of one, and what float32 rounds off at a few hundred.
HALF_A_UNIT = 0.5 + 1e-4

# Numbers in files of results have four digits: half a unit of the last one is at most 0.5e-3 of the number.
WRITTEN_RTOL = 1e-3
