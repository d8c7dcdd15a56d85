# SPDX-License-Identifier: MIT
"""What `fit` asks of arguments that are functions, objects or paths, before it trains."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import spec
from ..errors import ArgumentError, shown
from .workers import Alone, Comm

MOST_SHARDS = 1 << 16
"""Each is a call of its own; more would be a mistake, and their tree alone a wait."""


def check_function(name: str, value: Any, what: str) -> Any:
    """A function, or None.

    Raises
    ------
    ArgumentError
        It cannot be called.
    """
    if value is not None and not callable(value):
        raise ArgumentError(name, f"a function {what}, or None", shown(value))
    return value


def check_shards(value: Any) -> int:
    """A power of two."""
    shards = spec.check_int("shards", value, 1)
    if shards > MOST_SHARDS or shards & (shards - 1):
        raise ArgumentError("shards", f"a power of two, at most {MOST_SHARDS}", shown(value))
    return shards


def check_comm(value: Any) -> Comm:
    """What connects workers; nothing where there is one alone."""
    if value is None:
        return Alone()
    wanted = ("rank", "size", "exchange", "barrier", "abort")
    if isinstance(value, type) or not all(hasattr(value, name) for name in wanted):
        raise ArgumentError("comm", "None or what rnncore.cluster.connect gives", shown(value))
    return value


def check_callbacks(value: Any) -> list[Any]:
    """The callbacks, each of which can be called or has a method that can."""
    if not isinstance(value, (list, tuple)):
        raise ArgumentError("callbacks", "a list of functions and objects", shown(value))
    found = list(value)
    methods = ("on_start", "on_step", "on_epoch", "on_end")
    for one in found:
        if not callable(one) and not any(hasattr(one, name) for name in methods):
            raise ArgumentError("callbacks", "functions, and objects with on_epoch or the like", shown(one))
    return found


def check_folder(value: Any) -> Path | None:
    """The folder of the checkpoint, if there is to be one."""
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if value is not None and (not isinstance(text, str) or "\0" in text):
        raise ArgumentError("checkpoint", "a path or None", shown(value))
    return None if text is None else Path(text)


def rate_of(schedule: Callable[[int, int], float], step: int, steps: int) -> float:
    """The learning rate of a step."""
    rate = schedule(step, steps)
    if not isinstance(rate, (int, float)) or not 0 <= rate < float("inf"):
        raise ArgumentError("schedule", "a function whose rates are numbers from 0 on", shown(rate))
    return float(rate)


def rates_of(
    schedule: Callable[[int, int], Any], step: np.ndarray, steps: np.ndarray, runs: np.ndarray
) -> np.ndarray:
    """The learning rates (M,) of the models that run, each in its step `step` of `steps`; 0 of the others.

    The schedule gives one for all or M, and is asked once where models are equally far.
    """
    found = np.zeros(len(step))
    for own, of in dict.fromkeys(zip(step[runs].tolist(), steps[runs].tolist(), strict=True)):
        rates, alike = schedule(own, of), (step == own) & (steps == of)
        if not isinstance(rates, np.ndarray):
            found[alike] = rate_of(lambda *_, rates=rates: rates, own, of)
        elif rates.shape != found.shape or not (np.isfinite(rates) & (rates >= 0)).all():
            expected = f"a function whose rates are a number or {len(step)} from 0 on"
            raise ArgumentError("schedule", expected, shown(rates))
        else:
            found[alike] = rates[alike]
    return found
