# SPDX-License-Identifier: MIT
"""Many thousands of running sequences in one process, of which any few go on at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import spec
from ..engine import Stream
from ..errors import (
    ArgumentError,
    DTypeError,
    ShapeError,
    UnsupportedError,
    shown,
)
from ..layers import forks
from .session_blob import Digest
from .session_ids import as_int64, read_ids
from .session_registry import Registry
from .stream import SequentialStream

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

ROWS = 256
"""Sessions that are stepped together; their gates stay in the cache."""


class SessionPool:
    """Live streams of one model by the thousand, each with an id; any batch of them is stepped in one call.

    A session begins with the first request for its id, from a state of zeros. Whatever the order of the requests and
    the batches they come in, every session gets, to the last bit, what a stream of its own would give. May be used by
    many threads: a call waits until the one before has ended.

    Parameters
    ----------
    model : RNN, LSTM, GRU, or Sequential
        What has a `stream`: no layer of both directions. When its parameters change, the next step uses the new ones.
    capacity : int
        Sessions that may live at once; memory for them is taken at once.
    max_age : float, optional
        Seconds after its last request when a session is evicted, at the next call of `step` or `evict`.
    on_evict : callable, optional
        ``on_evict(id, blob)`` is called before a session is evicted, by age or, the one that was used least recently,
        to make room; the blob is that of `export`. If it raises, the session stays and the call ends. It must not call
        the pool. Without it a full pool refuses new sessions.
    clock : callable
        Gives the time in seconds.

    Raises
    ------
    ArgumentError, SizeError, UnsupportedError, MemoryExhaustedError

    Notes
    -----
    A session takes its state (of each layer h, and an LSTM's c) and at most 64 bytes beside it if ids are integers;
    other ids, anything hashable, are kept in two dicts, about 200 bytes each. All ids that live are of one kind.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> pool = rnncore.SessionPool(rnncore.GRU(3, 4, seed=0), capacity=1000)
    >>> pool.step([17, 4], np.zeros((2, 3), np.float32)).shape
    (2, 4)
    >>> blob = pool.export(17)  # to another process, say
    >>> pool.drop(17)
    >>> pool.restore(17, blob)
    >>> len(pool)
    2
    """

    def __init__(
        self,
        model: Any,
        capacity: int,
        *,
        max_age: float | None = None,
        on_evict: Callable[[Any, bytes], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.capacity: int = spec.check_int("capacity", capacity, 1)
        self.max_age: float | None = None if max_age is None else spec.check_positive("max_age", max_age)
        if on_evict is not None and not callable(on_evict):
            raise ArgumentError("on_evict", "a function of an id and a blob", shown(on_evict))
        if not callable(clock):
            raise ArgumentError("clock", "a function", shown(clock))
        self.model: Any = model
        self._clock = clock
        self._before, self._through, self._after = _parts(model, min(self.capacity, ROWS))
        self._streams: list[Any] = [part for part in self._through if isinstance(part, Stream)]
        self._registry = Registry(self.capacity, self._streams, Digest(model), on_evict)
        self._sessions, self._states = self._registry.sessions, self._registry.states
        self._alone = _Alone()

    def __repr__(self) -> str:
        return f"SessionPool({self.model!r}, capacity={self.capacity}, live={len(self)})"

    # What lives

    def __len__(self) -> int:
        return self._sessions.count

    def __contains__(self, id: Any) -> bool:
        with self._alone:
            return self._registry.find(id) >= 0

    def __iter__(self) -> Iterator[Any]:
        """Ids of all sessions at this moment, those used least recently first."""
        with self._alone:
            return iter(self._registry.live())

    @property
    def nbytes(self) -> int:
        """Bytes of all sessions, those that do not live yet included; without the dicts of ids that are no integers."""
        return sum(array.nbytes for array in self._sessions.arrays)

    def seq(self, id: Any) -> int:
        """The sequence number of a session's last request that had one, -1 before; ArgumentError if it is not live."""
        with self._alone:
            return self._sessions.get(self._registry.slot(id))[1]

    # Requests

    def step(self, ids: Any, x: ArrayLike, seq: ArrayLike | None = None) -> np.ndarray:
        """One step of each of these sessions.

        Parameters
        ----------
        ids : integers (n,), or a sequence of n hashables
            An id that is not live begins a session. One that stands there several times has several requests, done in
            this order.
        x : array, (n, I)
            The inputs, of the model's dtype; for a chain that begins with an Embedding numbers (n,).
        seq : integers (n,), >= 0, optional
            Sequence numbers of the requests, which grow in each session, by any amount, such as the offsets of a log. A
            request whose number is not above the last one of its session was done before, and is not done again: for
            the last one y is the answer that was given then, for an earlier one NaN.

        Returns
        -------
        y : array, (n, outputs)

        Raises
        ------
        ShapeError, DTypeError, ArgumentError, SizeError
            No session has had a step. SizeError: the pool is full and has no `on_evict`.
        UnsupportedError
            Called by `on_evict`.

        Notes
        -----
        Reads and writes the states of n sessions beside what a stream of n rows does. An answer is not stored but made
        again from the state, so it costs no memory.

        Examples
        --------
        >>> import numpy as np, rnncore
        >>> pool = rnncore.SessionPool(rnncore.GRU(1, 2, seed=0), capacity=10)
        >>> first = pool.step(["a", "b"], np.array([[1], [2]], np.float32), seq=[1, 1])
        >>> again = pool.step(["b", "a"], np.array([[2], [3]], np.float32), seq=[1, 2])  # b's request came twice
        >>> bool((again[0] == first[1]).all()), pool.seq("a")
        (True, 2)
        """
        ids = read_ids(ids)
        x = self._read(x, len(ids))
        numbers = None if seq is None else _read_seq(seq, len(ids))
        with self._alone:
            if not len(ids):
                return self._answers(np.empty(0, np.int64))
            for module in self._before:  # what is wrong with x is known before anything has changed
                x = module(x)
            now = self._clock()
            self._registry.expire(now, self.max_age)
            slots, distinct = self._registry.enter(ids, now)
            if distinct and numbers is None:
                return self._advance(slots, x, None)
            return self._take(slots, x, numbers)

    def _read(self, x: Any, n: int) -> np.ndarray:
        first = self._streams[0].weights.plan.spec
        x = spec.read_array("x", x) if self._before else spec.as_array("x", x, (first.dtype,))
        expected = "(n, ...)" if self._before else f"({n}, {first.input_size})"
        if x.shape[:1] != (n,) or (not self._before and x.shape != (n, first.input_size)):
            raise ShapeError("x", f"shape {expected} of {n} ids", str(x.shape))
        return x

    def _take(self, slots: np.ndarray, x: np.ndarray, numbers: np.ndarray | None) -> np.ndarray:
        """Requests of which some may be done already, and some wait for others of the same session."""
        answers: list[tuple[np.ndarray, np.ndarray]] = []
        late: list[np.ndarray] = []
        pending = np.arange(len(slots))
        while len(pending):
            fresh, repeated, stale, pending = self._sessions.part(slots, numbers, pending)
            if len(fresh) == len(slots):
                return self._advance(slots, x, numbers)
            done = np.concatenate([repeated, stale])
            if len(done):
                answers.append((done, self._answers(slots[done])))
                late.append(stale)
            if len(fresh):
                chosen = None if numbers is None else numbers[fresh]
                answers.append((fresh, self._advance(slots[fresh], x[fresh], chosen)))
        y = np.empty((len(slots), *answers[0][1].shape[1:]), answers[0][1].dtype)
        for places, values in answers:
            y[places] = values
        for places in late:
            y[places] = np.nan
        return y

    def _advance(self, slots: np.ndarray, x: np.ndarray, numbers: np.ndarray | None) -> np.ndarray:
        """A step of different sessions; each part of them is stepped, stored and noted as a whole."""
        if len(slots) <= ROWS:
            return self._advance_part(slots, x, numbers)
        parts = [slice(first, first + ROWS) for first in range(0, len(slots), ROWS)]
        return np.concatenate(
            [self._advance_part(slots[p], x[p], None if numbers is None else numbers[p]) for p in parts]
        )

    def _advance_part(self, slots: np.ndarray, x: np.ndarray, numbers: np.ndarray | None) -> np.ndarray:
        self._sessions.gather(self._streams, slots)
        for part in self._through:
            x = part.step(x) if isinstance(part, Stream) else part(x)
        for module in self._after:
            x = module(x)
        self._sessions.scatter(self._streams, slots, numbers)
        return x

    def _answers(self, slots: np.ndarray) -> np.ndarray:
        """What the last step of these sessions gave: a layer's output is part of its state."""
        last = self._streams[-1]
        begin = self._states.shape[1] - last.state_values + last.top
        y = self._states[slots, begin : begin + last.weights.plan.spec.output_size]
        for module in self._after:
            y = module(y)
        return y

    # Sessions that come and go

    def export(self, id: Any) -> bytes:
        """A session as bytes, which `restore` takes in this process or another one, on any machine.

        Returns
        -------
        bytes
            With the model's digest, the last sequence number and a checksum.

        Raises
        ------
        ArgumentError
            It is not live.
        """
        with self._alone:
            return self._registry.pack(self._registry.slot(id))

    def restore(self, id: Any, blob: Any) -> None:
        """Go on with an exported session.

        Parameters
        ----------
        id : int or hashable
            Not live: a session that has gone on is not set back by a message that comes twice; see `drop`.
        blob : bytes
            What `export` gave.

        Raises
        ------
        ArgumentError
            The id is live, or the blob is of another model or of other parameters.
        FormatError, UnsupportedError
            It is torn, damaged, no session, or of a later version.
        SizeError
            The pool is full and has no `on_evict`.
        """
        with self._alone:
            self._registry.admit(id, blob, self._clock())

    def drop(self, id: Any) -> None:
        """Forget a session, without `on_evict`; ArgumentError if it is not live."""
        with self._alone:
            self._registry.remove(self._registry.slot(id))

    def evict(self, max_age: float | None = None) -> int:
        """Evict sessions whose last request is longer ago than `max_age` seconds, or the pool's; gives how many."""
        max_age = self.max_age if max_age is None else spec.check_positive("max_age", max_age)
        with self._alone:
            before = len(self)
            self._registry.expire(self._clock(), max_age)
            return before - len(self)


class _Alone:
    """Context of a call that has the pool to itself: other threads wait for it, and `on_evict` is refused."""

    _lock: Any

    def __init__(self) -> None:
        self._busy = False
        forks.give_lock(self)

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._busy:
            self._lock.release()
            raise UnsupportedError(
                "pool", "one call at a time", "a call from within a call", "on_evict must not"
            )
        self._busy = True

    def __exit__(self, *error: object) -> None:
        self._busy = False
        self._lock.release()


def _parts(model: Any, rows: int) -> tuple[list[Any], list[Any], list[Any]]:
    """What a step goes through: modules before the first stream, all up to the last one, and modules behind it."""
    if not hasattr(model, "stream") or not hasattr(model, "parameters"):
        raise ArgumentError("model", "a recurrent layer or a chain of modules", shown(model))
    stream = model.stream(rows)
    parts = stream.parts() if isinstance(stream, SequentialStream) else [stream]
    places = [k for k, part in enumerate(parts) if isinstance(part, Stream)]
    if not places:
        raise ArgumentError("model", "a chain with a recurrent layer", shown(model))
    return parts[: places[0]], parts[places[0] : places[-1] + 1], parts[places[-1] + 1 :]


def _read_seq(seq: Any, n: int) -> np.ndarray:
    numbers = spec.read_array("seq", seq)
    if numbers.dtype.kind not in "iu":
        raise DTypeError("seq", "integers", numbers.dtype)
    spec.check_shape("seq", numbers, (n,))
    numbers = as_int64("seq", numbers)
    if n and int(numbers.min()) < 0:
        raise ArgumentError("seq", "numbers >= 0", int(numbers.min()))
    return numbers
