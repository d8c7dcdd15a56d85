# SPDX-License-Identifier: MIT
"""`fit` of fleets whose models have more and fewer samples: each has the run that it would have alone."""

import numpy as np
import pytest
from compiled import assert_same_bits
from fleet_runs import LABELS, LAST, LENGTHS, TARGET, M, X, as_fleet, assert_same_models, network
from worker_threads import together

from rnncore import nn
from rnncore.engine import fleets
from rnncore.nn.order import beside, part
from rnncore.spec import Spec

# Whole batches of 8 and others, one sample alone, and more than half of the models at their end while others go on.
COUNTS = np.array([23, 5, 16, 9, 1, 20, 8, 13, 23])
ENOUGH = np.maximum(COUNTS, 6)  # to judge some


def first(x, target, counts=COUNTS):
    """So many samples of each model."""
    return [(own[:n], wanted[:n]) for own, wanted, n in zip(x, target, counts, strict=True)]


def ragged(x, target, counts=COUNTS):
    """The same, of different lengths."""
    return [
        ([own[:n] for own, n in zip(some, lengths, strict=False)],
         [own[:n] for own, n in zip(wanted, lengths, strict=False)])
        for (some, wanted), lengths in zip(first(x, target, counts), LENGTHS, strict=True)
    ]  # fmt: skip


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"last": True, "dropout": 0.3},
        {"batch_first": True, "dropout": 0.3},
        {"bidirectional": True, "last": True},
        {"num_layers": 2, "dropout": 0.4},
        {"zoneout": 0.2},
    ],
    ids=str,
)
def test_each_model_has_the_run_of_its_own_samples(options, shards):
    data = first(X, LAST if options.get("last") else TARGET)
    run = assert_same_models(lambda m: network(m, **options), data, shards=shards)
    assert run.batches.tolist() == [3, 1, 2, 2, 1, 3, 1, 2, 3]
    assert (run.steps, run.step) == (9, 9) and [run[m].step for m in (0, 1, 2)] == [9, 3, 6]
    assert run.tokens.tolist() == (3 * COUNTS * (1 if options.get("last") else 6)).tolist()


@pytest.mark.parametrize("loss", [nn.cross_entropy, nn.mse_loss])
@pytest.mark.parametrize("shards", [1, 2])
def test_ragged_samples(loss, shards):
    data = ragged(X, LABELS if loss is nn.cross_entropy else TARGET)
    assert_same_models(lambda m: network(m, dropout=0.2), data, loss, shards=shards)


def test_labels_that_do_not_count_and_losses_of_ones_own():
    marked = np.where(np.random.default_rng(1).random(LABELS.shape) < 0.4, -100, LABELS)
    assert_same_models(network, first(X, marked), nn.cross_entropy, shards=1)
    assert_same_models(network, first(X, TARGET), lambda y, target: nn.mse_loss(y, target))


def test_models_without_steps():
    heads = [nn.Sequential(nn.Linear(2, 2, seed=m), nn.Activation("tanh")) for m in range(M)]
    assert_same_models(lambda m: heads[m], first(X[:, :, 0], LAST), shards=2)


@pytest.mark.parametrize("validation", ["share", "own", "shared"])
@pytest.mark.parametrize("shards", [1, 4])
def test_each_model_is_judged_and_stops_by_itself(validation, shards):
    own = first(X[::-1], TARGET[::-1], COUNTS[::-1])
    held = {"share": 0.25, "own": own, "shared": (X[0], TARGET[0])}[validation]
    options = {"validation": held, "patience": 2, "epochs": 14, "shards": shards, "batch_size": 4}
    run = assert_same_models(network, first(X, TARGET, ENOUGH), **options)
    assert len(set(run.ended.tolist())) > 1


def test_steps_of_models_that_rest_are_left_out():
    """The model with most samples stops first, and the others go on."""
    data = first(X, TARGET, [23] + [4] * (M - 1))
    before = network(0)(X[0].swapaxes(0, 1)).swapaxes(0, 1)  # from which its training leads away
    held = [(X[0], before), *data[1:]]
    options = {"validation": held, "patience": 1, "epochs": 8, "batch_size": 4, "shards": 1}
    run = assert_same_models(network, data, **options)
    assert run.ended[0] < run.ended.max() and run.step == run.epoch * 6
    steps = run.ended * run.batches
    assert run.batches.tolist() == [6] + [1] * (M - 1) and [run[m].step for m in range(M)] == steps.tolist()


def test_a_schedule_sees_the_steps_of_each_model():
    seen = set()

    def rate(step, steps):
        seen.add((step, steps))
        return [0.01, 0.02, 0.03, 0.02][step % 4] * (1 - step / steps)

    assert_same_models(network, first(X, TARGET), schedule=nn.Cosine(0.05, low=0.01, warmup=2))
    data = first(X, TARGET)
    as_fleet([network(m) for m in range(M)], data, schedule=rate)
    assert seen == {(step, 3 * batches) for batches in (1, 2, 3) for step in range(3 * batches)}
    each = as_fleet([network(m) for m in range(M)], data, schedule=lambda *at: np.full(M, rate(*at)))[0]
    one = as_fleet([network(m) for m in range(M)], data, schedule=rate)[0]
    assert_same_bits(one.parameters(), each.parameters())


JUDGED = {"validation": 0.25, "patience": 2, "epochs": 9, "batch_size": 6}


def test_a_run_goes_on_where_its_checkpoint_stops(tmp_path):
    class Stop:
        def on_step(self, run):
            return run.step in (4, 13)

    data = first(X, TARGET, ENOUGH)
    whole, run = as_fleet([network(m) for m in range(M)], data, **JUDGED)
    for callbacks in ([Stop()], [Stop()], []):
        fleet, other = as_fleet(
            [network(m) for m in range(M)], data, checkpoint=tmp_path, callbacks=callbacks, **JUDGED
        )
    assert_same_bits(fleet.parameters(), whole.parameters())
    np.testing.assert_array_equal(other.losses, run.losses)


def test_any_number_of_workers_gives_the_same_bits():
    networks, data = [network(m, dropout=0.1) for m in range(M)], first(X, TARGET, ENOUGH)
    whole, run = as_fleet(networks, data, **JUDGED)
    for fleet, other in together(3, lambda comm: as_fleet(networks, data, comm=comm, **JUDGED)):
        assert_same_bits(fleet.parameters(), whole.parameters())
        np.testing.assert_array_equal(other.validation_losses, run.validation_losses)


def test_pieces_are_of_each_models_own_rows():
    rows = [np.arange(5), np.array([7, 3]), np.zeros(0, np.int64)]
    together, parts = beside(rows), np.array([4, 2, 1])
    assert together.tolist() == [[0, 1, 2, 3, 4], [7, 3, -1, -1, -1], [-1] * 5]
    for k in range(4):
        found = part(together, k, parts)
        for own, some, count in zip(rows, found, parts, strict=True):
            expected = part(own, k, int(count)) if k < count else own[:0]
            assert some[some >= 0].tolist() == expected.tolist() == some[: len(expected)].tolist()


def test_lanes_are_models_where_more_than_half_are_taken():
    def fills(*active):
        return fleets.fills_lanes(10, np.isin(np.arange(10), active), 4)

    assert fills(*range(10)) and fills(0, 1, 2) and fills(4, 5, 6, 8, 9)
    assert not fills(0, 1) and not fills(0, 1, 4, 8) and not fills()
    assert fleets.fills_lanes(10, None, 16) and not fleets.fills_lanes(10, None, 32)
    assert not fleets.fills_lanes(10, None, 1) and not fleets.side_by_side(
        Spec("gru", 3, 4, zoneout=0.1), 64, 8
    )


def test_what_stands_for_absent_samples_is_read_by_nobody():
    spoilt = X.copy()
    spoilt[4, 0] = np.nan  # the only sample of its model
    fleet, run = as_fleet([network(m) for m in range(M)], first(spoilt, TARGET), shards=1)
    clean, _ = as_fleet([network(m) for m in range(M)], first(X, TARGET), shards=1)
    assert np.flatnonzero(run.diverged).tolist() == [4]
    for m, (one, other) in enumerate(zip(nn.unstack(fleet), nn.unstack(clean), strict=True)):
        if m != 4:
            assert_same_bits(one.parameters(), other.parameters())
