# SPDX-License-Identifier: MIT
"""`fit`: what a run computes, what its data may be, how it stops, goes on and is judged."""

import numpy as np
import pytest
from fitting import FULL, FULL_LABELS, INVERTED, LABELS, LENGTHS, RAGGED, RNG, network, train
from worker_threads import together

import rnncore
from rnncore import nn, ragged
from rnncore.errors import ArgumentError, ShapeError, UnsupportedError
from rnncore.nn import order
from rnncore.nn.batches import Supervised
from rnncore.nn.workers import Workers

# What a step computes


def test_one_shard_is_a_plain_step():
    ours, plain = (nn.Sequential(rnncore.LSTM(3, 4, seed=0), rnncore.Linear(4, 2, seed=1)) for _ in range(2))
    data, adam = (FULL, FULL_LABELS), nn.Adam(plain)
    nn.fit(ours, data, nn.cross_entropy, nn.Adam(ours), epochs=1, batch_size=32, shards=1)
    x = FULL[order.shuffled(32, 0, 0)].swapaxes(0, 1)
    labels = FULL_LABELS[order.shuffled(32, 0, 0)].swapaxes(0, 1)
    y, tape = plain.forward(x)
    # 256 tokens: multiplied by and divided by a power of two, the mean's gradient keeps its bits.
    adam.step(plain.backward(tape, nn.cross_entropy(y, labels)[1]))
    for name, array in plain.parameters().items():
        np.testing.assert_array_equal(ours.parameters()[name], array)


def test_training_learns():
    _, run = train((FULL, FULL_LABELS), epochs=30)
    assert (
        run.losses[-1] < run.losses[0] and run.step == run.steps == 90 and run.tokens == 30 * FULL_LABELS.size
    )


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("form", ["lists", "columns", "samples"])
def test_forms_of_data_give_the_same_bits(form, batch_first):
    class Samples:
        def __len__(self):
            return len(RAGGED)

        def __getitem__(self, k):
            return RAGGED[k], LABELS[k]

    columns = [(np.concatenate(each), LENGTHS) for each in (RAGGED, LABELS)]
    data = {
        "lists": (RAGGED, LABELS),
        "columns": tuple(ragged.rows(*column) for column in columns),
        "samples": Samples(),
    }[form]
    assert train(data, network(batch_first=batch_first))[0] == train(model=network())[0]


def test_targets_of_whole_sequences_and_layers_alone():
    last = nn.Recurrent(rnncore.GRU(3, 2, seed=0), return_sequences=False)
    target = RNG.random((41, 2), dtype=np.float32)
    _, run = train((RAGGED, target), last, nn.mse_loss)
    assert run.tokens == 3 * 41
    layer = rnncore.RNN(3, 2, seed=0)
    _, run = train((FULL, FULL[:, :, :2]), layer, nn.mse_loss, epochs=2)
    assert run.tokens == 2 * 32 * 8 and run.losses[1] < run.losses[0]


def test_labels_that_do_not_count_change_nothing():
    marked = [np.where(np.arange(len(one)) % 3 == 2, -100, one) for one in LABELS]
    _, run = train((RAGGED, marked), epochs=1)
    assert run.tokens == sum(int((one >= 0).sum()) for one in marked)
    before = network()
    found, run = train((RAGGED, [np.full(len(one), -100) for one in LABELS]), epochs=1)
    assert found == b"".join(array.tobytes() for array in before.parameters().values())
    assert run.tokens == 0 and np.isnan(run.losses[0])


def test_dropout_and_order_follow_the_seed():
    first = train()[0]
    assert train()[0] == first
    assert train(seed=1)[0] != first
    assert train(model=network(store=None))[0] == first  # the modules' own generators are not asked


@pytest.mark.parametrize("last", [False, True], ids=["steps", "last"])
def test_a_sample_has_the_same_masks_in_every_shard(last):
    gru = nn.Recurrent(rnncore.GRU(3, 6, 2, dropout=0.4, seed=1), return_sequences=not last)
    model = nn.Sequential(nn.Dropout(0.3, seed=1), gru, nn.Dropout(0.5, seed=2))
    x, rows = FULL.swapaxes(0, 1), np.arange(32)
    with order.keyed(order.drawing(model), lambda: order.keys_of(rows, 5)):
        whole, again = model.forward(x)[0], model.forward(x)[0]
    assert not np.array_equal(whole, again)
    for some in ([7], [31, 0, 7], rows[::-1]):
        with order.keyed(order.drawing(model), lambda some=some: order.keys_of(np.array(some), 5)):
            np.testing.assert_array_equal(model.forward(x[:, some])[0], whole[..., some, :])


def test_a_model_of_ones_own():
    class Own:
        def __init__(self):
            self.inner = network()

        def gradients(self, batch):
            assert batch.samples[0] is RAGGED[batch.rows[0]]
            found = Supervised(self.inner, nn.cross_entropy).gradients(
                nn.Batch(batch.rows, (RAGGED, LABELS), batch.key)
            )
            return found

        def evaluate(self, batch):
            return float(len(batch.rows)), len(batch.rows)

    own = Own()
    run = nn.fit(
        own,
        RAGGED,
        None,
        nn.Adam(own.inner, lr=0.02, weight_decay=0.01, clip_norm=0.5),
        epochs=3,
        batch_size=12,
    )
    assert b"".join(array.tobytes() for array in own.inner.parameters().values()) == train()[0]
    assert run.epoch == 3
    judged = nn.fit(own, RAGGED, None, nn.Adam(own.inner), epochs=1, batch_size=12, validation=0.25)
    assert judged.validation_losses == [1.0]


# Workers


@pytest.mark.parametrize("size", [2, 3, 5])
def test_any_number_of_workers_gives_the_same_bits(size):
    options = {"validation": 0.2, "batch_size": 20}
    alone, run = train(**options)
    found = together(size, lambda comm: train(comm=comm, **options))
    for rank, (parameters, other) in enumerate(found):
        assert parameters == alone and other.rank == rank
        assert (other.losses, other.validation_losses) == (run.losses, run.validation_losses)


def test_more_workers_than_shards_and_samples():
    alone = train((RAGGED[:3], LABELS[:3]), shards=2)[0]
    found = together(4, lambda comm: train((RAGGED[:3], LABELS[:3]), shards=2, comm=comm)[0])
    assert found == [alone] * 4


def test_a_step_sends_twice_the_parameters():
    def work(comm):
        model = rnncore.GRU(16, 64, seed=0)
        data = (np.ones((16, 4, 16), np.float32), np.ones((16, 4, 64), np.float32))
        options = {"batch_size": 16, "comm": comm}
        nn.fit(model, data, nn.mse_loss, nn.Adam(model), epochs=1, **options)
        first = comm.sent
        nn.fit(model, data, nn.mse_loss, nn.Adam(model), epochs=11, **options)
        return (comm.sent - 2 * first) / 10 / model._flat.nbytes

    # To each of 3 others a quarter of the vector, twice.
    assert [round(sent, 1) for sent in together(4, work)] == [1.5] * 4


def test_others_are_told_of_a_failure():
    def stop(run):
        if run.epoch == 2:
            raise OSError("no space left")

    found = together(3, lambda comm: train(comm=comm, callbacks=[stop] if comm.rank == 1 else []))
    assert isinstance(found[1], OSError)
    for rank in (0, 2):
        assert isinstance(found[rank], nn.WorkerError) and found[rank].field == "worker 1"
        assert found[rank].got == "OSError: no space left"


@pytest.mark.parametrize(
    "name, options",
    [("batch_size", {"batch_size": 13}), ("seed", {"seed": 5}), ("data", {"data": (RAGGED, INVERTED)})],
)
def test_workers_with_other_arguments_are_refused(name, options):
    def work(comm):
        return train(comm=comm, **(options if comm.rank else {}))

    for error in together(2, work):
        assert isinstance(error, nn.WorkerError) and error.field == "worker 1"
        assert str(error.expected).startswith(name)


def test_one_worker_stops_all():
    def work(comm):
        stop = [lambda run: run.epoch == 2] if comm.rank == 2 else []
        run = train(comm=comm, callbacks=stop, epochs=9)[1]
        return run.epoch, run.stopped

    assert together(3, work) == [(2, "callback")] * 3


# The tree


@pytest.mark.parametrize("first", range(0, 17, 3))
@pytest.mark.parametrize("size", [0, 1, 5, 9, 16])
def test_nodes_are_aligned_and_cover(first, size):
    end = min(first + size, 16)
    found = list(order.nodes(first, end))
    assert [k for node in found for k in range(node[0], sum(node))] == list(range(first, end))
    assert all(node[0] % node[1] == 0 and node[1] & (node[1] - 1) == 0 for node in found)


def test_the_sum_has_the_order_of_the_tree():
    leaves = np.float32([1e8, 1, -1e8, 1, 3, 1e8, -1e8, 7])
    a = ((leaves[0] + leaves[1]) + (leaves[2] + leaves[3])) + (
        (leaves[4] + leaves[5]) + (leaves[6] + leaves[7])
    )

    def work(comm):
        shard = lambda k: (np.zeros(1), leaves[k : k + 1].copy())  # noqa: E731
        return Workers(comm).sum(8, shard, np.dtype(np.float32), 1)[1][0]

    assert together(3, work) == [a] * 3 == together(1, work) * 3
    assert a != leaves.sum(dtype=np.float64)


def test_keys_and_orders_are_pinned():
    assert order.key_of(1, 2, 3) == 0x3B150D7F5C4A6E52
    assert int(order.keys_of(np.array([4]), 5)[0]) == 0x910A2DEC89025CC1
    assert order.shuffled(8, 1, 2).tolist() == [2, 3, 6, 5, 0, 1, 4, 7]


# Judging, rates, callbacks


def test_the_best_epoch_is_kept_and_patience_ends():
    states = []
    model = network()

    def rise(run):
        states.append(model.state_dict())

    run = train(
        model=model, validation=0.3, patience=2, epochs=200, callbacks=[rise], schedule=lambda *_: 0.5
    )[1]
    assert run.stopped == "patience" and run.epoch == run.best_epoch + 2 < 200
    assert run.best == min(run.validation_losses) == run.validation_losses[run.best_epoch - 1]
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(array, states[run.best_epoch - 1][name])


def test_validation_is_what_evaluation_gives():
    model = network()
    run = train(model=model, validation=(RAGGED[:7], LABELS[:7]), epochs=1)[1]
    logits = [model(x[:, np.newaxis])[:, 0] for x in RAGGED[:7]]
    loss = nn.cross_entropy(np.concatenate(logits), np.concatenate(LABELS[:7]))[0]
    assert run.validation_losses == [pytest.approx(loss)]


def test_a_schedule_sets_the_rate():
    rates = []

    class Note:
        def on_step(self, run):
            rates.append(run.lr)

    rate = nn.Cosine(0.1, low=0.01, warmup=3)
    run = train(schedule=rate, callbacks=[Note()])[1]
    assert rates == [rate(step, run.steps) for step in range(12)]
    assert rates[:3] == [pytest.approx(0.1 * k / 3) for k in (1, 2, 3)]
    exact = [0.01 + 0.09 * 0.5 * (1 + np.cos(np.pi * k / 9)) for k in range(9)]
    assert rates[3:] == [pytest.approx(value) for value in exact]


def test_callbacks_are_called_in_order(capsys):
    class Note:
        def __init__(self):
            self.seen = []

        def on_start(self, run):
            self.seen.append("start")

        def on_step(self, run):
            self.seen.append(run.step)

        def on_end(self, run):
            self.seen.append("end")

    note = Note()
    train(callbacks=[note, nn.Progress()], epochs=1)
    assert note.seen == ["start", 1, 2, 3, 4, "end"]
    assert "epoch 1/1  loss " in capsys.readouterr().out


# What is refused


@pytest.mark.parametrize(
    "error, field, options",
    [
        (ArgumentError, "shards", {"shards": 3}),
        (ArgumentError, "shards", {"shards": 2**40}),
        (ArgumentError, "loss", {"loss": 3}),
        (ArgumentError, "schedule", {"schedule": 3}),
        (ArgumentError, "schedule", {"schedule": lambda step, steps: -1.0}),
        (ArgumentError, "schedule", {"schedule": lambda step, steps: "fast"}),
        (ArgumentError, "callbacks", {"callbacks": [3]}),
        (ArgumentError, "comm", {"comm": 3}),
        (ArgumentError, "checkpoint", {"checkpoint": 3}),
        (ArgumentError, "batch_size", {"batch_size": 0}),
        (ArgumentError, "epochs", {"epochs": 0}),
        (ArgumentError, "seed", {"seed": -1}),
        (ArgumentError, "patience", {"patience": 2}),
        (ArgumentError, "validation", {"validation": 1.5}),
        (ArgumentError, "data", {"validation": 0.001}),
        (ArgumentError, "loss", {"loss": None}),
        (ShapeError, "data", {"data": (RAGGED, LABELS[:-1])}),
        (ShapeError, "data", {"data": (RAGGED, np.zeros((41, 2), np.float32))}),
        (ArgumentError, "data", {"data": RAGGED}),
    ],
    ids=lambda value: str(value)[:24] if isinstance(value, dict) else getattr(value, "__name__", value),
)
def test_arguments_are_checked(error, field, options):
    with pytest.raises(error) as caught:
        train(**options)
    assert caught.value.field == field


def test_the_optimiser_must_be_the_models():
    model, other = network(), network()
    with pytest.raises(ArgumentError, match="optimizer: expected an optimiser of this model alone"):
        nn.fit(model, (RAGGED, LABELS), nn.cross_entropy, nn.Adam(other), epochs=1, batch_size=4)
    with pytest.raises(ArgumentError, match=r"optimizer: expected an optimiser of rnncore\.nn"):
        nn.fit(model, (RAGGED, LABELS), nn.cross_entropy, object(), epochs=1, batch_size=4)
    both = nn.Adam([model, rnncore.Linear(2, 2, dtype="float64")])
    with pytest.raises(UnsupportedError, match="optimizer: expected modules of one dtype"):
        nn.fit(type("Own", (), {"gradients": None}), RAGGED, None, both, epochs=1, batch_size=4)
