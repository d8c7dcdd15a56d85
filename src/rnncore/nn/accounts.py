# SPDX-License-Identifier: MIT
"""What a run's steps and epochs come to: losses, the best epoch, when to stop; of one model, or of each of a fleet."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .fleet_run import FleetRun
from .run_arguments import rate_of, rates_of

KEPT = (
    *("epoch", "step", "loss", "losses", "validation_losses", "best", "best_epoch", "tokens", "seconds"),
    *("total", "count"),
)
"""What a checkpoint holds of a `Run`."""
KEPT_OF_FLEETS = (*KEPT, "active", "diverged", "ended")


class Account:
    """Of one model.

    Attributes
    ----------
    run : Run
    optimizer : Adam or SGD
    best : list of dicts of arrays, or None
        The best epoch's parameters of the modules that the optimiser trains.
    size : int
        How many numbers are a loss and a count.
    """

    size: int = 2

    def __init__(self, run: Any, optimizer: Any) -> None:
        self.run: Any = run
        self.optimizer: Any = optimizer
        self.best: list[dict[str, np.ndarray]] | None = None

    # A loss and a count as numbers that workers may add up

    def packed(self, total: Any, count: Any) -> np.ndarray:
        return np.array([total, count], np.float64)

    def unpacked(self, numbers: np.ndarray) -> tuple[Any, Any]:
        return float(numbers[0]), int(numbers[1])

    # What happens

    def step(self, total: Any, count: Any, grads: Any, schedule: Any) -> None:
        """A step of the optimiser: gradients of the batch, divided by the number of tokens."""
        run, optimizer = self.run, self.optimizer
        if count:  # else all labels say that they do not count
            if schedule is not None:
                optimizer.lr = rate_of(schedule, run.step, run.steps)
            run.lr, run.norm = optimizer.lr, optimizer.step(grads, grad_scale=1.0 / float(count))
        run.total, run.count = run.total + float(total), run.count + int(count)
        run.tokens += int(count)
        run.loss = run.total / run.count if run.count else math.nan

    def end_epoch(self) -> None:
        """Note the loss of an epoch."""
        run = self.run
        run.epoch += 1
        run.losses.append(run.loss)
        run.total, run.count = 0.0, 0

    def judged(self, total: Any, count: Any) -> None:
        """Note a validation loss, and keep the parameters if it is the lowest."""
        run, loss = self.run, float(total / count) if count else math.nan
        run.validation_losses.append(loss)
        if loss < run.best:
            run.best, run.best_epoch = loss, run.epoch
            self.best = [group.module.state_dict() for group in self.optimizer._groups]

    def stop_if_stale(self, patience: int | None) -> None:
        """Stop where the validation loss has not been lower for so many epochs."""
        run = self.run
        if patience and run.epoch - run.best_epoch >= patience and run.epoch < run.epochs:
            run.stopped = run.stopped or "patience"

    def restore_best(self) -> None:
        """Give the modules the best epoch's parameters."""
        if self.best is not None:
            for group, values in zip(self.optimizer._groups, self.best, strict=True):
                group.module.update_parameters(values)

    # Checkpoints

    def kept(self) -> dict[str, Any]:
        """What a checkpoint holds of the run, ready for JSON."""
        return {name: getattr(self.run, name) for name in KEPT}

    def restore(self, kept: dict[str, Any], best: list[dict[str, np.ndarray]] | None) -> None:
        """Go on from what `kept` gave."""
        self.best = best
        for name, value in kept.items():
            setattr(self.run, name, value)


class FleetAccount(Account):
    """Of each model of a fleet; one that has stopped, or has diverged, rests."""

    def __init__(self, run: FleetRun, optimizer: Any) -> None:
        super().__init__(run, optimizer)
        self.size: int = 2 * run.models

    def packed(self, total: Any, count: Any) -> np.ndarray:
        return np.concatenate([total, count], dtype=np.float64)

    def unpacked(self, numbers: np.ndarray) -> tuple[Any, Any]:
        total, count = numbers.reshape(2, -1)
        return total, count.astype(np.int64)

    def step(self, total: Any, count: Any, grads: Any, schedule: Any) -> None:
        run, optimizer = self.run, self.optimizer
        trained = run.active & (count > 0)
        if trained.any():
            if schedule is not None:
                rates = rates_of(schedule, run.own_step, run.epochs * run.batches, trained)
                optimizer.lr = np.where(trained, rates, optimizer.lr)
            norms = optimizer.step(grads, active=trained, grad_scale=1.0 / np.maximum(count, 1))
            run.lr = np.where(trained, optimizer.lr, run.lr)
            run.norm = np.where(trained, norms, run.norm)
            run.diverged |= ~np.isfinite(norms)
        run.total = np.where(run.active, run.total + total, run.total)
        run.count, run.tokens = run.count + run.active * count, run.tokens + run.active * count
        mean = np.divide(run.total, run.count, out=np.full(run.models, np.nan), where=run.count > 0)
        run.loss = np.where(run.active, mean, run.loss)
        self._rest(run.diverged, "diverged")

    def end_epoch(self) -> None:
        run = self.run
        run.epoch += 1
        run.ended[run.active] = run.epoch
        run.losses.append(np.where(run.active, run.loss, np.nan))
        run.total, run.count = np.zeros(run.models), np.zeros(run.models, np.int64)

    def judged(self, total: Any, count: Any) -> None:
        run = self.run
        found = run.active & (count > 0)
        loss = np.divide(total, count, out=np.full(run.models, np.nan), where=found)
        run.validation_losses.append(loss)
        better = loss < run.best
        run.best, run.best_epoch = (
            np.where(better, loss, run.best),
            np.where(better, run.epoch, run.best_epoch),
        )
        groups = self.optimizer._groups
        if self.best is None and better.any():
            self.best = [group.module.state_dict() for group in groups]
        for group, values in zip(groups, self.best or (), strict=False):
            for name, value in group.module.parameters().items():
                values[name][better] = value[better]

    def stop_if_stale(self, patience: int | None) -> None:
        run = self.run
        self._rest(run.diverged, "diverged")
        if patience and run.epoch < run.epochs:
            self._rest(run.epoch - run.best_epoch >= patience, "patience")

    def _rest(self, which: np.ndarray, why: str) -> None:
        """Let some models rest, and stop if none is left."""
        self.run.active &= ~which
        if not self.run.active.any():
            self.run.stopped = self.run.stopped or why

    def restore_best(self) -> None:
        """Give each model its best epoch's parameters; one that was never judged has its last."""
        judged = self.run.best_epoch > 0
        for group, values in zip(self.optimizer._groups, self.best or (), strict=False):
            for name, value in group.module.parameters().items():
                values[name][~judged] = value[~judged]
            group.module.update_parameters(values)

    def kept(self) -> dict[str, Any]:
        return {name: _listed(getattr(self.run, name)) for name in KEPT_OF_FLEETS}

    def restore(self, kept: dict[str, Any], best: list[dict[str, np.ndarray]] | None) -> None:
        self.best = best
        for name, value in kept.items():
            own = getattr(self.run, name)
            if isinstance(own, np.ndarray):
                own[...] = value
            else:
                setattr(self.run, name, [np.array(v) for v in value] if isinstance(value, list) else value)


def _listed(value: Any) -> Any:
    """Arrays as lists."""
    if isinstance(value, list):
        return [_listed(one) for one in value]
    return value.tolist() if isinstance(value, np.ndarray) else value
