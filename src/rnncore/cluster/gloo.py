# SPDX-License-Identifier: MIT
"""Workers connected by torch.distributed's gloo, which ``torchrun`` and Ray Train start."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..nn.workers import WorkerError, barrier


class Gloo:
    """The processes of torch.distributed's group, which is joined if nobody has.

    Parameters
    ----------
    timeout : float
        Seconds that a worker may be silent.

    Raises
    ------
    WorkerError
        The others do not come.
    """

    def __init__(self, *, timeout: float = 30.0) -> None:
        import torch.distributed

        self._torch: Any = torch
        self._limit = datetime.timedelta(seconds=timeout)
        if not torch.distributed.is_initialized():
            try:
                torch.distributed.init_process_group("gloo", timeout=self._limit)
            except (RuntimeError, ValueError) as error:
                raise WorkerError("gloo", f"all workers within {timeout:g} s", _first_line(error)) from error
        self.rank: int = torch.distributed.get_rank()
        self.size: int = torch.distributed.get_world_size()

    def exchange(self, parts: Sequence[np.ndarray], sizes: Sequence[int]) -> list[np.ndarray]:
        """See `Comm`."""
        found = [np.empty(size, np.uint8) for size in sizes]
        found[self.rank] = parts[self.rank]
        others = [rank for rank in range(self.size) if rank != self.rank]
        at, works = self.rank, []
        try:
            for at in others:
                if sizes[at]:
                    works.append((at, self._start("irecv", found[at], at)))
            for at in others:
                if parts[at].nbytes:
                    works.append((at, self._start("isend", parts[at], at)))
            for at, work in works:  # noqa: B007 (the handler names it)
                work.wait(self._limit)
        except RuntimeError as error:
            expected = f"an answer within {self._limit.total_seconds():g} s"
            raise WorkerError(
                f"worker {at}", expected, _first_line(error), "it has ended or is too slow"
            ) from error
        return found

    def _start(self, name: str, array: np.ndarray, rank: int) -> Any:
        whole = array if array.flags.writeable else array.copy()  # PyTorch warns of what it might write into
        return getattr(self._torch.distributed, name)(self._torch.from_numpy(whole), rank)

    def barrier(self) -> None:
        """See `Comm`."""
        barrier(self)

    def abort(self, message: str) -> None:
        """End this process; the others lose it and end, too."""
        print(f"rnncore: {message}", file=sys.stderr, flush=True)
        os._exit(1)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
