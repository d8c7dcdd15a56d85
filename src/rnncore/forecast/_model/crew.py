# SPDX-License-Identifier: MIT
"""Networks of one shape that train as a fleet: one call steps them all, to the weights that each alone would get."""

from __future__ import annotations

import numpy as np

from ... import layers
from ...nn import FleetLinear
from ...nn.optimisers import diverged
from ...nn.stacks import packs_of, stack_optimizers, unstack_optimizers
from .network import learning_rate


def crews_of(jobs):
    """The crews of some `Job`s: of one shape and with one set of settings."""
    return [Crew(pack) for pack in packs_of(jobs, lambda job: job.kind())]


class Crew:
    """Jobs that are trained together. Between steps the parameters are the crew's, until `give_back`."""

    def __init__(self, jobs):
        self.jobs, self.settings = jobs, jobs[0].settings
        self.layers = layers.Fleet.stack([job.member.layer for job in jobs])
        self.heads = FleetLinear.stack([job.member.head for job in jobs])
        self.optimizer = stack_optimizers([job.optimizer for job in jobs], [self.layers, self.heads])

    def step(self, share_done):
        """One step of every network on a batch of windows of its own; returns the losses."""
        settings, batches = self.settings, [job.draw() for job in self.jobs]
        x, masks = (np.stack([getattr(batch, name) for batch in batches]) for name in ("x", "mask"))
        y, _, tape = self.layers.forward(x, num_threads=settings.num_threads)
        ahead = slice(-masks.shape[1], None)  # steps to come, behind those of the context
        outputs, head_tape = self.heads.forward(y[:, ahead] * masks)
        found = [
            job.loss(own, batch.origins, batch.linear)
            for job, own, batch in zip(self.jobs, outputs, batches, strict=True)
        ]
        head_grads = self.heads.backward(head_tape, np.stack([slope for _, slope in found]))
        dy = np.zeros_like(y)
        dy[:, ahead] = head_grads.x * masks
        grads = self.layers.backward(tape, dy, input_grad=False)
        self.optimizer.lr = settings.lr * learning_rate(share_done)
        norms = self.optimizer.step([grads, head_grads])
        if not np.isfinite(norms).all():
            raise diverged(norms[~np.isfinite(norms)][0])
        return [loss for loss, _ in found]

    def give_back(self):
        """Let the jobs have their parameters and the states of their optimisers."""
        for m, job in enumerate(self.jobs):
            for own, fleet in ((job.member.layer, self.layers), (job.member.head, self.heads)):
                own.load_state_dict({name: array[m] for name, array in fleet.parameters().items()})
        unstack_optimizers(self.optimizer, [job.optimizer for job in self.jobs])
