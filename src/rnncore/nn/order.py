# SPDX-License-Identifier: MIT
"""What a training run does when: the order of samples, the keys of dropout, the shards of a batch and their tree.

All of it follows from the seed and the data's size, by SplitMix64 (spec/masks.py) and integer arithmetic: it is the
same on every machine, for every version of NumPy and any number of workers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from ..spec import masks
from .container import leaves_of

Value = TypeVar("Value")

_WORD = 2**64


def key_of(*words: int) -> int:
    """A 64-bit key of some integers >= 0.

    Examples
    --------
    >>> from rnncore.nn.order import key_of
    >>> key_of(0, 1) == key_of(0, 1), key_of(0, 1) == key_of(1, 0)
    (True, False)
    """
    key = 0
    for word in words:
        key = (key ^ word % _WORD) + masks.GOLDEN
        key = (key ^ (key >> 30)) * 0xBF58476D1CE4E5B9 % _WORD
        key = (key ^ (key >> 27)) * 0x94D049BB133111EB % _WORD
        key ^= key >> 31
    return key


def shuffled(n: int, *words: int) -> np.ndarray:
    """0..n-1 in the order of their draws, each of these words and the number alone.

    Examples
    --------
    >>> from rnncore.nn.order import shuffled
    >>> sorted(shuffled(5, 0, 1).tolist())
    [0, 1, 2, 3, 4]
    """
    index = np.arange(1, n + 1, dtype=np.uint64)
    draws = masks.mix(np.uint64(key_of(*words)) + index * np.uint64(masks.GOLDEN))
    return np.argsort(draws, kind="stable")


def part(rows: np.ndarray, k: int, parts: Any) -> np.ndarray:
    """Piece number k of so many nearly equal ones; empty where there are fewer rows.

    Of a fleet's rows (M, n) each model's own is cut, and `parts` may be (M,): (M, width), -1 behind shorter pieces.

    Examples
    --------
    >>> import numpy as np
    >>> from rnncore.nn.order import part
    >>> part(np.arange(5), 1, 2), part(np.array([[5, 6, 7, 8], [9, 4, -1, -1]]), 1, 2).tolist()
    (array([2, 3, 4]), [[7, 8], [4, -1]])
    """
    counts = counts_of(rows)
    first, end = counts * k // parts, counts * (k + 1) // parts
    if rows.ndim == 1:
        return rows[first:end]
    end = np.minimum(end, counts)  # where a model has fewer parts than the others
    at = first[:, np.newaxis] + np.arange(max((end - first).max(), 0))
    found = np.take_along_axis(rows, np.minimum(at, rows.shape[1] - 1), axis=1)
    return np.where(at < end[:, np.newaxis], found, -1)


def beside(each: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of M models as (M, n), those of each first; -1 behind fewer ones."""
    if len({len(own) for own in each}) == 1:
        return np.stack(each)
    found = np.full((len(each), max(map(len, each))), -1, np.int64)
    for row, own in zip(found, each, strict=True):
        row[: len(own)] = own
    return found


def counts_of(rows: np.ndarray) -> Any:
    """How many rows there are: of (n,) a number, of what `beside` gives (M,)."""
    return len(rows) if rows.ndim == 1 else (rows >= 0).sum(axis=1)


def keys_of(rows: np.ndarray, key: Any) -> np.ndarray:
    """A 64-bit key for each of some integers >= 0, of it and `key` alone; of a fleet (M, n), with keys (M, 1).

    Examples
    --------
    >>> import numpy as np
    >>> from rnncore.nn.order import keys_of
    >>> bool((keys_of(np.arange(5), 1)[3:] == keys_of(np.array([3, 4]), 1)).all())
    True
    """
    return masks.mix((np.uint64(key) ^ rows.astype(np.uint64)) + np.uint64(masks.GOLDEN))


_NONE = np.zeros(0, np.uint64)


class Keys:
    """Stands for the generator of a module's call keys, in a call whose rows are samples.

    The n-th draw gives a key for each sample, of (its key, the module, n); what all rows share goes by the first.

    Attributes
    ----------
    row_keys : uint64 (N,), of all models of a fleet (M, N)
        Those of the latest draw.
    time_major : bool
        Whether arrays with steps have them first.
    """

    def __init__(self, samples: Callable[[], np.ndarray], module: int, time_major: bool) -> None:
        self.samples: Callable[[], np.ndarray] = samples
        self.module: int = module
        self.time_major: bool = time_major
        self.drawn: int = 0
        self.row_keys: np.ndarray = _NONE

    def integers(self, *_: Any, **__: Any) -> int:
        """Draw."""
        self.drawn += 1
        self.row_keys = keys_of(self.samples(), key_of(self.module, self.drawn))
        return int(self.row_keys.flat[0])


@contextlib.contextmanager
def keyed(
    draws: Sequence[tuple[int, Any]], samples: Callable[[], np.ndarray], time_major: bool = True
) -> Iterator[None]:
    """While the block runs, dropout of what `drawing` gave draws from these keys, one for each row of the inputs.

    `samples` gives them, (N,) or of all models of a fleet (M, N); it is called where there is dropout alone, as they
    take a while.
    """
    own = [vars(leaf)[_generator_of(leaf)] for _, leaf in draws]
    for k, leaf in draws:
        setattr(leaf, _generator_of(leaf), _keys_for(leaf, samples, k, time_major))
    try:
        yield
    finally:
        for (_, leaf), rng in zip(draws, own, strict=True):
            setattr(leaf, _generator_of(leaf), rng)


def drawing(model: Any) -> list[tuple[int, Any]]:
    """The modules of a model that may draw dropout, each with its number."""
    return [(k, leaf) for k, leaf in enumerate(leaves_of(model).values()) if _generator_of(leaf)]


def _generator_of(leaf: Any) -> str:
    """The attribute that holds a module's generator, or those of a fleet's models; "" without one."""
    return next((name for name in ("_dropout_rng", "_dropout_rngs") if name in vars(leaf)), "")


def _keys_for(leaf: Any, samples: Callable[[], np.ndarray], module: int, time_major: bool) -> Any:
    if _generator_of(leaf) == "_dropout_rng":
        return Keys(samples, module, time_major)
    return [Keys(lambda m=m: samples()[m], module, time_major) for m in range(leaf.models)]


# The tree: node (first, size) is the sum over shards first .. first+size-1, of its left half and its right half.

Node = tuple[int, int]


def nodes(first: int, end: int) -> Iterator[Node]:
    """The largest nodes of the tree that together are the shards first .. end-1.

    Examples
    --------
    >>> from rnncore.nn.order import nodes
    >>> list(nodes(5, 10))
    [(5, 1), (6, 2), (8, 2)]
    """
    while first < end:
        size = first & -first or 1 << end.bit_length()
        while first + size > end:
            size //= 2
        yield first, size
        first += size


def tree_sum(
    node: Node, leaf: Callable[[Node], Value | None], add: Callable[[Value, Value], Value]
) -> Value | None:
    """The sum of a node, of what `leaf` gives for the nodes that it knows, from left to right.

    `leaf` gives None for an empty shard, which is left out of the sum, and raises KeyError for a node that is to be
    summed of its halves.
    """
    try:
        return leaf(node)
    except KeyError:
        first, half = node[0], node[1] // 2
    left = tree_sum((first, half), leaf, add)
    right = tree_sum((first + half, half), leaf, add)
    if left is None or right is None:
        return right if left is None else left
    return add(left, right)
