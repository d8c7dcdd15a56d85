# SPDX-License-Identifier: MIT
"""Files scored part by part, here or on an engine; what is done stays done."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from .. import blocks, spec
from ..errors import ArgumentError
from ..formats.files import Path, check_path, replacing
from .scorer import Scorer, check_scorer

ENGINES = ("local", "ray", "spark", "dask")
PART_ROWS, BATCH_ROWS = 2**18, 2**15
"""Rows of a part, unless a row group has more, and of what is in memory at a time."""
FACTS = "_rnncore.json"
"""Beside the parts: what they are parts of. Readers of Parquet pass over its name."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A part: how many of how many are done, and the rows of those done now and of all that were to do."""

    done: int
    parts: int
    rows: int
    all_rows: int


@dataclasses.dataclass(frozen=True)
class _Job:
    """Scores part number k; what travels to workers."""

    scorer: Scorer
    parts: tuple[blocks.Block, ...]
    folder: str

    def path(self, k: int) -> pathlib.Path:
        return pathlib.Path(self.folder) / f"part-{k:06}.parquet"

    def columns(self, schema: Any) -> list[str]:
        """What is to be read of a file of this schema; ArgumentError if a column is not there."""
        names = dict.fromkeys([*self.scorer.kept(schema.names), *self.scorer.columns])
        for name in names:
            if schema.names.count(name) != 1:
                expected = f"one of {', '.join(schema.names)}, which stands there once"
                raise ArgumentError("columns", expected, name)
        return list(names)

    def __call__(self, k: int) -> int:
        """Write a part, whole or not at all; gives its rows."""
        import pyarrow.parquet

        part, scorer = self.parts[k], self.scorer
        schema = part.schema()
        needed = self.columns(schema)
        with (
            replacing(self.path(k)) as draft,
            pyarrow.parquet.ParquetWriter(draft, scorer.schema(schema)) as writer,
        ):
            for batch in part.batches(needed, BATCH_ROWS):
                writer.write_batch(scorer(batch))
        return part.rows


def score_files(
    scorer: Scorer, source: Any, target: Path, *, engine: str = "local", force: bool = False
) -> Iterator[Part]:
    """Score Parquet or Arrow files into a folder of Parquet files; an iterator that works as it goes.

    Parameters
    ----------
    scorer : Scorer
    source : path-like, or list of them
        Files, and folders of files; they may be larger than memory.
    target : path-like
        A folder, ``part-000000.parquet`` and so on in the order of the source: what every reader of Parquet takes as
        one table. All machines must see both.
    engine : {"local", "ray", "spark", "dask"}
        Where parts are done: one by one in this process, or as tasks.
    force : bool
        Throw away the parts of another run.

    Yields
    ------
    Part
        After each part, and once before the first.

    Raises
    ------
    ArgumentError
        The folder holds other files, or the parts of another model or source.
    RnncoreError, OSError

    Notes
    -----
    A part is some row groups, 2**18 rows unless one has more; 2**15 rows are in memory at a time. It is written beside
    its place and moved there, so whatever interrupts the iterator leaves whole parts, and the same call does the rest.

    Examples
    --------
    >>> import pyarrow.parquet, tempfile
    >>> from rnncore import cluster
    >>> folder = tempfile.TemporaryDirectory()
    >>> rnncore.GRU(1, 4, seed=0).save(f"{folder.name}/model.safetensors")
    >>> table = pyarrow.table({"id": [7, 8], "x": [[0.1, 0.2], [0.3]]})
    >>> pyarrow.parquet.write_table(table, f"{folder.name}/in.parquet")
    >>> scorer = cluster.Scorer(f"{folder.name}/model.safetensors", "x", steps="last")
    >>> parts = list(cluster.score_files(scorer, f"{folder.name}/in.parquet", f"{folder.name}/out.parquet"))
    >>> parts[-1].rows, pyarrow.parquet.read_table(f"{folder.name}/out.parquet").column_names
    (2, ['id', 'score'])
    """
    check_scorer(scorer)
    spec.check_choice("engine", engine, ENGINES)
    spec.check_bool("force", force)
    folder = pathlib.Path(check_path(target, "target")).absolute()
    parts = [
        part._replace(path=str(pathlib.Path(part.path).absolute()))
        for part in blocks.blocks_of(source, PART_ROWS)
    ]
    job = _Job(scorer, tuple(parts), str(folder))
    _check_sources(job)
    _prepare(folder, _facts(job), force)
    return _run(job, engine)


def _check_sources(job: _Job) -> None:
    """ArgumentError unless each file has the columns, and all give parts of one table."""
    first: Any = None
    for part in {part.path: part for part in job.parts}.values():
        schema = part.schema()
        job.columns(schema)
        found = {field.name: field.type for field in job.scorer.schema(schema)}
        first = found if first is None else first
        for name in {**first, **found}:
            if first.get(name) != found.get(name):
                expected = f"{first.get(name, 'no column')} in all files, as {job.parts[0].path} has"
                raise ArgumentError(name, expected, f"{found.get(name, 'none')} in {part.path}")


def _run(job: _Job, engine: str) -> Iterator[Part]:
    left = [k for k in range(len(job.parts)) if not job.path(k).exists()]
    count, rows, all_rows = len(job.parts), 0, sum(job.parts[k].rows for k in left)
    yield Part(count - len(left), count, 0, all_rows)
    if engine == "local":
        results: Iterator[int] = map(job, left)
    else:
        each = importlib.import_module(f".{engine}", __package__).each
        results = each(job, left, job.scorer.threads or 1)
    for done, found in enumerate(results, count - len(left) + 1):
        rows += found
        yield Part(done, count, rows, all_rows)
    _check_seen(job)


def _check_seen(job: _Job) -> None:
    """ArgumentError if a part that a worker has written is not to be seen from here."""
    there = {path.name for path in pathlib.Path(job.folder).iterdir()}
    unseen = [k for k in range(len(job.parts)) if job.path(k).name not in there]
    if unseen:
        got = f"{job.folder} without {len(unseen)} of {len(job.parts)} parts, which workers have written"
        raise ArgumentError("target", "a folder that all machines see", got)


def _facts(job: _Job) -> dict[str, Any]:
    scorer = job.scorer
    named = {name: getattr(scorer, name) for name in ("digest", "columns", "output", "steps", "keep")}
    return json.loads(json.dumps(named | {"source": blocks.fingerprint(job.parts)}))


def _prepare(folder: pathlib.Path, facts: dict[str, Any], force: bool) -> None:
    """Make the folder, or make sure that what is in it are parts of the same."""
    if folder.exists() and not folder.is_dir():
        raise ArgumentError("target", "a folder, or nothing yet", str(folder), "it is a file")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FACTS
    found = None
    if path.exists():
        with contextlib.suppress(ValueError):
            found = json.loads(path.read_text("utf-8"))
    if found == facts:
        return
    own = [*folder.glob("part-[0-9]*.parquet"), *folder.glob(FACTS)]
    if others := [each.name for each in folder.iterdir() if each not in own and each.name[0] != "."]:
        raise ArgumentError("target", "a folder of its own", f"{folder} with {min(others)}")
    if own and not force:
        names = [name for name in facts if isinstance(found, dict) and found.get(name) != facts[name]]
        got = f"{folder} with those of another " + (" and ".join(names) or "run")
        raise ArgumentError("target", "parts of the same run", got, "force throws them away")
    for each in own:
        each.unlink()
    with replacing(path) as draft:
        draft.write_text(json.dumps(facts), "utf-8")


def sequence_columns(source: Any) -> list[str]:
    """Names of the columns of lists that the first of some files has."""
    from pyarrow import types

    kinds = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    schema = blocks.blocks_of(blocks.files_of(source)[:1])[0].schema()
    return [field.name for field in schema if any(is_kind(field.type) for is_kind in kinds)]
