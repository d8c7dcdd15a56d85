# SPDX-License-Identifier: MIT
"""Parquet and Arrow files that are larger than memory, block by block."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import ragged, spec
from .errors import ArgumentError, FormatError, UnsupportedError, shown

__all__ = ["Blocks"]

ENDINGS = (".parquet", ".pq", ".arrow", ".feather", ".ipc")
"""Of the files that are taken of a folder."""
HEAD = 64 * 2**10
"""Bytes at either end of a file that stand for it: the end of a Parquet file says where its columns are, and more."""


class Block(NamedTuple):
    """Some row groups of a Parquet file, or record batches of an Arrow file.

    Attributes
    ----------
    path : str
    first, count : int
        Which of them.
    rows : int
    """

    path: str
    first: int
    count: int
    rows: int

    def schema(self) -> Any:
        """pyarrow's schema of the file."""
        with _open(self.path) as file:
            return file.schema

    def batches(self, columns: Sequence[str], rows: int) -> Iterator[Any]:
        """Record batches of these columns, of at most so many rows where the file does not say otherwise."""
        with _open(self.path) as file:
            yield from file.batches(range(self.first, self.first + self.count), list(columns), rows)


class _Parquet:
    """An open Parquet file."""

    def __init__(self, path: str) -> None:
        import pyarrow.parquet

        self.file: Any = pyarrow.parquet.ParquetFile(path)
        self.schema: Any = self.file.schema_arrow
        meta = self.file.metadata
        self.sizes: list[int] = [meta.row_group(k).num_rows for k in range(meta.num_row_groups)]

    def batches(self, which: range, columns: list[str], rows: int) -> Iterator[Any]:
        if which:
            options = {"row_groups": list(which), "columns": columns, "use_threads": False}
            yield from self.file.iter_batches(rows, **options)

    def close(self) -> None:
        self.file.close()


class _Arrow:
    """An open file of Arrow's record batches, whose columns are the file's own pages."""

    def __init__(self, path: str) -> None:
        import pyarrow.ipc

        self.source: Any = pyarrow.memory_map(path)
        self.file: Any = pyarrow.ipc.open_file(self.source)
        self.schema: Any = self.file.schema
        self.sizes: list[int] = [self.file.get_batch(k).num_rows for k in range(self.file.num_record_batches)]

    def batches(self, which: range, columns: list[str], rows: int) -> Iterator[Any]:
        for k in which:
            batch = self.file.get_batch(k).select(columns)
            yield from (batch[start : start + rows] for start in range(0, len(batch), rows))

    def close(self) -> None:
        self.source.close()


KINDS: dict[bytes, type[_Parquet] | type[_Arrow]] = {b"PAR1": _Parquet, b"ARRO": _Arrow}
"""What reads a file, by its first bytes."""


@contextlib.contextmanager
def _open(path: str) -> Iterator[_Parquet | _Arrow]:
    """Context manager of an open file; what pyarrow finds wrong with it is a FormatError."""
    with open(path, "rb") as start:
        head = start.read(4)
    try:
        import pyarrow
    except ModuleNotFoundError as error:
        hint = 'pip install "rnncore[arrow]"'
        raise UnsupportedError(path, "pyarrow, which reads it", "none", hint) from error
    if head not in KINDS:
        hint = "write a stream of Arrow's as a file"
        raise FormatError(path, "a Parquet or an Arrow file", f"one that starts with {head!r}", hint)
    try:
        with contextlib.closing(KINDS[head](path)) as file:
            yield file
    except (pyarrow.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:  # the system's, not the file's
            raise
        raise FormatError(path, "a sound Parquet or Arrow file", error) from error


def files_of(source: Any) -> list[str]:
    """Paths of a file, of those in a folder by name, or of a list of both.

    Raises
    ------
    ArgumentError
        It is no path, or there are none.
    FileNotFoundError
    """
    if isinstance(source, (list, tuple)) and source:
        return [path for one in source for path in _files_in(one)]
    return _files_in(source)


def _files_in(source: Any) -> list[str]:
    """Paths of a file, or of those in a folder."""
    if not isinstance(source, (str, os.PathLike)) or "\0" in str(os.fspath(source)):
        raise ArgumentError("source", "a path of a file or a folder", shown(source))
    path = pathlib.Path(source)
    if not path.is_dir():
        return [str(path)]
    found = [
        str(inner)
        for inner in sorted(path.rglob("*"))
        if inner.suffix in ENDINGS and not any(part[0] in "._" for part in inner.relative_to(path).parts)
    ]
    if not found:
        raise ArgumentError("source", "a folder with files " + ", ".join(ENDINGS), str(path))
    return found


def blocks_of(source: Any, rows: int = 0) -> list[Block]:
    """The blocks of files, in order: each row group or record batch, or as many of a file as give so many rows."""
    found: list[Block] = []
    for path in files_of(source):
        with _open(path) as file:
            sizes = file.sizes or [0]
            count = len(file.sizes)
        own = [Block(path, 0, min(1, count), sizes[0])]
        for k, size in enumerate(sizes[1:], 1):
            last = own[-1]
            if last.rows + size <= rows:
                own[-1] = last._replace(count=last.count + 1, rows=last.rows + size)
            else:
                own.append(Block(path, k, 1, size))
        found += own
    return found


def fingerprint(blocks: Sequence[Block]) -> str:
    """A hash of the files' names, sizes, beginnings and ends, and of their blocks."""
    digest = hashlib.sha256()
    for path in dict.fromkeys(block.path for block in blocks):
        size = os.path.getsize(path)
        digest.update(json.dumps([os.path.basename(path), size]).encode())
        with open(path, "rb") as file:
            digest.update(file.read(HEAD))
            file.seek(max(0, size - HEAD))
            digest.update(file.read())
    digest.update(json.dumps([block[1:] for block in blocks]).encode())
    return digest.hexdigest()


class Blocks:
    """Samples of Parquet or Arrow files that may be larger than memory, as data for `rnncore.nn.fit`.

    Parameters
    ----------
    source : path-like, or list of them
        Files, and folders of files.
    inputs : str or sequence of str
        Columns of sequences, see `rnncore.ragged.from_arrow`; several stand side by side as features. Integers alone
        are an embedding's numbers.
    target : str
        A column of numbers, one for each sequence, or of lists, one or several for each step.
    rows : int
        So many rows are in memory, and shuffled among each other; a row group or record batch that has more is by
        itself.
    dtype : "float32" or "float64"
        What floating-point numbers become, the model's.

    Raises
    ------
    ArgumentError
        A column is not there.
    FormatError
        A file is damaged, or of another kind.
    UnsupportedError
        pyarrow is not installed.
    OSError

    Notes
    -----
    An epoch takes the row groups, or record batches, in an order drawn anew, as many as have `rows` rows at a time, and
    the rows of these in another one. So the order of samples, and with it the bits of what is trained, follow from the
    seed, `rows` and how the files are divided. Each worker reads all row groups once an epoch. A sample's number takes
    some bytes of memory.

    Examples
    --------
    >>> import pyarrow.parquet, tempfile
    >>> from rnncore.blocks import Blocks
    >>> folder = tempfile.TemporaryDirectory()
    >>> table = pyarrow.table({"x": [[0.5, 1.0], [2.0], [0.0, 3.0]], "y": [0, 1, 1]})
    >>> pyarrow.parquet.write_table(table, f"{folder.name}/a.parquet", row_group_size=2)
    >>> data = Blocks(folder.name, "x", "y")
    >>> len(data), data[0][0].tolist(), int(data[2][1])
    (3, [[0.5], [1.0]], 1)
    >>> layer = rnncore.nn.Recurrent(rnncore.GRU(1, 4, seed=0), return_sequences=False)
    >>> model = rnncore.nn.Sequential(layer, rnncore.Linear(4, 2, seed=1))
    >>> run = rnncore.nn.fit(model, data, rnncore.cross_entropy, rnncore.Adam(model), epochs=2, batch_size=2)
    >>> run.step
    4
    """

    def __init__(
        self,
        source: Any,
        inputs: str | Sequence[str],
        target: str,
        *,
        rows: int = 2**16,
        dtype: str = "float32",
    ) -> None:
        names = [inputs] if isinstance(inputs, str) else inputs
        if not isinstance(names, (list, tuple)) or not names:
            raise ArgumentError("inputs", "a name, or a list of names", shown(inputs))
        self.inputs: tuple[str, ...] = tuple(names)
        self.target: str = target
        for name in (*self.inputs, target):
            spec.check_type("columns", name, str, "names of columns")
        self.rows: int = spec.check_int("rows", rows, 1)
        self.dtype: np.dtype = spec.check_dtype("dtype", dtype)
        self.blocks: list[Block] = blocks_of(source)
        for block in {block.path: block for block in self.blocks}.values():
            known = block.schema().names
            for name in (*self.inputs, target):
                if known.count(name) != 1:
                    expected = f"one of {', '.join(known)}, which stands there once"
                    raise ArgumentError("columns", expected, name, block.path)
        self._ends: np.ndarray = np.cumsum([block.rows for block in self.blocks])
        self._held: OrderedDict[int, tuple[Any, Any]] = OrderedDict()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Sample i: its sequence (T, F), or numbers (T,) of an embedding, and its target."""
        i = spec.check_int("sample", i, 0)
        if i >= len(self):
            raise IndexError(f"sample {i} of {len(self)}")
        k = int(np.searchsorted(self._ends, i, side="right"))
        row = i - int(self._ends[k]) + self.blocks[k].rows
        inputs, target = self._block(k)
        return _side_by_side(inputs, row), target(row)

    def epoch_order(self, rows: np.ndarray, shuffle: Callable[[int, int], np.ndarray]) -> np.ndarray:
        """These rows, ascending numbers, in the order of an epoch.

        Parameters
        ----------
        rows : ints
        shuffle : callable
            ``shuffle(n, k)`` gives 0..n-1 in an order, another one for each k.
        """
        cuts = np.searchsorted(rows, np.concatenate([[0], self._ends]))
        found, window, size = [], [], 0
        for k in shuffle(len(self.blocks), 0):
            if window and size + self.blocks[k].rows > self.rows:
                found.append(self._mixed(rows, cuts, window, shuffle, len(found)))
                window, size = [], 0
            window.append(k)
            size += self.blocks[k].rows
        found.append(self._mixed(rows, cuts, window, shuffle, len(found)))
        return np.concatenate(found)

    def _mixed(
        self, rows: np.ndarray, cuts: np.ndarray, window: list[int], shuffle: Any, k: int
    ) -> np.ndarray:
        own = np.concatenate([rows[cuts[block] : cuts[block + 1]] for block in window])
        return own[shuffle(len(own), k + 1)]

    def fingerprint(self) -> str:
        """A hash of the files and of what is read of them, without reading all."""
        text = json.dumps([fingerprint(self.blocks), self.inputs, self.target, self.rows, self.dtype.name])
        return hashlib.sha256(text.encode()).hexdigest()

    def _block(self, k: int) -> tuple[Any, Any]:
        """Inputs and target of a block; those that were used least recently make room."""
        if k in self._held:
            self._held.move_to_end(k)
            return self._held[k]
        while self._held and sum(self.blocks[j].rows for j in self._held) + self.blocks[k].rows > self.rows:
            self._held.popitem(last=False)
        block = self.blocks[k]
        table = _joined(block.batches([*self.inputs, self.target], max(block.rows, 1)))
        inputs = [self._spans(table[name], name) for name in self.inputs]
        self._held[k] = inputs, self._targets(table[self.target])
        return self._held[k]

    def _spans(self, column: Any, name: str) -> ragged.Spans:
        found = ragged.spans(column, name)
        if found.valid is not None:
            hint = "drop them or fill them first: a network has no missing step"
            raise ArgumentError(name, "no nulls", int((~found.valid).sum()), hint)
        return found._replace(values=self._cast(found.values))

    def _cast(self, values: np.ndarray) -> np.ndarray:
        return values.astype(self.dtype, copy=False) if values.dtype.kind == "f" else values

    def _targets(self, column: Any) -> Callable[[int], np.ndarray]:
        """Gives the target of a row: floating-point numbers with an axis of their own, as a model's outputs have."""
        if hasattr(column.type, "value_type"):
            found = self._spans(column, self.target)
            is_label = found.values.dtype.kind in "iu"
            values = found.values if is_label or found.values.ndim == 2 else found.values[:, np.newaxis]
            return lambda row: values[found.starts[row] :][: found.lengths[row]]
        if column.null_count:
            raise ArgumentError(self.target, "no nulls", column.null_count)
        numbers = self._cast(column.to_numpy(zero_copy_only=False))
        if numbers.dtype.kind not in "iuf":
            raise UnsupportedError(self.target, "numbers, or lists of numbers", str(column.type))
        return lambda row: numbers[row] if numbers.dtype.kind in "iu" else numbers[row : row + 1]


def _joined(batches: Iterator[Any]) -> Any:
    """The columns of some record batches, each in one piece."""
    import pyarrow

    found = list(batches)
    if len(found) == 1:
        return found[0]
    return pyarrow.Table.from_batches(found).combine_chunks().to_batches()[0]


def _side_by_side(parts: list[ragged.Spans], row: int) -> np.ndarray:
    """The sequence of a row (T, F), or of one column of integers (T,)."""
    found = [part.values[part.starts[row] :][: part.lengths[row]] for part in parts]
    if len(found) == 1 and found[0].dtype.kind in "iu":
        return found[0]
    for one in found[1:]:
        if len(one) != len(found[0]):
            raise ArgumentError("columns", f"{len(found[0])} steps, as the first has", len(one))
    return np.concatenate([one if one.ndim == 2 else one[:, np.newaxis] for one in found], axis=1)
