# SPDX-License-Identifier: MIT
"""`fit` of a fleet: each model gets the weights, losses and best epoch of a run of its own, to the last bit."""

import os
import signal

import numpy as np
import pytest
from compiled import assert_same_bits
from fleet_runs import (
    COUNT,
    LABELS,
    LAST,
    LENGTHS,
    RNG,
    SEEDS,
    TARGET,
    M,
    T,
    X,
    as_fleet,
    assert_same_models,
    network,
    pairs,
)
from worker_threads import together

import rnncore
from rnncore import nn
from rnncore.errors import ArgumentError, ShapeError, UnsupportedError
from rnncore.spec import CELLS


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("last", [False, True], ids=["steps", "last"])
def test_each_model_is_that_of_a_run_of_its_own(cell, last):
    data = pairs(X, LAST if last else TARGET)
    assert_same_models(lambda m: network(m, cell, last), data, shards=1)


@pytest.mark.parametrize(
    "options",
    [
        {"bidirectional": True},
        {"num_layers": 2, "dropout": 0.4},
        {"dropout": 0.3, "last": True},
        {"zoneout": 0.2},
        {"batch_first": True, "dropout": 0.3},
        {"layer_norm": True},
        {"dtype": "float64"},
    ],
    ids=str,
)
def test_options(options):
    target = LAST if options.get("last") else TARGET
    if options.get("dtype"):
        make, data = lambda m: rnncore.GRU(2, 2, seed=m, dtype="float64"), pairs(X.astype(float), target)
    else:
        make, data = lambda m: network(m, **options), pairs(X, target)
    assert_same_models(make, data, shards=4)


def test_recurrent_modules_read_backwards():
    def make(m):
        return nn.Sequential(
            nn.Recurrent(rnncore.RNN(2, 2, seed=m), order="reverse"), nn.Linear(2, 2, seed=m)
        )

    ragged = [([x[:n] for x, n in zip(X[m], LENGTHS[m], strict=True)],
               [y[:n] for y, n in zip(TARGET[m], LENGTHS[m], strict=True)]) for m in range(M)]  # fmt: skip
    assert_same_models(make, ragged)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("loss", [nn.cross_entropy, nn.mse_loss])
def test_ragged_samples(loss, batch_first):
    targets = LABELS if loss is nn.cross_entropy else TARGET
    ragged = [([x[:n] for x, n in zip(X[m], LENGTHS[m], strict=True)],
               [y[:n] for y, n in zip(targets[m], LENGTHS[m], strict=True)]) for m in range(M)]  # fmt: skip
    run = assert_same_models(lambda m: network(m, dropout=0.2, batch_first=batch_first), ragged, loss)
    assert run.tokens.tolist() == (3 * LENGTHS.sum(axis=1)).tolist()


def test_labels_that_do_not_count():
    marked = np.where(RNG.random(LABELS.shape) < 0.4, -100, LABELS)
    marked[2] = -100
    assert_same_models(network, pairs(X, marked), nn.cross_entropy)
    assert_same_models(network, pairs(X, LABELS), nn.cross_entropy)


def test_a_loss_of_ones_own_is_called_for_each_model():
    seen = []

    def loss(y, target):
        seen.append(len(y))
        return nn.mse_loss(y, target)

    networks, data = [network(m) for m in range(M)], pairs(X, TARGET)
    expected = as_fleet(networks, data)[0].parameters()
    assert_same_bits(as_fleet(networks, data, loss)[0].parameters(), expected)
    assert sum(seen) == 3 * M * COUNT * T
    assert_same_bits(as_fleet(networks, data, nn.fleet_mse_loss)[0].parameters(), expected)


@pytest.mark.parametrize("seeds", [[7] * M, SEEDS], ids=["one seed", "seeds"])
def test_all_models_may_read_one_data(seeds):
    run = assert_same_models(
        lambda m: network(m, dropout=0.2), (X[0], TARGET[0]), seeds=seeds, validation=0.3
    )
    assert run.epoch == 3


# Early stopping


@pytest.mark.parametrize("validation", ["share", "own", "shared"])
def test_models_stop_each_at_its_epoch(validation):
    held = {"share": 0.25, "own": pairs(X[::-1, :9], TARGET[::-1, :9]), "shared": (X[0], TARGET[0])}[
        validation
    ]
    options = {"validation": held, "patience": 2, "epochs": 14, "shards": 1, "batch_size": 4}
    run = assert_same_models(network, pairs(X, TARGET), **options)
    assert len(set(run.ended.tolist())) > 1
    assert [run[m].epoch for m in range(M)] == run.ended.tolist()
    for values in zip(*run.losses, strict=True):
        assert np.isnan(values).sum() == run.epoch - (~np.isnan(values)).sum()


def test_a_schedule_of_all_or_of_each():
    rate = nn.Cosine(0.05, low=0.01, warmup=2)
    assert_same_models(network, pairs(X, TARGET), schedule=rate)
    one, each = (
        as_fleet([network(m) for m in range(M)], pairs(X, TARGET), schedule=schedule)[0]
        for schedule in (rate, lambda step, steps: np.full(M, rate(step, steps)))
    )
    assert_same_bits(one.parameters(), each.parameters())


def test_a_model_that_diverges_leaves_the_others():
    spoilt = X.copy()
    spoilt[3, 11] = np.nan
    networks = [network(m) for m in range(M)]
    fleet, run = as_fleet(networks, pairs(spoilt, TARGET), shards=1)
    assert np.flatnonzero(run.diverged).tolist() == np.flatnonzero(~run.active).tolist() == [3]
    assert run[3].stopped == "diverged" and run[4].stopped == ""
    found = nn.unstack(fleet)
    clean, _ = as_fleet([network(m) for m in range(M)], pairs(X, TARGET), shards=1)
    for m, (one, other) in enumerate(zip(found, nn.unstack(clean), strict=True)):
        if m != 3:
            assert_same_bits(one.parameters(), other.parameters())
        assert all(np.isfinite(array).all() for array in one.parameters().values())
    spoilt[:, :] = np.nan
    _, run = as_fleet([network(m) for m in range(M)], pairs(spoilt, TARGET))
    assert run.stopped == "diverged" and run.step == 1


# Going on, workers, threads

JUDGED = {"validation": 0.25, "patience": 2, "epochs": 9, "batch_size": 6}


def test_a_run_goes_on_where_its_checkpoint_stops(tmp_path):
    networks, data = [network(m, dropout=0.1) for m in range(M)], pairs(X, TARGET)
    whole, run = as_fleet(networks, data, **JUDGED)

    class Stop:
        def on_step(self, run):
            return run.step in (4, 13)

    for stopped in (5, 14):
        _, other = as_fleet(networks, data, checkpoint=tmp_path, callbacks=[Stop()], **JUDGED)
        assert (other.step, other.stopped) == (stopped, "callback")
    fleet, other = as_fleet(networks, data, checkpoint=tmp_path, **JUDGED)
    assert_same_bits(fleet.parameters(), whole.parameters())
    np.testing.assert_array_equal(other.losses, run.losses)
    assert other.ended.tolist() == run.ended.tolist() and other.best.tolist() == run.best.tolist()
    with pytest.raises(ArgumentError, match="checkpoint: expected a run of these arguments, got seed"):
        as_fleet(networks, data, seeds=[1] * M, checkpoint=tmp_path, **JUDGED)


def test_ctrl_c_leaves_a_whole_checkpoint(tmp_path):
    class Press:
        def on_step(self, run):
            if run.step == 5:
                os.kill(os.getpid(), signal.SIGINT)

    networks, data = [network(m) for m in range(M)], pairs(X, TARGET)
    with pytest.raises(KeyboardInterrupt):
        as_fleet(networks, data, checkpoint=tmp_path, callbacks=[Press()])
    assert_same_bits(
        as_fleet(networks, data, checkpoint=tmp_path)[0].parameters(),
        as_fleet(networks, data)[0].parameters(),
    )


def test_any_number_of_workers_and_threads_gives_the_same_bits():
    networks, data = [network(m, dropout=0.1) for m in range(M)], pairs(X, TARGET)
    whole, run = as_fleet(networks, data, **JUDGED)
    for fleet, other in together(3, lambda comm: as_fleet(networks, data, comm=comm, **JUDGED)):
        assert_same_bits(fleet.parameters(), whole.parameters())
        np.testing.assert_array_equal(other.validation_losses, run.validation_losses)
    before = rnncore.get_num_threads()
    try:
        for threads in (1, 2):
            rnncore.set_num_threads(threads)
            assert_same_bits(as_fleet(networks, data, **JUDGED)[0].parameters(), whole.parameters())
    finally:
        rnncore.set_num_threads(before)


def test_progress_and_callbacks(capsys):
    seen = []
    as_fleet([network(m) for m in range(M)], pairs(X, TARGET), validation=0.3,
             callbacks=[nn.Progress(), lambda run: seen.append(run.active.sum())])  # fmt: skip
    assert seen == [M] * 3
    assert "epoch 3/3  loss " in capsys.readouterr().out


# Stacks


def test_stacks_are_files_and_come_apart(tmp_path):
    networks = [network(m, dropout=0.2, bidirectional=True) for m in range(M)]
    fleet = nn.stack(iter(networks))
    fleet.save(tmp_path / "fleet.safetensors")
    for whole in (fleet, rnncore.load(tmp_path / "fleet.safetensors")):
        for model, own in zip(nn.unstack(whole), networks, strict=True):
            assert repr(model) == repr(own)
            assert_same_bits(model.parameters(), own.parameters())
    assert repr(nn.stack([rnncore.GRU(2, 3, seed=0)])) == "rnncore.Fleet('gru', 2, 3, models=1)"
    assert nn.unstack(nn.FleetLinear.stack([nn.Linear(2, 3, seed=0)]))[0].in_features == 2


def test_fleets_of_chains_stream_and_quantize(tmp_path):
    networks, x = [network(m) for m in range(M)], X.swapaxes(1, 2)
    fleet = nn.stack(networks)
    stream = fleet.stream(COUNT)
    assert_same_bits(np.stack([stream.step(x[:, t]) for t in range(T)], axis=1), fleet(x))
    small = fleet.quantize("int8")
    for m, own in enumerate(networks):
        assert_same_bits(own.quantize("int8")(x[m]), small(x)[m])
    small.save(tmp_path / "small.safetensors")
    found = rnncore.formats.load(tmp_path / "small.safetensors")
    assert found.records == {} and "store='int8'" in repr(found.other)
    with pytest.raises(UnsupportedError, match="report"):
        rnncore.formats.quality.compare(fleet, x)


@pytest.mark.parametrize("merge", ["sum", "mul", "ave", "concat", None])
@pytest.mark.parametrize("last", [False, True])
def test_recurrent_modules_of_fleets(merge, last):
    options = {"merge": merge, "return_sequences": not last}
    modules = [nn.Recurrent(rnncore.LSTM(2, 3, bidirectional=True, seed=m), **options) for m in range(M)]
    fleet, x = nn.stack(modules), X.swapaxes(1, 2)
    y, tape = fleet.forward(x, LENGTHS)
    grads = fleet.backward(tape, y)
    for m, module in enumerate(modules):
        own, own_tape = module.forward(x[m], LENGTHS[m])
        expected = module.backward(own_tape, own)
        for one, other in zip(own, y, strict=True) if merge is None else [(own, y)]:
            assert_same_bits(one, other[m])
        assert_same_bits(expected.x, grads.x[m])
        assert_same_bits(expected.params, {name: value[m] for name, value in grads.params.items()})


def test_what_is_refused():
    networks = [network(m) for m in range(M)]
    fleet, data = nn.stack(networks), pairs(X, TARGET)
    adam = nn.FleetAdam(fleet)
    options = {"epochs": 1, "batch_size": 4}
    with pytest.raises(ArgumentError, match="optimizer: expected FleetAdam or FleetSGD for a fleet"):
        nn.fit(fleet, data, nn.mse_loss, nn.Adam(fleet), **options)
    with pytest.raises(ShapeError, match="data: expected one for all models, or a list of 9"):
        nn.fit(fleet, data[1:], nn.mse_loss, adam, **options)
    with pytest.raises(ArgumentError, match="validation: expected samples for each model, or for none"):
        nn.fit(fleet, data, nn.mse_loss, adam, validation=[None, *data[1:]], **options)
    with pytest.raises(ShapeError, match=r"data: expected steps of shape \(2,\) for all models"):
        nn.fit(fleet, [*data[1:], (X[0, ..., :1], TARGET[0])], nn.mse_loss, adam, **options)
    own = [*pairs(X[1:], LABELS[1:]), (X[0], LABELS[0, :, 0])]
    with pytest.raises(ShapeError, match="data: expected a target for each of"):
        nn.fit(fleet, own, nn.cross_entropy, adam, **options)
    with pytest.raises(ShapeError, match="seed: expected an integer, or 9"):
        nn.fit(fleet, data, nn.mse_loss, adam, seed=[1, 2], **options)
    with pytest.raises(ArgumentError, match="loss"):
        nn.fit(fleet, data, None, adam, **options)
    with pytest.raises(ArgumentError, match="schedule"):
        nn.fit(fleet, data, nn.mse_loss, adam, schedule=lambda *_: np.ones(2), **options)
    mixed = nn.Sequential(rnncore.Fleet("gru", 2, 2, models=M, seed=0), nn.Linear(2, 2, seed=0))
    with pytest.raises(ArgumentError, match="modules"):
        nn.fit(mixed, data, nn.mse_loss, nn.FleetAdam(mixed), **options)
    with pytest.raises(ArgumentError, match="modules: expected fleets of as many models"):
        nn.Sequential(rnncore.Fleet("gru", 2, 2, models=2, seed=0), nn.FleetLinear(2, 2, models=3, seed=0))
    with pytest.raises(ArgumentError, match=r"models\[1\]: expected a model like"):
        nn.stack([rnncore.GRU(2, 3), rnncore.GRU(2, 4)])
    for nothing in ([], 3, "ab", networks[0], [3]):
        with pytest.raises(ArgumentError, match="models"):
            nn.stack(nothing)
    with pytest.raises(UnsupportedError, match="models"):
        nn.stack([nn.LayerNorm(3)])
    for nothing in (rnncore.GRU(2, 3), networks[0], 3):
        with pytest.raises(ArgumentError, match="fleet"):
            nn.unstack(nothing)


def test_cross_entropy_of_each_model():
    logits = RNG.standard_normal((M, 7, 3, 4)).astype(np.float32)
    labels = RNG.integers(0, 4, (M, 7, 3))
    for marked in (labels, np.where(labels == 2, -100, labels), np.full_like(labels, -100)):
        losses, slopes = nn.fleet_cross_entropy(logits, marked)
        for m in range(M):
            loss, slope = nn.cross_entropy(logits[m], marked[m])
            assert loss == losses[m]
            assert_same_bits(slope, slopes[m])
    with pytest.raises(ArgumentError, match="labels"):
        nn.fleet_cross_entropy(logits, labels + 1)
    with pytest.raises(ShapeError, match="logits"):
        nn.fleet_cross_entropy(logits[0, 0, 0], labels[0, 0, 0])
