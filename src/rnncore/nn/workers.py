# SPDX-License-Identifier: MIT
"""Workers that train one model together: what they send each other, and how they end when one of them fails.

Before every exchange each worker tells each other in a message of fixed size how it is and what it will send. So a
worker that fails says so in place of its next message, and one that is in another round, or silent, is found out.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from ..errors import RnncoreError
from .order import Node, nodes, tree_sum

HEAD: struct.Struct = struct.Struct("<qqqq")
HEAD_BYTES = 256
WELL, STOPS, INTERRUPTED, FAILED = range(4)
"""How a worker is: it trains, a callback or Ctrl-C asks all to stop after this round, it failed."""


class WorkerError(RnncoreError, RuntimeError):
    """Another worker has failed, is gone or silent, or does something else."""

    status: str = "WORKER"


class Comm(Protocol):
    """What connects workers; see `rnncore.cluster`.

    Attributes
    ----------
    rank, size : int
        This worker's number and how many there are.
    """

    rank: int
    size: int

    def exchange(self, parts: Sequence[np.ndarray], sizes: Sequence[int]) -> list[np.ndarray]:
        """Send ``parts[r]`` to each worker r, itself included, and receive ``sizes[r]`` bytes from each.

        Parameters
        ----------
        parts : uint8 arrays, one for each worker
        sizes : int, one for each worker

        Raises
        ------
        WorkerError
            A worker is gone, or has not answered in time.
        """
        ...

    def barrier(self) -> None:
        """Wait until all workers have come here; WorkerError as `exchange`."""
        ...

    def abort(self, message: str) -> None:
        """End all workers, where the engine can."""
        ...


class Alone:
    """A worker without others.

    Examples
    --------
    >>> import numpy as np
    >>> from rnncore.nn.workers import Alone
    >>> Alone().exchange([np.zeros(2, np.uint8)], [2])
    [array([0, 0], dtype=uint8)]
    """

    rank: int = 0
    size: int = 1

    def exchange(self, parts: Sequence[np.ndarray], sizes: Sequence[int]) -> list[np.ndarray]:
        return list(parts)

    def barrier(self) -> None:
        pass

    def abort(self, message: str) -> None:
        pass


def barrier(comm: Comm) -> None:
    """Wait for all workers by an exchange, which has a time limit."""
    comm.exchange([np.zeros(1, np.uint8)] * comm.size, [1] * comm.size)


def as_bytes(array: np.ndarray) -> np.ndarray:
    """The bytes of an array, as uint8."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


class Workers:
    """The workers of one run: `state` is how this one is, `agreed` the worst of all as of the last exchange."""

    def __init__(self, comm: Comm) -> None:
        self.comm: Comm = comm
        self.rank: int = int(comm.rank)
        self.size: int = int(comm.size)
        self.rounds: int = 0
        self.state: int = WELL
        self.agreed: int = WELL

    def exchange(self, parts: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Send parts of any size; gives those that came.

        Raises
        ------
        WorkerError
            A worker has failed, is gone or silent, or is elsewhere in the run.
        """
        if self.size == 1:
            self.agreed = self.state
            return list(parts)
        self.rounds += 1
        heads = self._heads(self.state, [array.nbytes for array in parts])
        sizes, states = [], []
        for rank, head in enumerate(self.comm.exchange(heads, [HEAD_BYTES] * self.size)):
            other, rounds, size, length = HEAD.unpack_from(head)
            if other == FAILED:
                text = head[HEAD.size : HEAD.size + length].tobytes().decode("utf-8", "replace")
                raise WorkerError(f"worker {rank}", "to train", text, "it failed, so the others end, too")
            if rounds != self.rounds:
                raise WorkerError(f"worker {rank}", f"round {self.rounds}", f"round {rounds}")
            sizes.append(size)
            states.append(other)
        self.agreed = max(states)
        return self.comm.exchange(parts, sizes)

    def _heads(self, state: int, sizes: list[int], message: bytes = b"") -> list[np.ndarray]:
        message = message[: HEAD_BYTES - HEAD.size]
        heads = []
        for size in sizes:
            packed = HEAD.pack(state, self.rounds, size, len(message)) + message
            heads.append(np.frombuffer(bytearray(packed.ljust(HEAD_BYTES, b"\0")), np.uint8))
        return heads

    def fail(self, error: BaseException) -> None:
        """Tell the others, in place of the next exchange, that this worker has failed."""
        if self.size == 1 or isinstance(error, WorkerError):
            return
        text = f"{type(error).__name__}: {error}".encode()
        try:
            self.comm.exchange(self._heads(FAILED, [0] * self.size, text), [HEAD_BYTES] * self.size)
        except WorkerError as lost:
            error.add_note(f"The other workers could not be told: {lost}")

    def share(self, array: np.ndarray) -> list[np.ndarray]:
        """Give all the same bytes; gives those of all."""
        return self.exchange([as_bytes(array)] * self.size)

    # Sums over shards

    def range(self, leaves: int, rank: int) -> tuple[int, int]:
        """First and last but one of the leaves that a worker sums."""
        return leaves * rank // self.size, leaves * (rank + 1) // self.size

    def numbers(self, leaves: int, leaf: Callable[[int], np.ndarray]) -> np.ndarray:
        """The sum over a power of two of leaves of float64 numbers."""
        mine = np.array([leaf(k) for k in range(*self.range(leaves, self.rank))], np.float64)
        found = np.concatenate([part.view(np.float64) for part in self.share(mine)]).reshape(leaves, -1)

        def given(node: Node) -> np.ndarray:
            if node[1] > 1:
                raise KeyError(node)
            return found[node[0]]

        total = tree_sum((0, leaves), given, np.add)
        assert total is not None
        return total

    def sum(
        self, leaves: int, leaf: Callable[[int], Any], dtype: np.dtype, size: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The sums over all leaves, in the order of the tree.

        Parameters
        ----------
        leaves : int
            A power of two.
        leaf : callable
            Of a leaf's number: its numbers (float64) and its vector, or None if it is empty, which all workers know.
        dtype, size
            Of the vectors.

        Returns
        -------
        numbers, vector
            None if all leaves are empty.
        """

        def local(node: Node) -> Any:
            if node[1] > 1:
                raise KeyError(node)
            return leaf(node[0])

        mine = [tree_sum(node, local, _add) for node in nodes(*self.range(leaves, self.rank))]
        if self.size == 1:
            self.agreed = self.state
            return mine[0]
        bounds = [size * r // self.size for r in range(self.size + 1)]
        known = self._swapped(leaves, mine, bounds, dtype)
        found = tree_sum((0, leaves), known.__getitem__, _add)
        if found is None:
            return None
        slices = self.comm.exchange(
            [as_bytes(found[1])] * self.size,
            [(end - begin) * dtype.itemsize for begin, end in itertools.pairwise(bounds)],
        )
        return found[0], np.concatenate([one.view(dtype) for one in slices])

    def _swapped(self, leaves: int, mine: list[Any], bounds: list[int], dtype: np.dtype) -> dict[Node, Any]:
        """The numbers of all workers' nodes, with this worker's slice of their vectors.

        A message is a byte for each node that says whether it is there, then the numbers of those that are, then slices
        of their vectors.
        """
        here = np.array([node is not None for node in mine], np.uint8)
        full = [node for node in mine if node is not None]
        numbers = [as_bytes(numbers) for numbers, _ in full]
        parts = [
            np.concatenate([here, *numbers, *(as_bytes(vector[begin:end]) for _, vector in full)])
            for begin, end in itertools.pairwise(bounds)
        ]
        known: dict[Node, Any] = {}
        length = (bounds[self.rank + 1] - bounds[self.rank]) * dtype.itemsize
        for rank, message in enumerate(self.exchange(parts)):
            own = list(nodes(*self.range(leaves, rank)))
            there, rest = message[: len(own)], message[len(own) :]
            count = int(there.sum())
            width = (len(rest) - count * length) // max(count, 1)
            k = 0
            for node, is_there in zip(own, there, strict=True):
                if not is_there:
                    known[node] = None
                    continue
                begin = count * width + k * length
                numbers_of = rest[k * width : (k + 1) * width].copy().view(np.float64)
                known[node] = numbers_of, rest[begin : begin + length].copy().view(dtype)
                k += 1
        return known


def _add(left: Any, right: Any) -> Any:
    """The sum of two nodes, in the left one's memory."""
    np.add(left[1], right[1], out=left[1])
    return left[0] + right[0], left[1]


@contextlib.contextmanager
def noted(workers: Workers) -> Iterator[None]:
    """While the block runs, the first Ctrl-C asks all workers to stop after the step; a second one does not wait."""

    def handle(number: int, frame: Any) -> None:
        if workers.state == INTERRUPTED:
            raise KeyboardInterrupt
        workers.state = INTERRUPTED

    try:
        before = signal.signal(signal.SIGINT, handle)
    except ValueError:  # not the main thread: Ctrl-C does not come here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
