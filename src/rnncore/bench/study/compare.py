# SPDX-License-Identifier: MIT
"""Two studies: what moved beyond noise, and whether they agree."""

import pandas as pd

from ..report import text_table
from . import statistics
from .document import interval, ratio
from .tables import OURS, Study, set_words, title

GOAL = 0.9
"""Part of the ratios that two runs of the same build agree on."""


def compare(old: Study, new: Study) -> dict[str, pd.DataFrame]:
    """What two studies have in common.

    Returns
    -------
    dict
        ``ratios``: the others' time over ours, new over old of it, with ``agrees`` and ``set``, ``threads``, ``words``;
        ``times``: seconds of every system, new over old. The machine's state hits both of a ratio and not of a time.
    """
    facts = new.measured[["row", "set", "threads", "words"]]
    keys = ["row", "system"]
    ratios = statistics.agreement(new.ratios, old.ratios, keys).merge(facts, on="row")
    times = statistics.agreement(new.times, old.times, keys).merge(facts, on="row")
    return {"ratios": ratios, "times": times}


def moved(old: Study, new: Study, others: list[str]) -> list[str]:
    """Rows in which rnncore got slower beside the best of the others, their quotient's interval below 1."""
    best = new.best.set_index("row")["system"]
    found = compare(old, new)["ratios"]
    chosen = found[found["system"].isin(others) & found["system"].eq(found["row"].map(best))]
    return list(chosen[chosen["high"] < 1]["row"])


def text(old: Study, new: Study) -> str:
    """The comparison, for people."""
    found = compare(old, new)
    ratios, times = found["ratios"], found["times"]
    if not len(times):
        return "the studies have no row and system in common"
    blocks = [_agreement(ratios)] if len(ratios) else []
    blocks += [_sets(ratios), _moved(ratios)] if len(ratios) else []
    ours = times[times["system"] == OURS]
    agree, count = int(ours["agrees"].sum()), len(ours)
    blocks.append(f"rnncore's times by themselves, the machine's state included: {agree} of {count} agree")
    only = [
        f"{len(set(one['row']) - set(two['row']))} rows only in the {word} study"
        for word, one, two in (("old", old.times, new.times), ("new", new.times, old.times))
    ]
    return "\n\n".join([*filter(None, blocks), ", ".join(only)])


def _agreement(ratios: pd.DataFrame) -> str:
    agree = float(ratios["agrees"].mean())
    word = "agree" if agree >= GOAL else "DO NOT agree"
    return (
        f"The studies {word}: {int(ratios['agrees'].sum())} of {len(ratios)} ratios ({agree:.1%}) are the same "
        f"within their 95 % intervals; {GOAL:.0%} are wanted of one build measured twice."
    )


def _sets(ratios: pd.DataFrame) -> str:
    lines = []
    for (name, threads, system), part in ratios.groupby(["set", "threads", "system"], sort=False):
        found = statistics.geometric_mean(part)
        mark = "" if found["low"] <= 1 <= found["high"] else "faster" if found["low"] > 1 else "slower"
        lines.append(
            [
                f"{set_words(name, threads)}, beside {title(system)}", str(len(part)), f"{found['ratio']:.3f}",
                interval(found["low"], found["high"]), f"{int(part['agrees'].sum())}/{len(part)}", mark,
            ]
        )  # fmt: skip
    return text_table(["set", "rows", "new / old", "95 %", "agree", ""], lines)


def _moved(ratios: pd.DataFrame) -> str:
    found = ratios[~ratios["agrees"]].sort_values("ratio")
    lines = [
        [
            f"{row.row} beside {title(row.system)}", ratio(row.second), ratio(row.first), f"{row.ratio:.3f}",
            interval(row.low, row.high), "faster" if row.ratio > 1 else "slower",
        ]
        for row in found.itertuples()
    ]  # fmt: skip
    return text_table(["moved", "old", "new", "new / old", "95 %", ""], lines) if lines else ""
