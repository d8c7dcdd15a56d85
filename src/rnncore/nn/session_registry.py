# SPDX-License-Identifier: MIT
"""Which sessions live: their ids, their places in memory, and who goes when others come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import spec
from ..engine import _core
from ..errors import ArgumentError, DTypeError, MemoryExhaustedError, SizeError, shown
from . import session_blob
from .session_blob import Digest
from .session_ids import Integers, Names, check_name, is_integer, read_ids

MOST_SESSIONS = 2**30
NONE_YET = -1
"""The sequence number of a session that has had no request with one."""


class Registry:
    """The sessions that live, at most `capacity`.

    `on_evict` is called with the id and the blob of one that is evicted, before it is; without it nothing is evicted to
    make room. Callers have a lock.
    """

    def __init__(
        self,
        capacity: int,
        streams: Sequence[Any],
        digest: Digest,
        on_evict: Callable[[Any, bytes], Any] | None,
    ) -> None:
        self.sessions: _core.Sessions = _room(capacity, streams)
        self.states: np.ndarray = self.sessions.arrays[0]
        self._digest, self._on_evict = digest, on_evict
        self._ids: Integers | Names = Integers()

    def __len__(self) -> int:
        return self.sessions.count

    def live(self) -> list[Any]:
        """All ids, those used least recently first."""
        return self._ids.names(self.sessions.keys())

    def find(self, id: Any) -> int:
        """The slot of an id, -1 if it is not live."""
        check_name("id", id)
        if is_integer(id) != isinstance(self._ids, Integers):
            return -1
        if is_integer(id) and not -(2**63) <= id < 2**63:
            return -1
        return self.sessions.find(self._ids.number(id))

    def slot(self, id: Any) -> int:
        """The slot of a live id."""
        slot = self.find(id)
        if slot < 0:
            raise ArgumentError("id", "the id of a live session", shown(id))
        return slot

    # Coming

    def enter(self, ids: np.ndarray | list[Any], now: float) -> tuple[np.ndarray, bool]:
        """Slots (n,) of ids from `read_ids`, new ones included, and whether all are different."""
        self._settle(ids)
        slots = np.empty(len(ids), np.int64)
        unknown, known = self.sessions.enter(self._ids.numbers(ids), slots, now)
        if unknown:
            new = self._ids.different(ids, np.flatnonzero(slots < 0))
            self._make_room(len(new), known)
            for one in new:
                self.sessions.add(self._ids.enroll(one), now, NONE_YET)
            known += len(new)
            self.sessions.enter(self._ids.numbers(ids), slots, now)
        return slots, known == len(ids)

    def admit(self, id: Any, blob: Any, now: float) -> None:
        """Go on with an exported session; see `SessionPool.restore`."""
        ids = read_ids([id])
        found = session_blob.unpack(blob, self._digest.present(), self.states.shape[1], self.states.dtype)
        if self.find(id) >= 0:
            raise ArgumentError("id", "an id that is not live", shown(id), "drop it first")
        self._settle(ids)
        self._make_room(1, 0)
        slot = self.sessions.add(self._ids.enroll(ids[0]), now, found.sequence)
        self.states[slot] = found.state

    def pack(self, slot: int) -> bytes:
        """A session as bytes."""
        return session_blob.pack(self._digest.present(), self.sessions.get(slot)[1], self.states[slot])

    def _settle(self, ids: np.ndarray | list[Any]) -> None:
        """Ids are of the kind that lives, or of any where nothing does."""
        integers = isinstance(ids, np.ndarray)
        if integers == isinstance(self._ids, Integers):
            return
        if len(self):
            got, expected = ("integers", "names") if integers else ("names", "integers")
            raise ArgumentError("ids", f"{expected}, like those that live", got)
        self._ids = Integers() if integers else Names()

    # Going

    def _make_room(self, new: int, kept: int) -> None:
        """Evict so many of those used least recently that `new` ones fit, but none of the `kept` newest."""
        capacity = self.sessions.capacity
        if new + kept > capacity:
            raise SizeError("ids", f"at most {capacity} different sessions", new + kept, "the capacity")
        excess = len(self) + new - capacity
        if excess > 0 and self._on_evict is None:
            got, hint = f"{len(self)} of {capacity} live", "a larger capacity, drop, or on_evict"
            raise SizeError("capacity", f"room for {new} new sessions", got, hint)
        for _ in range(excess):
            self._evict(self.sessions.last)

    def expire(self, now: float, max_age: float | None) -> None:
        """Evict those used longer ago than `max_age`, if there is one."""
        while max_age is not None and len(self) and now - self.sessions.get(self.sessions.last)[2] > max_age:
            self._evict(self.sessions.last)

    def _evict(self, slot: int) -> None:
        if self._on_evict is not None:
            self._on_evict(self._ids.name(self.sessions.get(slot)[0]), self.pack(slot))
        self.remove(slot)

    def remove(self, slot: int) -> None:
        """Forget a session."""
        self._ids.forget(self.sessions.get(slot)[0])
        self.sessions.remove(slot)


def _room(capacity: int, streams: Sequence[Any]) -> _core.Sessions:
    """Memory for so many sessions, with states of these streams."""
    dtypes = {stream.weights.plan.spec.dtype for stream in streams}
    if len(dtypes) > 1:
        raise DTypeError("model", "layers of one dtype", " and ".join(sorted(map(str, dtypes))))
    dtype, values = dtypes.pop(), sum(stream.state_values for stream in streams)
    size = capacity * values * dtype.itemsize
    if capacity > MOST_SESSIONS or size > spec.INT64_MAX:
        raise SizeError("capacity", f"at most {MOST_SESSIONS} sessions", f"{capacity} of {values} values")
    try:
        states = np.frombuffer(_core.Memory("capacity", size), dtype).reshape(capacity, values)
        table = np.zeros((capacity, _core.SESSION_BYTES), np.uint8)
        # At most three quarters of the buckets are in use, so that searches are short.
        buckets = np.zeros(1 << (4 * capacity // 3).bit_length(), np.int32)
    except MemoryError as error:
        raise MemoryExhaustedError("capacity", f"memory for {capacity} sessions", "less") from error
    return _core.Sessions(states, table, buckets)
