# SPDX-License-Identifier: MIT
"""Chains running step by step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, UnsupportedError, shown
from ..layers.module import Module


class SequentialStream:
    """A chain running step by step; see `Sequential.stream`.

    Parameters
    ----------
    model : Sequential
    batch_size : int

    Raises
    ------
    UnsupportedError
        A module needs the whole sequence.

    Examples
    --------
    >>> import numpy as np
    >>> stream = rnncore.nn.Sequential(rnncore.GRU(3, 4, seed=0), rnncore.Linear(4, 2, seed=1)).stream()
    >>> stream.step(np.zeros(3, np.float32)).shape
    (2,)
    """

    def __init__(self, model: Iterable[Any], batch_size: int = 1) -> None:
        self._calls: list[Any] = []
        self._streams: list[Any] = []
        if not isinstance(model, Iterable) or isinstance(model, np.ndarray):
            raise ArgumentError("model", "a chain of modules", shown(model))
        for k, module in enumerate(model):
            if not isinstance(module, Module):
                raise ArgumentError(f"modules[{k}]", "a module", shown(module))
            if not hasattr(module, "stream"):
                self._calls.append(module)
                continue
            try:
                self._streams.append(module.stream(batch_size))
            except UnsupportedError as error:
                raise UnsupportedError(f"modules[{k}]", error.expected, error.got, error.hint) from error
            self._calls.append(self._streams[-1].step)

    def parts(self) -> list[Any]:
        """What a step goes through: streams, and modules without a state; those of chains in place of the chains."""
        found, streams = [], iter(self._streams)
        for call in self._calls:
            part = call if isinstance(call, Module) else next(streams)
            found += part.parts() if isinstance(part, SequentialStream) else [part]
        return found

    def step(self, x: Any) -> np.ndarray:
        """One step: x (N, I), or with batch_size 1 also (I,); for an Embedding (N,) or a number."""
        for call in self._calls:
            x = call(x)
        return x

    def reset(self) -> None:
        """Set all states to zero."""
        for stream in self._streams:
            stream.reset()

    @property
    def state(self) -> list[Any]:
        """Copies of the layers' states, one for each layer or chain; may be assigned."""
        return [stream.state for stream in self._streams]

    @state.setter
    def state(self, values: Sequence[Any]) -> None:
        if not isinstance(values, (list, tuple)) or len(values) != len(self._streams):
            raise ArgumentError("state", f"a list of {len(self._streams)} states", shown(values))
        for stream, value in zip(self._streams, values, strict=True):
            stream.state = value
