# SPDX-License-Identifier: MIT
"""Where a training run of a fleet stands."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from ..spec import check_int, claiming
from .callbacks import Run


@dataclasses.dataclass
class FleetRun(Run):
    """Where a training run of a fleet stands: what callbacks get and `fit` returns; ``run[m]`` is model m's `Run`.

    Attributes
    ----------
    models : int
        M.
    loss, lr, norm, best, best_epoch, tokens : arrays (M,)
        As of a `Run`, of each model.
    losses, validation_losses : list of arrays (M,)
        One for each epoch; NaN of models that rest.
    active : bools (M,)
        Models that still train.
    diverged : bools (M,)
        Models whose gradient was not finite: their parameters are those of before that step.
    ended : ints (M,)
        Epochs that each model has done.
    batches : ints (M,)
        Steps of an epoch of each model.
    epochs, steps, epoch, step, seconds, stopped, rank, workers
        As of a `Run`, of the run as a whole, which ends early where no model is left. A model with fewer samples than
        others has fewer steps in an epoch, and rests until the next.

    Examples
    --------
    >>> run = rnncore.nn.FleetRun(epochs=2, steps=10, models=3)
    >>> run.active.tolist(), run[1].epochs
    ([True, True, True], 2)
    """

    loss: Any = None
    lr: Any = None
    norm: Any = None
    best: Any = None
    best_epoch: Any = None
    tokens: Any = None
    total: Any = None
    count: Any = None
    models: int = 1
    active: Any = None
    diverged: Any = None
    ended: Any = None
    batches: Any = None

    def __post_init__(self) -> None:
        models = check_int("models", self.models, 1)
        for name in ("epochs", "steps"):
            check_int(name, getattr(self, name), 0)
        start = {"loss": math.nan, "lr": 0.0, "norm": 0.0, "best": math.inf, "best_epoch": 0, "tokens": 0}
        start |= {"total": 0.0, "count": 0, "active": True, "diverged": False, "ended": 0}
        start["batches"] = self._most
        with claiming("models", (models, len(start))):
            for name, value in start.items():
                if getattr(self, name) is None:
                    setattr(self, name, np.full(models, value))

    def __getitem__(self, m: int) -> Run:
        """Where model m stands, as a run of its own would have told."""
        ended = int(self.ended[m])
        of_run = {name: getattr(self, name) for name in ("epochs", "seconds", "rank", "workers")}
        own = ("loss", "lr", "norm", "best", "best_epoch", "tokens", "total", "count")
        stopped = self.stopped if self.active[m] else "diverged" if self.diverged[m] else "patience"
        return Run(
            **of_run,
            **{name: getattr(self, name)[m].item() for name in own},
            epoch=ended,
            step=int(self.own_step[m] if self.active[m] else ended * self.batches[m]),
            steps=int(self.epochs * self.batches[m]),
            losses=[values[m].item() for values in self.losses[:ended]],
            validation_losses=[values[m].item() for values in self.validation_losses[:ended]],
            stopped=stopped,
        )

    @property
    def _most(self) -> int:
        """Steps of an epoch of the model that has most."""
        return self.steps // max(self.epochs, 1)

    @property
    def own_step(self) -> np.ndarray:
        """Steps that each model has done, or would have done if it did not rest; ints (M,)."""
        within = self.step - self.epoch * self._most
        return self.epoch * self.batches + np.minimum(within, self.batches)

    @property
    def rate(self) -> float:
        """Tokens of all models a second."""
        return float(self.tokens.sum()) / self.seconds if self.seconds else 0.0
