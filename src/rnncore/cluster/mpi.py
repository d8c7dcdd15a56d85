# SPDX-License-Identifier: MIT
"""Workers connected by MPI through mpi4py, which ``mpiexec`` starts."""

from __future__ import annotations

import atexit
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..nn.workers import WorkerError, barrier

TAG = 7271
"""Of all messages, so that others may use the communicator, too."""
EAGER, PAUSE = 2000, 1e-4
"""Looks at a message before the first pause, some milliseconds, and seconds of a pause: a worker that waits for long
leaves its core to others."""


class MPI:
    """The processes of an MPI communicator.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm, optional
        COMM_WORLD if left out.
    timeout : float
        Seconds that a worker may be silent.
    """

    def __init__(self, communicator: Any = None, *, timeout: float = 30.0) -> None:
        import mpi4py.MPI as mpi

        self._mpi: Any = mpi
        self._comm: Any = mpi.COMM_WORLD if communicator is None else communicator
        self.timeout: float = timeout
        self.rank: int = self._comm.Get_rank()
        self.size: int = self._comm.Get_size()
        self._lost: list[Any] = []  # what is still under way when a worker is lost: MPI may write into it
        atexit.register(self._leave)

    def exchange(self, parts: Sequence[np.ndarray], sizes: Sequence[int]) -> list[np.ndarray]:
        """See `Comm`."""
        found = [np.empty(size, np.uint8) for size in sizes]
        found[self.rank] = parts[self.rank]
        others = [rank for rank in range(self.size) if rank != self.rank]
        works: list[tuple[int, Any]] = []
        try:
            works += [(rank, self._comm.Irecv(found[rank], rank, TAG)) for rank in others if sizes[rank]]
            works += [
                (rank, self._comm.Isend(parts[rank], rank, TAG)) for rank in others if parts[rank].nbytes
            ]
            late = self._wait(works)
        except self._mpi.Exception as error:
            self._lost = [works, found, parts]
            raise WorkerError("MPI", "messages of all workers", error.Get_error_string()) from error
        if late:
            self._lost = [works, found, parts]
            names = ", ".join(map(str, late))
            expected = f"an answer within {self.timeout:g} s"
            raise WorkerError(f"worker {names}", expected, "none", "it has ended or is too slow")
        return found

    def _wait(self, works: list[tuple[int, Any]]) -> list[int]:
        """Wait for all; gives the workers that are late."""
        requests, deadline, looks = [work for _, work in works], time.monotonic() + self.timeout, 0
        while not self._mpi.Request.Testall(requests):
            looks += 1
            time.sleep(PAUSE if looks > EAGER else 0)
            if time.monotonic() > deadline:
                return sorted({rank for rank, work in works if work and not work.Test()})
        return []

    def barrier(self) -> None:
        """See `Comm`."""
        barrier(self)

    def abort(self, message: str) -> None:
        """End all workers."""
        print(f"rnncore: {message}", file=sys.stderr, flush=True)
        self._comm.Abort(1)

    def _leave(self) -> None:
        """Where a worker was lost, MPI's own end would wait for it for ever."""
        if self._lost:
            self.abort("a worker was lost, so all workers end")
