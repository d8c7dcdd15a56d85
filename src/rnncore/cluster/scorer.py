# SPDX-License-Identifier: MIT
"""A model file as a function of Arrow's record batches that travels to workers as a path and a digest."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import threading
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import spec
from ..engine.threads import given_threads, limited
from ..errors import ArgumentError, DTypeError, FormatError, UnsupportedError, shown
from ..formats.doors import load
from ..formats.files import Path, check_path
from ..nn import Attention, Embedding, Linear, Recurrent, Sequential
from ..nn.container import leaves_of
from ..nn.sequential import models_of
from . import arrow

STEPS = ("all", "last")


@dataclasses.dataclass(frozen=True)
class _Model:
    """A model as scorers call it.

    Attributes
    ----------
    run : callable
        The model; `takes_lengths` says whether it does, `batch_first` where its rows are.
    features : int or None
        Of a step; None: an embedding's number.
    size : int
        Numbers of a result.
    by_step : bool
        Whether it gives one for each step.
    """

    run: Any
    takes_lengths: bool
    batch_first: bool
    features: int | None
    dtype: np.dtype
    size: int
    by_step: bool

    def __call__(self, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Results of x (T, n, F): (T, n, size), or (n, size)."""
        T, x = len(x), x.swapaxes(0, 1) if self.batch_first else x
        some = (
            lengths if lengths.min(initial=T) < T else None
        )  # that all have T steps costs nothing left unsaid
        y = self.run(x, some) if self.takes_lengths else self.run(x)
        return y.swapaxes(0, 1) if self.batch_first and y.ndim == 3 else y


def _prepared(model: Any, path: str) -> _Model:
    """What a loaded model reads and gives, seen from its modules and from one call."""
    model = Recurrent(model) if hasattr(model, "spec") else model
    if isinstance(model, Attention) or models_of(model):
        got, hint = (
            ("two inputs", "") if isinstance(model, Attention) else ("a fleet", "nn.unstack gives its models")
        )
        raise UnsupportedError(path, "a model of one input", got, hint)
    leaves = list(leaves_of(model).values())
    specs = [leaf.spec for leaf in leaves if hasattr(leaf, "spec")]
    batch_first = any(one.batch_first for one in specs)
    features = 1
    for leaf in leaves:
        if hasattr(leaf, "spec") or isinstance(leaf, (Linear, Embedding)):
            size = leaf.spec.input_size if hasattr(leaf, "spec") else getattr(leaf, "in_features", None)
            features = size
            break
    dtypes = {array.dtype for array in model.parameters().values()} or {np.dtype(np.float32)}
    dtype = dtypes.pop()
    takes_lengths = isinstance(model, (Recurrent, Sequential))
    probe = _Model(model, takes_lengths, batch_first, features, dtype, 0, True)
    x = np.zeros((1, 1), np.int64) if features is None else np.zeros((1, 1, features), dtype)
    y = probe(x, np.ones(1, np.int64))
    if not isinstance(y, np.ndarray):
        raise UnsupportedError(path, "a model of one output", "a pair", "merge=None gives two")
    return dataclasses.replace(probe, dtype=dtype, size=y.shape[-1], by_step=y.ndim == 3)


MOST_MODELS = 16
"""Models that a process keeps; where more are scored with, the one that was used least recently is loaded again."""

_models: dict[str, _Model] = {}
_loading = threading.RLock()


def _start_over() -> None:
    """In a forked child: another thread may have been loading."""
    global _loading
    _loading = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_start_over)


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_digest(path: str, digest: str) -> None:
    found = _digest(path)
    if found != digest:
        hint = "it has changed since the scorer was made, or this machine has another one"
        raise FormatError(path, f"the file with SHA-256 {digest[:16]}...", f"{found[:16]}...", hint)


def _model(path: str, digest: str) -> _Model:
    """The model of this digest: loaded by the first call of the process, and kept."""
    with _loading:
        found = _models.pop(digest, None)
        if found is None:
            _check_digest(path, digest)
            found = _prepared(load(path), path)
            _check_digest(path, digest)  # it may have been replaced while it was read
            while len(_models) >= MOST_MODELS:
                del _models[next(iter(_models))]
        _models[digest] = found
        return found


def _path_of(uri: Path) -> str:
    """The absolute path that a path or a file:// URI names."""
    path = check_path(uri, "uri")
    if "://" in path:
        scheme, host, inner, *_ = urllib.parse.urlsplit(path)
        if scheme != "file" or host not in ("", "localhost"):
            raise UnsupportedError(
                "uri", "a path or file://", f"{scheme}://{host}", "copy it to every machine"
            )
        path = urllib.request.url2pathname(inner)
    return os.path.abspath(path)


class Scorer:
    """Scores the record batches of Arrow's that it is called with, anywhere.

    It is pickled as the model file's path and SHA-256, without weights; a process loads the model when it is first
    needed, once for all scorers of the file.

    Parameters
    ----------
    uri : path-like or ``file://`` URI
        What `rnncore.load` reads as a whole, of whatever format. Every machine must see the same file.
    columns : str or sequence of str
        Columns of lists, large lists or fixed-size lists, whose elements are steps: numbers, or fixed-size lists of F
        numbers. Several have the same lengths and are put side by side as features. Numbers of another type become the
        model's.
    threads : int or None
        Of a call. None: as many as whoever started the process has given a task (OMP_NUM_THREADS, which Ray, Dask and
        Spark set; the cores that affinity and control groups leave).
    output : str
        The name of the column of results.
    steps : {"all", "last"}
        Of a model that gives a result for each step: all, or that of the sequence's last step.
    keep : sequence of str, optional
        The columns that go through; all but `columns` if left out.

    Raises
    ------
    RnncoreError, OSError
        As `rnncore.load`; the model gives two outputs.

    Notes
    -----
    Results have the same bits in any batch, order and partition, on any engine. One of them is a number if the model
    gives one, else a fixed-size list; with steps a list of these. A sequence that is null, or has a null in it, has a
    null for a result; one without steps has an empty list, or a null where there is one result a sequence.

    Offsets are read where they lie. Sequences of one length are read by the model from the column's own memory, if it
    has the model's dtype; others are put side by side for a call, at most 32768 steps at a time.

    Examples
    --------
    >>> import pyarrow, tempfile
    >>> from rnncore.cluster import Scorer
    >>> model = rnncore.nn.Sequential(rnncore.GRU(1, 4, seed=0), rnncore.Linear(4, 1, seed=1))
    >>> folder = tempfile.TemporaryDirectory()
    >>> model.save(f"{folder.name}/model.safetensors")
    >>> scorer = Scorer(f"{folder.name}/model.safetensors", "x", steps="last")
    >>> batch = pyarrow.record_batch({"id": [7, 8, 9], "x": [[0.1, 0.2], None, [0.3]]})
    >>> scored = scorer(batch)
    >>> scored.schema.names, scored["id"].to_pylist(), scored["score"].is_valid().to_pylist()
    (['id', 'score'], [7, 8, 9], [True, False, True])
    """

    def __init__(
        self,
        uri: Path,
        columns: str | Sequence[str],
        threads: int | None = 1,
        *,
        output: str = "score",
        steps: str = "all",
        keep: Sequence[str] | None = None,
    ) -> None:
        arrow.package("pyarrow")
        self.columns: tuple[str, ...] = _names("columns", [columns] if isinstance(columns, str) else columns)
        if not self.columns:
            raise ArgumentError("columns", "at least one name", "none")
        self.threads: int | None = None if threads is None else spec.check_int("threads", threads, 1)
        spec.check_type("output", output, str, "a name")
        self.output: str = output
        spec.check_choice("steps", steps, STEPS)
        self.steps: str = steps
        self.keep: tuple[str, ...] | None = None if keep is None else _names("keep", keep)
        self.path: str = _path_of(uri)
        self.digest: str = _digest(self.path)
        model = _model(self.path, self.digest)
        if model.features is None and len(self.columns) > 1:
            raise ArgumentError("columns", "one column of an embedding's numbers", f"{len(self.columns)}")

    def __repr__(self) -> str:
        return f"Scorer({self.path!r}, {list(self.columns)!r}, sha256 {self.digest[:16]}...)"

    @property
    def _by_step(self) -> bool:
        return self.steps == "all" and _model(self.path, self.digest).by_step

    @property
    def type(self) -> Any:
        """pyarrow's type of the column of results."""
        model = _model(self.path, self.digest)
        return arrow.result_type(model.dtype, model.size, self._by_step)

    def kept(self, names: Sequence[str]) -> list[str]:
        """Which of a table's columns go through.

        Raises
        ------
        ArgumentError
            One of them is not there or several times, or is called as the results are.
        """
        found = [name for name in names if name not in self.columns] if self.keep is None else list(self.keep)
        for name in found:
            if list(names).count(name) != 1:
                expected = f"one of {', '.join(map(str, names))}, which stands there once"
                raise ArgumentError("keep", expected, name)
            if name == self.output:
                raise ArgumentError("output", "a name that no other column has", name)
        return found

    def schema(self, schema: Any) -> Any:
        """The schema of what comes out of a batch of this one."""
        import pyarrow

        fields = [schema.field(name) for name in self.kept(schema.names)]
        return pyarrow.schema([*fields, pyarrow.field(self.output, self.type)], metadata=schema.metadata)

    def __call__(self, batch: Any) -> Any:
        """Score a RecordBatch, a Table, or what has Arrow's PyCapsule interface, such as a DataFrame of polars.

        Returns
        -------
        pyarrow.RecordBatch, or of anything else pyarrow.Table
            The columns kept and the results, in the rows' order; the memory of the former is not copied.

        Raises
        ------
        RnncoreError
            A column is not there, or not what the model reads; the model file is another one.
        """
        import pyarrow

        if isinstance(batch, pyarrow.RecordBatch):
            schema = self.schema(batch.schema)
            arrays = [batch.column(name) for name in schema.names[:-1]]
            return pyarrow.RecordBatch.from_arrays([*arrays, self._scored(batch)], schema=schema)
        if not isinstance(batch, pyarrow.Table):
            if not hasattr(batch, "__arrow_c_stream__"):
                raise ArgumentError("batch", "a record batch or a table of Arrow's", shown(batch))
            batch = pyarrow.table(batch)
        parts = [self(part) for part in batch.to_batches()]
        return pyarrow.Table.from_batches(parts, schema=self.schema(batch.schema))

    def _scored(self, batch: Any) -> Any:
        """The column of results."""
        model, data = _model(self.path, self.digest), arrow.Sequences(batch, self.columns)
        n, lengths = len(data.lengths), data.lengths
        if lengths.any():
            arrow.check_features(self.columns, model.features, data.features)
            if model.features is None and data.parts[0].values.dtype.kind not in "iu":
                raise DTypeError(self.columns[0], "integers", data.parts[0].values.dtype)
        ends = np.cumsum(lengths)
        found = np.zeros((int(lengths.sum()) if self._by_step else n, model.size), model.dtype)
        with limited(self.threads or given_threads()):
            for rows, some in data.calls():
                y = model(data.x(rows, some, None if model.features is None else model.dtype), some)
                if self._by_step:
                    _put_steps(found, y, ends[rows] - some, some)
                else:
                    found[rows] = y[some - 1, np.arange(len(some))] if model.by_step else y
        valid = data.valid
        if not self._by_step and not lengths.all():
            valid = lengths > 0
        return arrow.result(found, valid, lengths if self._by_step else None)


def check_scorer(value: Any) -> None:
    """ArgumentError unless it is a Scorer."""
    spec.check_type("scorer", value, Scorer, "a Scorer")


def _put_steps(found: np.ndarray, y: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> None:
    """Put y (T, n, size) into the places of the sequences' steps."""
    t = np.arange(len(y))[:, np.newaxis]
    inside = t < lengths
    found[(starts + t)[inside]] = y[inside]


def _names(field: str, names: Any) -> tuple[str, ...]:
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ArgumentError(field, "a list of names", shown(names))
    if len(set(names)) != len(names):
        raise ArgumentError(field, "each name once", shown(names))
    return tuple(names)
