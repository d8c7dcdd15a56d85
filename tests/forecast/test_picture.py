# SPDX-License-Identifier: MIT
"""The picture: what its ticks and words say, and that a long series keeps its extremes."""

import datetime

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the command line is the extra 'cli'")
pytest.importorskip("pandas", reason="the command line is the extra 'cli'")

from matplotlib import dates
from matplotlib.figure import Figure

from rnncore.forecast._command import picture


def ticks(*moments):
    """Labels of ticks at these moments."""
    return picture.Calendar().format_ticks([dates.date2num(datetime.datetime(*moment)) for moment in moments])


TICKS = {
    "years": ([(1999, 1, 1), (2000, 1, 1)], ["1999", "2000"]),
    "months": ([(2012, 10, 1), (2013, 1, 1)], ["Oct\n2012", "Jan\n2013"]),
    "days": ([(2012, 12, 31), (2013, 1, 1), (2013, 1, 2)], ["31 Dec\n2012", "1 Jan\n2013", "2 Jan"]),
    "hours": (
        [(2012, 12, 31, 12), (2013, 1, 1, 0), (2013, 1, 1, 12)],
        ["12:00\n31 Dec 2012", "00:00\n1 Jan 2013", "12:00"],
    ),
    "seconds": ([(2013, 1, 1, 0, 0, 0), (2013, 1, 1, 0, 0, 30)], ["00:00:00\n1 Jan 2013", "00:00:30"]),
}


@pytest.mark.parametrize("name", TICKS)
def test_ticks_say_what_is_needed_once(name):
    moments, wanted = TICKS[name]
    assert ticks(*moments) == wanted


@pytest.mark.parametrize(
    ("largest", "word", "label"),
    [(500, "", "500"), (99_000, "", "99,000"), (600_000, "thousands", "600"), (3.9e6, "millions", "3.9")],
)
def test_large_values_are_counted_in_words(largest, word, label):
    axes = Figure().add_axes((0, 0, 1, 1))
    axes.set_ylim(0, largest)
    assert picture._scale(axes) == word
    assert axes.yaxis.get_major_formatter()(largest) == label


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ((), "above the coloured line."),
        ((0.8,), "8 in 10 in the band."),
        ((0.8, 0.95), "8 in 10 in the inner band, 19 in 20 in the outer one."),
        ((0.5, 0.8, 0.97), "half, 8 in 10, 97 in 100 in the bands, from the innermost to the outermost."),
    ],
    ids=len,
)
def test_intervals_are_explained_in_words(levels, words):
    assert picture.explain(levels).endswith(words)


def test_a_long_line_keeps_its_extremes_and_gaps():
    y = np.random.default_rng(0).normal(size=1_000_000)
    y[123_456], y[654_321] = 50.0, -50.0
    y[200_000:300_000] = np.nan
    x, kept = picture.decimate(np.arange(len(y)), y)
    assert len(kept) <= 2 * picture.BINS
    assert (np.nanmax(kept), np.nanmin(kept)) == (50.0, -50.0)
    assert (np.diff(x) > 0).all()
    assert np.isnan(kept[(x > 201_000) & (x < 299_000)]).all()
    np.testing.assert_array_equal(picture.decimate(np.arange(9), y[:9])[1], y[:9])
