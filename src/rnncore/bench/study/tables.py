# SPDX-License-Identifier: MIT
"""A study's directory as tables (pandas, extra `study`): what was measured, and what follows from it."""

import dataclasses
import functools
import pathlib
from typing import Any

import pandas as pd

from .. import peers
from ..cases import Case
from ..limits import Limits
from ..words import CELLS, SETS, machine, thread_words, words
from . import files, statistics

OURS = "rnncore"
AGAIN = "rnncore-again"
"""The same build under another name, in a study that shall find nothing."""
COLUMNS: dict[str, tuple[str, ...]] = {
    "rows.csv": files.ROWS,
    "systems.csv": files.SYSTEMS,
    "blocks.csv.xz": files.BLOCKS,
    "conditions.csv.xz": files.CONDITIONS,
}
SUMMED = (
    "set", "threads", "rows", "ratio", "low", "high", "median", "worst", "win", "tie", "loss", "fraction"
)  # fmt: skip
"""What is known of a set."""
TEXT = ("set", "row", "system", "status", "reason", "version", "source")


@dataclasses.dataclass(frozen=True)
class Study:
    """What a directory holds, and the tables made of it, each made when it is first asked for.

    Attributes
    ----------
    folder : path
    env : dict
        Machine, versions, settings, limits, commit, times.
    rows : DataFrame
        A line per row, skipped ones included; `cell`, `N`, `H` and others of its `Case`, where its name is one's.
    systems : DataFrame
        A line per row and system: status, version, first call, memory, tails.
    blocks : DataFrame
        A line per accepted block.
    conditions : DataFrame
        A line per attempted block.
    """

    folder: pathlib.Path
    env: dict[str, Any]
    rows: pd.DataFrame
    systems: pd.DataFrame
    blocks: pd.DataFrame
    conditions: pd.DataFrame

    @classmethod
    def read(cls, folder: pathlib.Path) -> "Study":
        """Read a directory.

        Raises
        ------
        OSError
            A file cannot be read.
        ValueError
            It is not a study, or one of another schema, or a file lacks a column.
        """
        env = files.read_env(folder)
        found = {name: _table(folder / name, columns) for name, columns in COLUMNS.items()}
        rows, systems, blocks, conditions = found.values()
        rows = rows.join(pd.DataFrame([_facts(name) for name in rows["row"]], rows.index))
        conditions["accepted"] = conditions["accepted"].map(_truth)
        return cls(folder, env, rows, systems, blocks, conditions)

    @property
    def limits(self) -> Limits | None:
        """The machine's, where they were measured."""
        return Limits.from_json(self.env["limits"]) if self.env.get("limits") else None

    @property
    def threads(self) -> list[int]:
        """Numbers of threads that were measured."""
        return sorted(int(count) for count in self.measured["threads"].unique())

    @functools.cached_property
    def measured(self) -> pd.DataFrame:
        """Rows that were measured, each name once."""
        return self.rows[(self.rows["status"] == "measured") & self.rows["row"].isin(self.blocks["row"])]

    @property
    def skipped(self) -> pd.DataFrame:
        """Rows that are listed and were left out, with the reason."""
        return self.rows[self.rows["status"] != "measured"]

    @functools.cached_property
    def names(self) -> list[str]:
        """Systems that were timed, ours first."""
        found = list(dict.fromkeys(self.blocks["system"]))
        order = {name: place for place, name in enumerate(peers.PEERS)}
        return sorted(found, key=lambda name: (name != OURS, order.get(name, len(order))))

    @functools.cached_property
    def others(self) -> list[str]:
        """Systems that rnncore is compared with: not its own variants, unless there is nothing else."""
        rest = [name for name in self.names if name != OURS]
        return [name for name in rest if not is_ours(name)] or rest

    @functools.cached_property
    def ratios(self) -> pd.DataFrame:
        """The other's time over ours, paired by block: a line of `statistics.estimates` per row and system, judged."""
        ours = self.blocks[self.blocks["system"] == OURS][["row", "block", "seconds"]]
        pairs = self.blocks[self.blocks["system"] != OURS].merge(
            ours, on=["row", "block"], suffixes=("", "_ours")
        )
        pairs["value"] = pairs["seconds"] / pairs["seconds_ours"]
        found = statistics.estimates(pairs, ["row", "system"])
        return found.assign(verdict=statistics.verdicts(found)).merge(self.measured, on="row")

    @functools.cached_property
    def best(self) -> pd.DataFrame:
        """A line per row: the ratio to the best of the others."""
        ratios = self.ratios[self.ratios["system"].isin(self.others)]
        return statistics.against_best(ratios)

    @functools.cached_property
    def times(self) -> pd.DataFrame:
        """Seconds (``ratio``) of each row and system, with intervals."""
        found = statistics.estimates(self.blocks.rename(columns={"seconds": "value"}), ["row", "system"])
        return found.merge(self.measured, on="row")

    @functools.cached_property
    def fractions(self) -> pd.DataFrame:
        """The limit's time over a system's, paired by block, where limits were measured."""
        accepted = self.conditions[self.conditions["accepted"]][["row", "block", "limit"]].dropna()
        pairs = self.blocks.merge(accepted, on=["row", "block"])
        pairs["value"] = pairs["limit"] / pairs["seconds"]
        return statistics.estimates(pairs, ["row", "system"]).merge(self.measured, on="row")

    @functools.cached_property
    def sets(self) -> pd.DataFrame:
        """A line per set and number of threads, against the best of the others."""
        fractions = self.fractions[self.fractions["system"] == OURS]
        lines = []
        for (name, threads), part in self.grouped(self.best):
            limit = fractions[(fractions["set"] == name) & (fractions["threads"] == threads)]
            counts = part["verdict"].value_counts()
            lines.append(
                {
                    "set": name,
                    "threads": threads,
                    "rows": len(part),
                    **statistics.geometric_mean(part),
                    "median": part["ratio"].median(),
                    "worst": part["ratio"].min(),
                    **{word: int(counts.get(word, 0)) for word in ("win", "tie", "loss")},
                    "fraction": statistics.geometric_mean(limit)["ratio"] if len(limit) else None,
                }
            )
        return pd.DataFrame(lines, columns=SUMMED)

    @functools.cached_property
    def pairs(self) -> pd.DataFrame:
        """A line per set, number of threads and other system: geometric mean and the signed-rank test."""
        keys = ["set", "threads", "system"]
        lines = [
            dict(zip(keys, key, strict=True)) | {"rows": len(part)} | statistics.geometric_mean(part)
            for key, part in self.ratios.groupby(keys, sort=False)
        ]
        tests = statistics.signed_rank(self.ratios, keys)
        frame = pd.DataFrame(lines, columns=[*keys, "rows", "ratio", "low", "high"])
        return frame.merge(tests.drop(columns="shapes"), on=keys, how="left")

    @functools.cached_property
    def scaling(self) -> pd.DataFrame:
        """One thread's time over that of several, by row of one thread, system and ``threads``."""
        times = self.times.assign(problem=self.times["row"].str.rsplit("-t", n=1).str[0])
        one = times[times["threads"] == 1]
        parts = []
        for count in self.threads[1:]:
            found = statistics.quotient(one, times[times["threads"] == count], ["problem", "system"])
            facts = one.drop_duplicates("problem")[["problem", "set"]]
            parts.append(found.merge(facts, on="problem").assign(threads=count))
        return pd.concat(parts) if parts else pd.DataFrame(columns=["problem", "system", "set", "threads"])

    @functools.cached_property
    def disturbed(self) -> pd.DataFrame:
        """Attempted, accepted and repeated blocks by set and number of threads."""
        blocks = self.conditions.merge(self.measured[["row", "set", "threads"]], on="row")
        found = blocks.groupby(["set", "threads"], sort=False)["accepted"].agg(["size", "sum"])
        found = found.rename(columns={"size": "attempted", "sum": "accepted"}).reset_index()
        return found.assign(repeated=found["attempted"] - found["accepted"])

    @property
    def compared(self) -> list[str]:
        """Sets with rows that another system runs, too, in order."""
        return list(dict.fromkeys(name for (name, _), _ in self.grouped(self.best)))

    @property
    def unfit(self) -> pd.DataFrame:
        """Systems that were refused, wrong or failed in a row, with the reason."""
        places = self.rows[self.rows["status"] == "measured"][["row", "set", "threads"]]
        return self.systems[self.systems["status"] != "ok"].merge(places, on="row")

    def grouped(self, frame: pd.DataFrame) -> list[tuple[tuple[str, int], pd.DataFrame]]:
        """The lines of each (set, threads), sets in the order of the file."""
        order = {name: place for place, name in enumerate(self.rows["set"].unique())}
        groups = frame.groupby(["set", "threads"], sort=False)
        found = [((str(name), int(threads)), part) for (name, threads), part in groups]
        return sorted(found, key=lambda one: (order[one[0][0]], one[0][1]))

    @property
    def machine(self) -> str:
        """The hardware, in words."""
        return machine(self.env["machine"])

    @property
    def against(self) -> str:
        """The others with their versions, in words."""
        versions = self.env["versions"]
        found = [f"{title(name)} {str(versions.get(name, '')).partition('+')[0]}" for name in self.others]
        return ", ".join(part.strip() for part in found)


def _table(path: pathlib.Path, columns: tuple[str, ...]) -> pd.DataFrame:
    table = pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values={
        name: [""] for name in columns if name not in TEXT
    })  # fmt: skip
    lacking = [name for name in columns if name not in table]
    if lacking:
        raise ValueError(f"{path}: expected the columns {', '.join(columns)}, got none named {lacking[0]!r}")
    return table


def _truth(value: Any) -> bool:
    """What a CSV makes of true and false, whoever wrote it."""
    return str(value).lower() in ("1", "true", "1.0")


def case_of(name: str) -> Case | None:
    """The case that a row's name tells, None where it tells another thing (a model)."""
    try:
        return Case.named(name)
    except ValueError:
        return None


def _facts(name: str) -> dict[str, Any]:
    case = case_of(name)
    if case is None:
        return {"cell": "", "mode": "", "words": name}
    return {
        "cell": case.cell,
        "mode": case.mode,
        "T": case.T,
        "N": case.N,
        "I": case.I,
        "L": case.L,
        "H": case.H,
        "weights": case.weight_bytes(),
        "flops": case.flops(),
        "words": words(case),
    }


def title(name: str) -> str:
    """A system's name in prose."""
    return (peers.load(name).title or name) if name in peers.PEERS else name


def is_ours(name: str) -> bool:
    """Whether a system is a variant of rnncore."""
    return peers.load(name).ours if name in peers.PEERS else name.startswith(OURS)


def set_words(name: str, threads: int) -> str:
    """``sequences of one row, 1 thread``."""
    return f"{SETS.get(name, name)}, {thread_words(threads)}"


def cell_title(name: str) -> str:
    """``LSTM``."""
    return CELLS.get(name, name.upper())
