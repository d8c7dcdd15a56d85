# SPDX-License-Identifier: MIT
"""One build of rnncore in a process of its own, for `builds`: runs a case, times it, tells what it gave.

Run as a file by the interpreter that has the build, so that builds with another harness, or without one, can be
measured: it imports nothing of this package and calls only what every build has.
"""

import gc
import hashlib
import os
import pickle
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import rnncore


def serve(station: Any) -> None:
    """Answer requests (method name, arguments) from standard input until it ends.

    Answers are (True, value) or (False, error text) on what was standard output; everything that is printed goes to
    standard error.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while True:
        try:
            method, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = (True, getattr(station, method)(*arguments))
        except Exception as error:
            # Whatever a foreign system throws belongs into its row of the report; the process goes on.
            answer = (False, f"{type(error).__name__}: {error}".splitlines()[0])
        pickle.dump(answer, answers)
        answers.flush()


def digest(arrays: list[np.ndarray]) -> str:
    """SHA-256 of the elements of arrays, in order."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def clock_of(threads: int) -> Callable[[], int]:
    """The clock (nanoseconds) of calls with so many threads.

    With one thread processor time, which stands still while other processes have the core; several threads wait for
    each other, and only the time of day tells how long.
    """
    return time.process_time_ns if threads == 1 else time.perf_counter_ns


class Build:
    """The build that this interpreter imports, one case at a time."""

    def __init__(self) -> None:
        self.run: Any = None
        self.clock: Callable[[], int] = clock_of(1)

    def describe(self) -> dict[str, str]:
        """Version, place and instruction set."""
        return {
            "version": rnncore.__version__,
            "place": os.path.dirname(rnncore.__file__),
            "isa": rnncore.isas()[0],
        }

    def prepare(
        self, case: dict[str, Any], numbers: dict[str, Any], options: Mapping[str, Any] | None = None
    ) -> str:
        """Build a case, run it once; digest of the result.

        Parameters
        ----------
        case : dict
            The fields of `cases.Case`.
        numbers : dict
            The arrays of `cases.Problem`, and ``lengths`` or None.
        options : mapping, optional
            More arguments of the layer, which then keeps its initial parameters.
        """
        self.run = None
        self.clock = clock_of(case["threads"])
        gc.collect()
        make = {"rnn": rnncore.RNN, "lstm": rnncore.LSTM, "gru": rnncore.GRU}[case["cell"]]
        usual = {"bidirectional": case["D"] == 2, "dtype": case["dtype"], "seed": 0}
        layer = make(case["I"], case["H"], case["L"], **usual, **(options or {}))
        if not options:
            layer.load_state_dict(numbers["params"])
        prepared = {"step": self._stream, "train": self._training, "sequence": self._call}[case["mode"]]
        return prepared(layer, case, numbers)

    def _stream(self, layer: Any, case: dict[str, Any], numbers: dict[str, Any]) -> str:
        stream, inputs = layer.stream(batch_size=case["N"]), list(numbers["x"])
        step, out = stream.step, np.empty((case["N"], case["H"]), case["dtype"])

        def run() -> None:
            for x in inputs:
                step(x, out=out)

        self.run = run
        return digest([step(x, out=out).copy() for x in inputs])

    def _training(self, layer: Any, case: dict[str, Any], numbers: dict[str, Any]) -> str:
        x, dy, threads = numbers["x"], numbers["dy"], case["threads"]

        def run() -> Any:
            y, _, tape = layer.forward(x, num_threads=threads)
            return y, layer.backward(tape, dy)

        self.run = run
        y, grads = run()
        return digest([y, grads.x, *(grads.params[name] for name in sorted(grads.params))])

    def _call(self, layer: Any, case: dict[str, Any], numbers: dict[str, Any]) -> str:
        x, lengths, threads = numbers["x"], numbers["lengths"], case["threads"]
        out = np.empty((case["T"], case["N"], case["D"] * case["H"]), case["dtype"])

        def run() -> None:
            layer(x, lengths=lengths, out=out, num_threads=threads)

        self.run = run
        run()
        return digest([out])

    def time(self, repeats: int, bursts: int) -> float:
        """Seconds of one run: the fastest of `bursts` bursts of `repeats` runs, after one that warms the caches."""
        run, clock = self.run, self.clock
        found = []
        gc.collect()
        gc.disable()
        try:
            for _ in range(bursts + 1):
                begin = clock()
                for _ in range(repeats):
                    run()
                found.append(clock() - begin)
        finally:
            gc.enable()
        return 1e-9 * min(found[1:]) / repeats


if __name__ == "__main__":
    serve(Build())
