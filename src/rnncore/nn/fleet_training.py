# SPDX-License-Identifier: MIT
"""A fleet and a loss as a model that `fit` trains: each of its models has the sums and gradients that it has alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.fleets import side_by_side
from ..errors import ArgumentError, ShapeError, shown
from ..layers import Fleet
from .batches import IGNORED, Supervised
from .container import leaves_of
from .fleet_losses import FLEET_LOSSES
from .order import keyed
from .samples import FleetBatch, Gathered
from .sequential import models_of


class FleetSupervised(Supervised):
    """A fleet of modules and a loss.

    Parameters
    ----------
    model : Module or Fleet
        Every module in it that has parameters is a fleet.
    loss : callable
        Of one model; those of FLEET_LOSSES, or what they stand for, are computed for all at once.
    active : bools (M,)
        Models that run; looked at anew in each call.

    Raises
    ------
    ArgumentError
    """

    def __init__(self, model: Any, loss: Callable[..., tuple[float, np.ndarray]], active: np.ndarray) -> None:
        alone = {together: one for one, together in FLEET_LOSSES.items()}
        super().__init__(model, alone.get(loss, loss))
        for leaf in leaves_of(self.model).values():
            if leaf.parameters() and not models_of(leaf) == {len(active)}:
                raise ArgumentError("model", f"fleets of {len(active)} models", shown(leaf))
        self.together: Callable[..., Any] | None = FLEET_LOSSES.get(self.loss)
        self.active: np.ndarray = active

    def gradients(self, batch: FleetBatch) -> tuple[np.ndarray, np.ndarray, Any]:
        """The total loss of each model, how many tokens it is of, and the gradients of the totals."""
        runs = self.active & batch.present
        found, inputs, options = self._read(batch, runs)
        with keyed(self.draws, lambda: batch.keys, self.reads_steps and not self.batch_first):
            y, tape = self.model.forward(*inputs, **options)
        totals, counts, dy = self._sums(y, found, runs)
        return totals, counts, self.model.backward(tape, dy, input_grad=False)

    def evaluate(self, batch: FleetBatch) -> tuple[np.ndarray, np.ndarray]:
        """The total losses without dropout, and how many tokens they are of."""
        runs = self.active & batch.present
        found, inputs, options = self._read(batch, runs)
        return self._sums(self.model(*inputs, **options), found, runs)[:2]

    def _read(self, batch: FleetBatch, runs: np.ndarray) -> tuple[Gathered, list[Any], dict[str, Any]]:
        found = batch.source.gathered(batch.rows)
        x = found.x.swapaxes(1, 2) if self.reads_steps and not self.batch_first else found.x
        if not self.takes_lengths:
            return found, [x], {}
        # Where lanes are models, rows of other lengths would leave them, while a row more costs nothing.
        lengths = None if found.whole and self._side_by_side(found.x.shape[1], runs) else found.valid
        return found, [x, lengths], {"active": runs}

    def _side_by_side(self, rows: int, runs: np.ndarray) -> bool:
        """Whether all fleets of the model run so many rows of each of its models in lanes."""
        leaves = [leaf for leaf in leaves_of(self.model).values() if isinstance(leaf, Fleet)]
        return all(side_by_side(leaf.layer_spec, len(runs), rows, runs) for leaf in leaves)

    def _sums(
        self, y: np.ndarray, found: Gathered, runs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Totals, counts and the gradients of the totals; zeros of models that do not run."""
        targets = found.targets
        if self.together is not None and found.lengths is None:
            labels = targets.dtype.kind in "iu" and targets.ndim == y.ndim - 1
            if not labels or (targets != IGNORED).all():
                together = self._of_all_at_once(y, targets)
                for own in together:
                    own[~runs] = 0
                return together
        models = len(y)
        totals, counts, dy = np.zeros(models), np.zeros(models, np.int64), np.zeros_like(y)
        lengths = [None] * models if found.lengths is None else found.lengths
        for m in np.flatnonzero(runs):
            own, slope = (self._own(a[m], targets[m]) for a in (y, dy))
            totals[m], counts[m], slope[...] = self._summed(own, targets[m], lengths[m])
        return totals, counts, dy

    def _own(self, y: np.ndarray, target: np.ndarray) -> np.ndarray:
        """As many rows of a model's outputs as it has targets, and as many steps as the longest of its own samples."""
        if y.ndim != 3 or not self.reads_steps or target.ndim < 2:
            return y[: len(target)]
        n, T = target.shape[:2]
        return y[:n, :T] if self.batch_first else y[:T, :n]

    def _of_all_at_once(
        self, y: np.ndarray, targets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same where every token counts."""
        assert self.together is not None
        if y.ndim == 4 and self.reads_steps and not self.batch_first and targets.ndim > 2:
            targets = targets.swapaxes(1, 2)
        if targets.shape[: y.ndim - 1] != y.shape[:-1]:
            expected, hint = (
                f"a target for each of {y.shape[1:-1]} outputs",
                "return_sequences=False gives one a sample",
            )
            raise ShapeError("data", expected, str(targets.shape[1:]), hint)
        models, count = len(y), math.prod(y.shape[1:-1])
        kept = targets.shape[y.ndim - 1 :]
        means, slope = self.together(
            y.reshape(models, count, y.shape[-1]), targets.reshape(models, count, *kept)
        )
        dy = slope * slope.dtype.type(count)
        return means * count, np.full(models, count), dy.reshape(y.shape)
