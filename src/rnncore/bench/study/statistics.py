# SPDX-License-Identifier: MIT
"""Intervals of ratios, means and tests of a study; SciPy does the computing (extra `study`).

A ratio differs from block to block, and from preparation to preparation: where arrays come to lie moves a small case
by 1 or 2 % until they are laid anew, so that its blocks are not independent. There are 3 to 5 preparations, and
resampling so few covers far less than it says: the range of three contains the mean in 3 of 4 studies. So an interval
is the wider one of two: Student's t over the medians of the preparations, which is right for any number of them, and
the bootstrap of the blocks within each, which holds where medians of preparations happen to agree. Everything is
computed with logarithms: a ratio and its inverse get the same interval.
"""

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95
RESAMPLES = 999
ROUNDING = 1e-3
"""Least half width of an interval: files have four digits, the quotient of two such figures is no better known."""
FEWEST_SHAPES = 6
"""With fewer shapes no signed-rank test can reach 5 %."""
CHUNK = 256
"""Ratios resampled at once, for the sake of memory."""


def estimates(values: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Ratios with their intervals.

    Parameters
    ----------
    values : DataFrame
        Columns `keys`, ``preparation`` and ``value`` (above 0), a line per block.
    keys : list of str
        Columns that tell the ratios apart.

    Returns
    -------
    DataFrame
        A line per ratio: `keys`; ``ratio``, the geometric mean of the preparations' medians; ``low``, ``high``;
        ``half``, half the width of the interval in logarithms; ``freedom``, degrees of it; ``blocks``.

    Notes
    -----
    Cost: about a millisecond for each ratio of 30 blocks.
    """
    lists = values.groupby([*keys, "preparation"], sort=False)["value"].agg(list)
    ratios: dict[tuple, list[np.ndarray]] = {}
    for key, blocks in lists.items():
        ratios.setdefault(key[:-1], []).append(np.log(blocks))
    shapes: dict[tuple[int, ...], list[tuple]] = {}
    for key, preparations in ratios.items():
        shapes.setdefault(tuple(map(len, preparations)), []).append(key)
    lines = []
    for shape, found in shapes.items():
        for start in range(0, len(found), CHUNK):
            part = found[start : start + CHUNK]
            samples = tuple(np.stack(one) for one in zip(*(ratios[key] for key in part), strict=True))
            centre, half = _interval(samples)
            freedom = max(1, len(shape) - 1 or shape[0] - 1)
            lines += [
                (*key, *pair, freedom, sum(shape)) for key, *pair in zip(part, centre, half, strict=True)
            ]
    frame = pd.DataFrame(lines, columns=[*keys, "centre", "half", "freedom", "blocks"])
    return _with_bounds(frame).drop(columns="centre")


def _interval(samples: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Centre and half width of many ratios, (ratios,); samples are (ratios, blocks), one for each preparation."""
    medians = np.stack([np.median(one, axis=-1) for one in samples], axis=-1)
    known = medians.shape[1] > 1 or samples[0].shape[1] > 1
    centre, half = medians.mean(axis=-1), np.full(len(medians), ROUNDING if known else np.inf)
    if len(samples) > 1:
        half = np.maximum(half, _student(len(samples) - 1) * stats.sem(medians, axis=-1))
    if min(one.shape[-1] for one in samples) > 1:
        drawn = stats.bootstrap(
            samples,
            _mean_of_medians,
            n_resamples=RESAMPLES,
            axis=-1,
            confidence_level=LEVEL,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        half = np.maximum(half, np.maximum(drawn.high - centre, centre - drawn.low))
    return centre, half


def _mean_of_medians(*samples: np.ndarray, axis: int) -> np.ndarray:
    return np.mean([np.median(one, axis=axis) for one in samples], axis=0)


def _student(freedom: float | np.ndarray) -> np.ndarray:
    return stats.t.ppf((1 + LEVEL) / 2, freedom)


def _with_bounds(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with ``ratio``, ``low`` and ``high`` from ``centre`` and ``half``."""
    return frame.assign(
        ratio=np.exp(frame["centre"]),
        low=np.exp(frame["centre"] - frame["half"]),
        high=np.exp(frame["centre"] + frame["half"]),
    )


def geometric_mean(ratios: pd.DataFrame) -> dict[str, float]:
    """Geometric mean of measured ratios, with an interval.

    The shapes of a set are given, nobody drew them: the interval says how well these were measured. The ratios'
    variances add up; degrees of freedom are Welch's and Satterthwaite's.

    Parameters
    ----------
    ratios : DataFrame
        At least one line of `estimates`.

    Returns
    -------
    dict
        ``ratio``, ``low``, ``high``, ``half``, ``freedom``.
    """
    freedom = ratios["freedom"].to_numpy(dtype=float)
    variances = (ratios["half"].to_numpy() / _student(freedom)) ** 2
    total = variances.sum()
    together = total**2 / (variances**2 / freedom).sum() if np.isfinite(total) else 1.0
    half = float(_student(together) * np.sqrt(total) / len(ratios))
    centre = float(np.log(ratios["ratio"]).mean())
    return {
        "ratio": float(np.exp(centre)),
        "low": float(np.exp(centre - half)),
        "high": float(np.exp(centre + half)),
        "half": half,
        "freedom": float(together),
    }


def quotient(first: pd.DataFrame, second: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """First over second of figures that were measured apart, where both have them.

    Returns
    -------
    DataFrame
        `keys`; ``ratio``, ``low``, ``high``, ``half``, ``freedom``; ``first``, ``second``, both figures.
    """
    both = first.merge(second, on=keys, suffixes=("_1", "_2"))
    frame = both[keys].assign(
        first=both["ratio_1"],
        second=both["ratio_2"],
        centre=np.log(both["ratio_1"] / both["ratio_2"]),
        half=np.hypot(both["half_1"], both["half_2"]),
        freedom=both["freedom_1"] + both["freedom_2"],
    )
    return _with_bounds(frame).drop(columns="centre")


def verdicts(ratios: pd.DataFrame) -> pd.Series:
    """``win``, ``tie`` (the interval contains 1) or ``loss`` of each line."""
    words = np.select([ratios["low"] > 1, ratios["high"] < 1], ["win", "loss"], "tie")
    return pd.Series(words, ratios.index, name="verdict")


def against_best(ratios: pd.DataFrame) -> pd.DataFrame:
    """Of each row the ratio to the best of the others, whichever that is.

    The least of several noisy ratios is on average below the least of the true ones: the figure errs for the others,
    and no correction is made, as it would speak for us. A row is won where it is won against every other system, and
    lost where it is lost against any. The interval goes from the least lower bound to the least upper one: the true
    ratio to the best is below it no more often than a single ratio is below its own.

    Parameters
    ----------
    ratios : DataFrame
        Lines of `estimates` with ``row`` and ``system``.

    Returns
    -------
    DataFrame
        A line per row as `estimates` gives it, with its ``system`` and ``verdict``.
    """
    rows = ratios.groupby("row", sort=False)
    best = ratios.loc[rows["ratio"].idxmin()].set_index("row")
    best = best.assign(low=rows["low"].min(), high=rows["high"].min())
    return best.assign(verdict=verdicts(best)).reset_index()


def signed_rank(ratios: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Wilcoxon's signed-rank test of the ratios' logarithms in each group of at least `FEWEST_SHAPES`.

    Returns
    -------
    DataFrame
        `keys`, ``shapes``, ``p``, and ``holm``, what Holm's step-down correction over all lines makes of p.
    """
    lines = [
        (*key, len(part), float(stats.wilcoxon(np.log(part)).pvalue))
        for key, part in ratios.groupby(keys, sort=False)["ratio"]
        if len(part) >= FEWEST_SHAPES and (part != 1).any()
    ]
    frame = pd.DataFrame(lines, columns=[*keys, "shapes", "p"])
    return frame.assign(holm=holm(frame["p"].to_numpy(dtype=float)))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's (1979) adjusted p-values, in the order given: SciPy has those of Benjamini and Hochberg alone."""
    order = np.argsort(p)
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(raised, 1)
    return adjusted


def agreement(first: pd.DataFrame, second: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Whether two studies agree on their common ratios: the interval of the quotient of both contains 1.

    Returns
    -------
    DataFrame
        What `quotient` gives, and ``agrees``.
    """
    frame = quotient(first, second, keys)
    return frame.assign(agrees=(frame["low"] <= 1) & (frame["high"] >= 1))
