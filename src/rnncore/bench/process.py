# SPDX-License-Identifier: MIT
"""A process that answers requests over its standard streams; `build_worker.serve` is the other end."""

import pickle
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Any

TIMEOUT_SECONDS = 300.0
"""A process that does not answer for so long is stopped; compiling a large graph takes tens of seconds."""


class PeerError(RuntimeError):
    """What runs in the process failed; the message is its own."""


class PeerTimeout(PeerError):
    """What runs in the process did not answer in time."""


class Process:
    """A command that serves an object's methods, in an environment of its own."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process, in close()
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors
        )

    def call(self, method: str, *arguments: Any, timeout: float = TIMEOUT_SECONDS) -> Any:
        """Call a method of the object. PeerError when it fails or dies, PeerTimeout when it does not answer in time."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self.process.kill()

        watchdog = threading.Timer(timeout, end)
        watchdog.start()
        try:
            pickle.dump((method, arguments), self.process.stdin)
            self.process.stdin.flush()
            fine, value = pickle.load(self.process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            if late.is_set():
                self.process.wait()
                raise PeerTimeout(f"no answer in {timeout:g} s") from error
            raise PeerError(
                f"process ended with status {self.process.wait()}: {self._last_words()}"
            ) from error
        finally:
            watchdog.cancel()
        if not fine:
            raise PeerError(value)
        return value

    def _last_words(self) -> str:
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no message"

    def close(self) -> None:
        """End the process, if it still runs, and wait for it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.errors.close()
