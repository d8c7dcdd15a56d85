# SPDX-License-Identifier: MIT
"""Workers that are threads of one process: a `Comm` whose messages are queues."""

import queue
import threading

import numpy as np
from compiled import PATIENCE

from rnncore.nn import WorkerError


class Threads:
    """One of several workers; `links[a][b]` holds what a sent to b."""

    def __init__(self, rank, links, timeout):
        self.rank, self.size, self.links, self.timeout = rank, len(links), links, timeout
        self.sent = 0

    def exchange(self, parts, sizes):
        for rank, part in enumerate(parts):
            self.links[self.rank][rank].put(np.array(part))
            self.sent += part.nbytes if rank != self.rank else 0
        return [self._receive(rank, size) for rank, size in enumerate(sizes)]

    def _receive(self, rank, size):
        try:
            part = self.links[rank][self.rank].get(timeout=self.timeout)
        except queue.Empty:
            raise WorkerError(f"worker {rank}", "an answer", "none") from None
        assert part.nbytes == size
        return part

    def barrier(self):
        self.exchange([np.zeros(0, np.uint8)] * self.size, [0] * self.size)

    def abort(self, message):
        raise AssertionError(message)


def together(size, work, timeout=PATIENCE):
    """What ``work(comm)`` gives, or the exception that it raises, in each of so many workers."""
    links = [[queue.Queue() for _ in range(size)] for _ in range(size)]
    found = [None] * size

    def run(rank):
        try:
            found[rank] = work(Threads(rank, links, timeout))
        except BaseException as error:
            found[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
