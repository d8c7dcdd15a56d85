# SPDX-License-Identifier: MIT
"""Tolerances of the training, forecast and command-line tests, with their reasons."""

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

# The smallest penalty is 1e-5 in units of correlations, and the weakest direction of a window of a sine has hundredths.
SINE_ATOL = 1e-3

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

# A ratio from 30 blocks with a noise of 0.5 % and 3 preparations with one of 0.2 %: four standard errors are 0.9 %.
STUDY_RTOL = 0.01

# The default forecast beats the linear autoregression by 12 to 13 %; the last digits depend on the machine's BLAS.
DEFAULT_MARGIN = 0.08
