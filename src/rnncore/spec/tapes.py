# SPDX-License-Identifier: MIT
"""What training leaves: tapes, each for one backward call of its owner, and gradients."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TapeError
from .checks import check_type

if TYPE_CHECKING:
    from collections.abc import Iterator


class TapeBase:
    """What a training call leaves for its backward pass; used once.

    Attributes
    ----------
    used : bool
        Whether a backward call has it.
    """

    def __init__(self, owner: object, version: int) -> None:
        self.owner: object = owner
        self.version: int = version
        self._claim = threading.Lock()  # taken for good by the call that uses the tape

    @property
    def used(self) -> bool:
        return self._claim.locked()


@dataclasses.dataclass
class Grads:
    """Gradients: `x` like the input, `state` like the state, `params` by name; None of what has none."""

    x: np.ndarray | None
    state: Any
    params: dict[str, np.ndarray]

    def __repr__(self) -> str:
        def shapes(value):
            return ", ".join(str(part.shape) for part in (value if isinstance(value, tuple) else (value,)))

        shown = [
            f"{name} {shapes(value)}"
            for name, value in (("x", self.x), ("state", self.state))
            if value is not None
        ]
        params = ", ".join(f"{name} {array.shape}" for name, array in self.params.items())
        return f"Grads({', '.join([*shown, f'params: {params}'])})"


@contextlib.contextmanager
def claimed(tape: Any, kind: type, owner: object = None, version: int | None = None) -> Iterator[None]:
    """Context of the checks of a backward call: the tape is the caller's alone, and usable again if a check fails.

    Parameters
    ----------
    tape : object
        What the user gave.
    kind : type
        The owner's subclass of `TapeBase`.
    owner : object, optional
        None: whosoever.
    version : int, optional
        Of the owner's present parameters; None: whichever.

    Raises
    ------
    TapeError
        It is no such tape, another owner's, older than the parameters, or another call has it.
    """
    if not isinstance(tape, kind):
        raise TapeError("tape", "a tape from forward", type(tape).__name__)
    if owner is not None and tape.owner is not owner:
        raise TapeError("tape", f"a tape of this {type(owner).__name__}", "one of another")
    # Two threads may come with one tape: to look first and take it later would let both in.
    if not tape._claim.acquire(blocking=False):
        raise TapeError("tape", "a tape not used before", "a used one", "call forward again")
    try:
        if version is not None:
            check_type("version", version, (int, np.integer), "an integer")
        if version is not None and tape.version != version:
            raise TapeError("tape", "a tape of the present parameters", "one of earlier parameters")
        yield
    except BaseException:
        tape._claim.release()
        raise
