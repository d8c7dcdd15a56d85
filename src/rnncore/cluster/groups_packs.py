# SPDX-License-Identifier: MIT
"""The training of many groups: those whose models and samples have one form as a fleet, however many samples each has,
all others one after the other.

Both give the same models to the last bit. What goes wrong in a fleet is found out by training its groups alone, so an
error is always that of the group that has it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..formats import native
from ..nn import fit
from ..nn.stacks import description_of, packs_of, settings_of, stack, stack_optimizers
from .groups_parts import text_of


@dataclasses.dataclass
class Job:
    """The training of one model; `row` is what is said of it, complete where it has an error.

    `made` is the model and its optimiser, `samples` are (x, target, validation).
    """

    row: dict[str, Any]
    seed: int = 0
    samples: tuple[Any, Any, Any] = (None, None, None)
    made: tuple[Any, Any] = (None, None)

    def form(self) -> str | None:
        """What jobs that can be trained together have in common; None of one that must be alone."""
        (module, optimizer), (x, target, held) = self.made, self.samples
        pairs = [(x, target)] if held is None else [(x, target), held]
        described, settings = description_of(module), settings_of(optimizer)
        if described is None or settings is None or [g.module for g in optimizer._groups] != [module]:
            return None
        if not all(map(_is_pair, pairs)):
            return None
        alike = [(array.shape[1:], array.dtype.str) for pair in pairs for array in pair]
        return repr((described, settings, alike))

    def size(self) -> int:
        """How many samples there are."""
        return len(self.samples[0]) if _is_pair(self.samples[:2]) else 0

    def note(self, run: Any) -> None:
        """Say what a run has made of the model."""
        x, _, held = self.samples
        self.row |= {
            "model": native.to_bytes(self.made[0]),
            "samples": len(x),
            "epochs": run.epoch,
            "loss": run.losses[-1],
        }
        if held:
            self.row |= {"validation_loss": run.best, "best_epoch": run.best_epoch}

    def train(self, loss: Any, options: Mapping[str, Any]) -> None:
        """Train alone."""
        (module, optimizer), (x, target, held) = self.made, self.samples
        try:
            self.note(fit(module, (x, target), loss, optimizer, seed=self.seed, validation=held, **options))
        except Exception as error:  # it is the group's: the row says so
            self.row["error"] = text_of(error)


def _is_pair(samples: Any) -> bool:
    """Whether they are arrays of inputs and of as many targets, some at least."""
    arrays = isinstance(samples, tuple) and all(isinstance(array, np.ndarray) for array in samples)
    return (
        arrays and len({array.shape[:1] for array in samples}) == 1 and samples[0].shape[:1] not in ((), (0,))
    )


def train(jobs: Iterable[Job], loss: Any, options: Mapping[str, Any]) -> None:
    """Train all jobs that have no error; `options` are those of `fit`."""
    for pack in packs_of((job for job in jobs if "error" not in job.row), Job.form, Job.size):
        alone = pack if len(pack) == 1 else _train_together(pack, loss, options)
        for job in alone:
            job.train(loss, options)


def _train_together(pack: list[Job], loss: Any, options: Mapping[str, Any]) -> list[Job]:
    """Train jobs of one form as a fleet; gives those that are to be trained alone."""
    try:
        fleet = stack([job.made[0] for job in pack])
        optimizer = stack_optimizers([job.made[1] for job in pack], fleet)
        held = None if pack[0].samples[2] is None else [job.samples[2] for job in pack]
        data, seeds = [job.samples[:2] for job in pack], [job.seed for job in pack]
        run = fit(fleet, data, loss, optimizer, seed=seeds, validation=held, **options)
    except Exception:  # of some group, which alone will say so
        return pack
    values = fleet.parameters()
    for m, job in enumerate(pack):
        if not run.diverged[m]:
            job.made[0].update_parameters({name: array[m] for name, array in values.items()})
            job.note(run[m])
    return [job for job, diverged in zip(pack, run.diverged, strict=True) if diverged]
