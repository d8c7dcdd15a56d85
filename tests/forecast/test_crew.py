# SPDX-License-Identifier: MIT
"""Networks that train as a fleet get the weights that a loop of their own would give them."""

import copy

import numpy as np
import pytest
from compiled import assert_same_bits

from rnncore.errors import ArgumentError
from rnncore.forecast import Forecaster, fit_together
from rnncore.forecast._model import crew, fitting
from rnncore.forecast._model.network import learning_rate
from rnncore.nn import stacks

T = np.arange(160)
Y = 50 + 5 * np.sin(2 * np.pi * T / 7) + np.random.default_rng(0).normal(size=len(T))


def prepared(Y=Y, **options):
    return fitting.prepare(Forecaster(horizon=3, seasons=[7], batch_size=6, **options), Y)


def step(job, share):
    """The step of a network alone."""
    member, batch = job.member, job.draw()
    y, _, tape = member.layer.forward(batch.x)
    context = job.windows.shape.context
    outputs, head_tape = member.head.forward(y[context:] * batch.mask)
    loss, slope = job.loss(outputs, batch.origins, batch.linear)
    head_grads = member.head.backward(head_tape, slope)
    dy = np.zeros_like(y)
    dy[context:] = head_grads.x * batch.mask
    job.optimizer.lr = job.settings.lr * learning_rate(share)
    job.optimizer.step([member.layer.backward(tape, dy, input_grad=False), head_grads])
    return loss


@pytest.mark.parametrize("cell", ["gru", "lstm", "min_lstm"])
def test_a_crew_trains_as_its_networks_alone_would(cell):
    jobs = [job for _, _, job in prepared(cell=cell, hidden_size=4).jobs]
    alone = copy.deepcopy(jobs)
    crews = crew.crews_of(jobs)
    assert len(crews) == 1 and len(jobs) > 2
    for k in range(3):
        assert crews[0].step(k / 8) == [step(job, k / 8) for job in alone]
    crews[0].give_back()
    (again,) = crew.crews_of(jobs)  # one that goes on from what the former has given back
    assert again.step(0.5) == [step(job, 0.5) for job in alone]
    again.give_back()
    for one, other in zip(jobs, alone, strict=True):
        assert_same_bits(one.state(), other.state())
        assert_same_bits(one.optimizer.state_dict(), other.optimizer.state_dict())


def test_series_of_other_lengths_are_one_crew():
    series = [Y, Y[:130], Y[20:]]
    jobs = [job for own in series for _, _, job in prepared(Y=own, hidden_size=4).jobs[:3]]
    alone = copy.deepcopy(jobs)
    (found,) = crew.crews_of(jobs)
    assert len({len(job.train) for job in jobs}) > 2
    for k in range(2):
        assert found.step(k / 8) == [step(job, k / 8) for job in alone]
    found.give_back()
    for one, other in zip(jobs, alone, strict=True):
        assert_same_bits(one.state(), other.state())


def test_forecasters_that_train_together_are_those_of_their_own_fits():
    series = [Y, Y[:130]]
    together, alone = (
        [Forecaster(horizon=3, seasons=[7], hidden_size=4, steps=6) for _ in series] for _ in range(2)
    )
    fit_together(together, [(own, None, None) for own in series])
    for one, other, own in zip(together, alone, series, strict=True):
        other.fit(own)
        for a, b in zip(one.members_, other.members_, strict=True):
            assert_same_bits(
                [a.layer.parameters(), a.head.parameters()], [b.layer.parameters(), b.head.parameters()]
            )


def test_other_shapes_and_settings_are_other_crews(monkeypatch):
    jobs = [job for size in (4, 5) for _, _, job in prepared(hidden_size=size).jobs]
    jobs += [job for _, _, job in prepared(hidden_size=4, lr=0.5).jobs]
    each = len(jobs) // 3
    assert [len(found.jobs) for found in crew.crews_of(jobs)] == [each] * 3
    monkeypatch.setattr(stacks, "PACK", each - 1)
    assert [len(found.jobs) for found in crew.crews_of(jobs)] == [each - 1, 1] * 3


def test_a_network_that_diverges_ends_the_run():
    jobs = [job for _, _, job in prepared(hidden_size=4).jobs]
    layer = jobs[1].member.layer
    layer.update_parameters({"bias_hh_l0": np.full_like(layer.parameters()["bias_hh_l0"], np.nan)})
    (found,) = crew.crews_of(jobs)
    with pytest.raises(ArgumentError, match="the training has diverged"):
        found.step(0.1)
