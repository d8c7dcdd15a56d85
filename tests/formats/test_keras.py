# SPDX-License-Identifier: MIT
"""Keras: layers, wrappers and chains from every kind of file and live; Keras itself is the judge."""

import importlib.util
import os

import numpy as np
import pytest
import tables

import rnncore
from rnncore.errors import UnsupportedError
from rnncore.formats import keras as weights

for backend in ("torch", "tensorflow", "jax"):  # eager ones first: these tests run each layer once
    if importlib.util.find_spec(backend):
        os.environ.setdefault("KERAS_BACKEND", backend)
keras = pytest.importorskip("keras")
pytest.importorskip("h5py")


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


I, U = 5, 4  # noqa: E741
LAYERS = [
    ("SimpleRNN", {}),
    ("SimpleRNN", {"activation": "relu", "use_bias": False}),
    ("LSTM", {}),
    ("GRU", {}),
    ("GRU", {"reset_after": False}),
    ("GRU", {"reset_after": True, "use_bias": False}),
    ("SimpleRNN", {"activation": "linear"}),
    ("LSTM", {"recurrent_activation": "hard_sigmoid", "activation": "softsign"}),
    ("GRU", {"recurrent_activation": "hard_sigmoid", "activation": "elu", "reset_after": False}),
    ("GRU", {"activation": "leaky_relu"}),
]
each_layer = pytest.mark.parametrize(
    ("kind", "options"), LAYERS, ids=lambda v: v if isinstance(v, str) else ""
)


def make(kind, options, units=U, **more):
    if options.get("use_bias", True):
        options = options | {"bias_initializer": "normal"}
    return getattr(keras.layers, kind)(units, **options, **more)


def run(model, x):
    return keras.ops.convert_to_numpy(model(x))


def x_of(features=I, seed=0):
    return np.random.default_rng(seed).standard_normal((3, 6, features)).astype(np.float32)


def assert_close(got, expected):
    assert tables.relative_error(got, expected) <= tables.ROUND_TRIP


@each_layer
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
def test_live_layer(kind, options, backwards, sequences):
    layer = make(kind, options, go_backwards=backwards, return_sequences=sequences)
    expected = run(layer, x_of())
    assert_close(weights.load(layer).record().module()(x_of()), expected)


@each_layer
@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("sequences", [False, True])
def test_live_bidirectional(kind, options, merge, sequences):
    inner = make(kind, options, return_sequences=sequences)
    layer = keras.layers.Bidirectional(inner, merge_mode=merge)
    expected = layer(x_of())
    got = weights.load(layer).record().module()(x_of())
    if merge is None:
        for one, other in zip(got, expected, strict=True):
            assert_close(one, keras.ops.convert_to_numpy(other))
    else:
        assert_close(got, keras.ops.convert_to_numpy(expected))


def tagger():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(7, I),
            layers.Bidirectional(make("LSTM", {}, return_sequences=True), merge_mode="ave"),
            make("GRU", {}, return_sequences=True, name="named"),
            layers.LayerNormalization(),
            make("GRU", {"reset_after": False}, go_backwards=True, return_sequences=True),
            layers.TimeDistributed(layers.Dense(6, activation="relu")),
            layers.Dropout(0.3),
            layers.RNN([layers.LSTMCell(3), layers.LSTMCell(3)], return_sequences=True),
            make("SimpleRNN", {"use_bias": False}),
            layers.Dense(5, activation="softmax"),
        ]
    )
    return model, np.random.default_rng(1).integers(0, 7, (3, 6)).astype(np.int32)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_chain_from_file(tmp_path, suffix):
    model, ids = tagger()
    path = tmp_path / f"tagger{suffix}"
    model.save(path)
    found = weights.load(path)
    assert list(found.records)[1] == "named"
    assert_close(found.model()(ids), run(model, ids))
    own = tmp_path / "tagger.safetensors"
    found.model().save(own)
    assert_close(rnncore.load(own)(ids), run(model, ids))


def test_chain_of_live_and_functional_models(tmp_path):
    model, ids = tagger()
    assert_close(weights.load(model).model()(ids), run(model, ids))
    entry = keras.Input((None, I))
    functional = keras.Model(entry, keras.layers.Dense(2)(make("LSTM", {})(entry)))
    functional.save(tmp_path / "functional.keras")
    got = weights.load(tmp_path / "functional.keras").model()(x_of())
    assert_close(got, run(functional, x_of()))


def test_branching_model_gives_its_layers_but_no_chain(tmp_path):
    entry = keras.Input((6, I))
    one, two = make("LSTM", {})(entry), make("GRU", {})(entry)
    model = keras.Model(entry, keras.layers.Concatenate()([one, two]))
    model.save(tmp_path / "branches.keras")
    found = weights.load(tmp_path / "branches.keras")
    assert [record.spec.cell for record in found.records.values()] == ["lstm", "gru"]
    with pytest.raises(UnsupportedError, match="is fed by"):
        found.model()


def test_weights_alone_are_read_with_a_note(tmp_path):
    model, _ = tagger()
    model.save_weights(tmp_path / "tagger.weights.h5")
    found = weights.load(tmp_path / "tagger.weights.h5")
    read = {record.source for record in found.records.values()}
    assert read == {"keras Bidirectional(LSTM)", "keras GRU", "keras SimpleRNN"}
    assert all("assumed" in record.notes[0] for record in found.records.values())
    kernel = keras.ops.convert_to_numpy(model.get_layer("named").weights[0])
    weight = found.record("gru").parameters["weight_ih_l0"]
    assert_close(weight[:U], kernel.T[U : 2 * U])  # r stands second in Keras
    with pytest.raises(UnsupportedError, match="weights alone"):
        found.model()


KERAS_3_HARD = ("hard_sigmoid", 1 / 6, 0.5)
ROUND = [
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {}),
    ("GRU", {}),
    ("GRU", {"reset_after": False}),
    (
        "LSTM",
        {"activations": {"i": KERAS_3_HARD, "f": KERAS_3_HARD, "o": KERAS_3_HARD, "g": "relu", "c": "relu"}},
    ),
    ("GRU", {"activations": {"n": "softplus"}}),
]


@pytest.mark.parametrize(("kind", "options"), ROUND, ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5"])
def test_round_trip(tmp_path, kind, options, both, suffix):
    layer = getattr(rnncore, kind)(I, 7, 2, bidirectional=both, batch_first=True, seed=1, **options)
    y, _ = layer(x_of())
    assert_close(run(weights.model(layer), x_of()), y)
    path = tmp_path / f"model{suffix}"
    weights.save(layer, path)
    found = weights.load(path)
    if suffix != ".weights.h5":
        assert_close(found.model()(x_of()), y)
    assert len(found.records) == 2


@each_layer
def test_keras_to_rnncore_and_back(kind, options):
    source = make(kind, options, return_sequences=True)
    expected = run(source, x_of())
    assert_close(run(weights.model(weights.load(source).layer()), x_of()), expected)


def test_what_keras_has_not_is_refused():
    for options, field in (
        ({"proj_size": 2}, "proj_size"),
        ({"peepholes": True}, "peepholes"),
        ({"coupled": True}, "coupled"),
        ({"clip": 1.0}, "clip"),
        ({"activations": {"g": "relu"}}, "activations"),
        ({"activations": dict.fromkeys("ifo", "hard_sigmoid")}, "activations"),  # Keras 2's slope
    ):
        with pytest.raises(UnsupportedError) as caught:
            weights.export(rnncore.LSTM(4, 5, **options))
        assert caught.value.field == field


def test_unknown_activations_are_refused():
    layer = make("LSTM", {"recurrent_activation": "gelu"})
    run(layer, x_of())
    assert "gelu" in str(weights.load(layer).refused[layer.name])


def test_hard_sigmoid_is_that_of_the_version():
    arrays = [np.zeros((3, 16), "f4"), np.zeros((4, 16), "f4")]
    config = {"use_bias": False, "recurrent_activation": "hard_sigmoid"}
    for version, slope in ((2, 0.2), (3, 1 / 6)):
        (record,) = weights.read_layers("layer", "LSTM", config, arrays, version)
        assert record.spec.functions(0)["f"] == ("hard_sigmoid", slope, 0.5)


def test_stacked_cells_of_different_size_become_a_chain(tmp_path):
    cells = [keras.layers.LSTMCell(3), keras.layers.LSTMCell(2), keras.layers.GRUCell(4)]
    for backwards in (False, True):
        layer = keras.layers.RNN(cells, go_backwards=backwards, return_sequences=True)
        model = keras.Sequential([keras.Input((None, I)), layer])
        expected = run(model, x_of())
        model.save(tmp_path / "stack.keras")
        found = weights.load(tmp_path / "stack.keras")
        assert [name.split("/")[1] for name in found.records] == ["0", "1", "2"]
        assert_close(found.model()(x_of()), expected)


def test_training_only_options_are_noted():
    layer = make("LSTM", {"recurrent_dropout": 0.2, "stateful": False})
    run(layer, x_of())
    assert "training only" in weights.load(layer).record().notes[0]


def test_masks_are_refused_in_a_chain():
    model = keras.Sequential([keras.layers.Embedding(5, 3, mask_zero=True), make("GRU", {})])
    model(np.ones((1, 2), np.int32))
    found = weights.load(model)
    assert len(found.records) == 1
    with pytest.raises(UnsupportedError, match="lengths instead of masks"):
        found.model()
