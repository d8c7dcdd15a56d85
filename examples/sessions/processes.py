# SPDX-License-Identifier: MIT
"""Workers that are processes of their own, each behind a pipe."""

import multiprocessing

from examples.sessions.partition import Partition


def work(connection, path):
    """Do what the other end asks for, until it says no more."""
    partition = Partition(path)
    while (asked := connection.recv()) is not None:
        name, arguments = asked
        connection.send(getattr(partition, name)(*arguments))


class Workers:
    """Two processes. `call` asks one of them, `crash` kills one and starts it anew, with nothing in it."""

    name = "processes"

    def __init__(self, path, count=2):
        self._context, self._path = multiprocessing.get_context("spawn"), path
        self._all = [self._start() for _ in range(count)]

    def _start(self):
        here, there = self._context.Pipe()
        process = self._context.Process(target=work, args=(there, self._path), daemon=True)
        process.start()
        there.close()
        return process, here

    def __len__(self):
        return len(self._all)

    def call(self, worker, name, *arguments):
        """What a method of the worker's partition gives."""
        connection = self._all[worker][1]
        connection.send((name, arguments))
        return connection.recv()

    def crash(self, worker):
        """Kill a worker, and start it anew."""
        process, connection = self._all[worker]
        process.kill()
        process.join()
        connection.close()
        self._all[worker] = self._start()

    def close(self):
        """End all workers."""
        for process, connection in self._all:
            connection.send(None)
            process.join()
            connection.close()
