# SPDX-License-Identifier: MIT
"""Keras models: activations with parameters, graphs, models within models, masks; Keras itself is the judge."""

import importlib.util
import json
import os

import numpy as np
import pytest
import tables

import rnncore
from rnncore import nn
from rnncore.errors import ArgumentError, UnsupportedError
from rnncore.formats import keras as weights
from rnncore.formats.keras_chain import CHAIN
from rnncore.formats.keras_functions import function_of

for backend in ("torch", "tensorflow", "jax"):
    if importlib.util.find_spec(backend):
        os.environ.setdefault("KERAS_BACKEND", backend)
keras = pytest.importorskip("keras")
pytest.importorskip("h5py")
layers = keras.layers
I, U = 5, 4  # noqa: E741
X = np.random.default_rng(0).standard_normal((3, 6, I)).astype(np.float32)
SOURCES = ("live", ".keras", ".h5")


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


def read(model, source, folder):
    """Contents of a model, live or from a file."""
    if source == "live":
        return weights.load(model)
    path = folder / f"model{source}"
    model.save(path)
    return weights.load(path)


def run(model, x=X):
    return keras.ops.convert_to_numpy(model(x))


def assert_reads(model, source, folder, x=X):
    found = read(model, source, folder).model()
    assert tables.relative_error(found(x), run(model, x)) <= tables.ROUND_TRIP
    return found


# Activations -----------------------------------------------------------------------------------------------

FUNCTIONS = {
    "elu": lambda: layers.ELU(alpha=0.5),
    "leaky": lambda: layers.LeakyReLU(negative_slope=0.4),
    "relu": lambda: layers.ReLU(),
    "relu with slope": lambda: layers.ReLU(negative_slope=0.3),
    "relu from": lambda: layers.ReLU(threshold=0.2),
    "activation": lambda: layers.Activation("softsign"),
}


def around(kind, function):
    """A chain in which a layer of this kind has the function."""
    if kind in ("LSTM", "GRU", "SimpleRNN"):
        more = {} if kind == "SimpleRNN" else {"recurrent_activation": function()}
        return keras.Sequential(
            [keras.Input((None, I)), getattr(layers, kind)(U, activation=function(), **more)]
        )
    last = {
        "Dense": lambda: layers.Dense(3, activation=function()),
        "Activation": lambda: layers.Activation(function()),
        "itself": function,
    }[kind]()
    return keras.Sequential([keras.Input((None, I)), layers.GRU(U, return_sequences=True), last])


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN", "Dense", "Activation", "itself"])
@pytest.mark.parametrize("source", SOURCES)
def test_layers_as_activations_keep_their_parameters(tmp_path, kind, function, source):
    assert_reads(around(kind, FUNCTIONS[function]), source, tmp_path)


@pytest.mark.parametrize("kind", ["LSTM", "Dense", "itself"])
@pytest.mark.parametrize("source", SOURCES)
def test_a_function_that_is_not_there_is_refused(tmp_path, kind, source):
    model = around(kind, lambda: layers.ReLU(max_value=1.0))
    run(model)
    with pytest.raises(UnsupportedError, match="max_value"):
        read(model, source, tmp_path).model()


def test_softmax_over_another_axis_is_refused(tmp_path):
    for axis, refused in ((-1, False), (1, True), ([1, 2], True)):
        model = around("itself", lambda axis=axis: layers.Softmax(axis=axis))
        if not refused:
            assert_reads(model, ".keras", tmp_path)
            continue
        with pytest.raises(UnsupportedError, match="axis: expected -1 of Softmax"):
            read(model, ".keras", tmp_path).model()


@pytest.mark.parametrize(
    ("value", "function"),
    [
        (None, ("affine", 1.0, 0.0)),
        ("relu", ("relu",)),
        ({"class_name": "function", "config": "relu", "registered_name": "relu"}, ("relu",)),
        ({"class_name": "LeakyReLU", "config": {"alpha": 0.25}}, ("leaky_relu", 0.25)),
        ({"class_name": "ThresholdedReLU", "config": {"theta": 0.5}}, ("thresholded_relu", 0.5)),
        ({"class_name": "Activation", "config": {"activation": "tanh"}}, ("tanh",)),
    ],
    ids=str,
)
def test_words_of_functions(value, function):
    assert function_of(value, 2) == function


@pytest.mark.parametrize(
    "value",
    [
        "gelu",
        3,
        ["relu"],
        {},
        {"class_name": "PReLU", "config": {"name": "relu"}},
        {"class_name": "function", "config": "relu", "registered_name": "my>relu"},
        {"class_name": "ELU", "config": {"alpha": "much"}},
        {"class_name": "ReLU", "config": {"threshold": 1.0, "negative_slope": 0.5}},
    ],
    ids=str,
)
def test_other_words_are_refused(value):
    with pytest.raises(UnsupportedError):
        function_of(value, 3)


# Graphs ----------------------------------------------------------------------------------------------------


def functional(build):
    entry = keras.Input((None, I))
    return keras.Model(entry, build(entry))


def of_state(entry):
    _, _, c = layers.LSTM(U, return_sequences=True, return_state=True)(entry)
    return layers.Dense(2)(c)


def of_output(entry):
    y, *_ = layers.LSTM(U, return_sequences=True, return_state=True)(entry)
    return layers.Dense(2)(y)


def of_both(entry):
    y = layers.GRU(U, return_sequences=True)(entry)
    return [layers.Dense(2)(y), y]


def of_shared(entry):
    dense = layers.Dense(I)
    return dense(dense(layers.GRU(I, return_sequences=True)(entry)))


def of_initial_state(entry):
    h = layers.GRU(U)(entry)
    return layers.Dense(2)(layers.GRU(U)(entry, initial_state=h))


NO_CHAINS = {
    "a state": (of_state, "output 2 of lstm"),
    "two outputs": (of_both, "the model gives 2 outputs"),
    "a layer twice": (of_shared, "is called more than once"),
    "an initial state": (of_initial_state, "is fed by"),
}


@pytest.mark.parametrize("name", NO_CHAINS)
@pytest.mark.parametrize("source", SOURCES)
def test_graphs_that_are_no_chains_say_why(tmp_path, name, source):
    build, words = NO_CHAINS[name]
    found = read(functional(build), source, tmp_path)
    assert len(found.records) in (1, 2)
    with pytest.raises(UnsupportedError, match=words):
        found.model()


@pytest.mark.parametrize("source", SOURCES)
def test_the_first_output_of_a_layer_with_state_is_a_chain(tmp_path, source):
    assert_reads(functional(of_output), source, tmp_path)


def test_a_chain_is_followed_in_whatever_order_its_layers_stand(tmp_path):
    model = functional(lambda x: layers.Dense(2)(layers.GRU(U)(layers.Dense(3)(x))))
    config = json.loads(model.to_json())
    assert config["class_name"] == "Functional"
    expected = weights.load(model).model()

    class Shuffled:
        """The same model, as if its config listed the layers from the end."""

        name, get_layer, layers, get_config = "shuffled", model.get_layer, model.layers, model.get_config

        def to_json(self):
            listed = config["config"] | {"layers": config["config"]["layers"][::-1]}
            return json.dumps(config | {"config": listed})

    np.testing.assert_array_equal(weights.load(Shuffled()).model()(X), expected(X))


# Models within models ----------------------------------------------------------------------------------------


def nested():
    inner = keras.Sequential(
        [layers.LSTM(U, return_sequences=True, name="inner"), layers.Dense(3)], name="nest"
    )
    entry = keras.Input((None, 3))
    deep = keras.Model(entry, layers.Dense(2)(layers.GRU(U, return_sequences=True)(entry)), name="deep")
    return keras.Sequential(
        [keras.Input((None, I)), layers.Dense(I), inner, deep, layers.GRU(2), layers.Dense(1)]
    )


@pytest.mark.parametrize("source", SOURCES)
def test_models_within_models_are_read_through_all_levels(tmp_path, source):
    model = nested()
    found = read(model, source, tmp_path)
    assert next(iter(found.records)) == "nest/inner" and len(found.records) == 3
    assert_reads(model, source, tmp_path)


# Masks, dropout, contradictions ------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("first", ["Masking", "Embedding"])
def test_masks_are_told(tmp_path, first, source):
    if first == "Masking":
        model = keras.Sequential([keras.Input((None, I)), layers.Masking(0.0), layers.GRU(U)])
    else:
        model = keras.Sequential(
            [keras.Input((None,)), layers.Embedding(4, I, mask_zero=True), layers.GRU(U)]
        )
    found = read(model, source, tmp_path)
    assert "masks steps: pass lengths" in found.record().notes[-1]
    with pytest.raises(UnsupportedError, match="lengths instead of masks"):
        found.model()


def test_dropout_is_there_for_training_further(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((None, I)),
            layers.GRU(U, return_sequences=True),
            layers.Dropout(0.25),
            layers.SpatialDropout1D(0.5),
            layers.Dropout(0.0),
            layers.Dense(2),
        ]
    )
    found = assert_reads(model, ".keras", tmp_path)
    assert [type(module) for module in found] == [nn.Recurrent, nn.Dropout, nn.Linear]
    assert found[1].p == 0.25
    optimizer = rnncore.Adam(found)
    y, tape = found.forward(X)
    assert optimizer.step(found.backward(tape, y)) > 0


@pytest.mark.parametrize(
    ("kind", "config", "shapes"),
    [
        ("LSTM", {"units": 5}, [(3, 16), (4, 16), (16,)]),
        ("LSTM", {"units": 4}, [(3, 16), (4, 12), (16,)]),
        ("LSTM", {"units": 4, "use_bias": False}, [(3, 16), (4, 16), (16,)]),
        ("RNN", {"cell": {"class_name": "GRUCell", "config": {}}}, [(3, 12), (4, 12), (2, 12), (1,)]),
    ],
    ids=str,
)
def test_units_that_contradict_the_weights_are_refused(kind, config, shapes):
    with pytest.raises(ArgumentError, match="layer"):
        weights.read_layers("layer", kind, config, [np.zeros(shape, "f4") for shape in shapes])


def test_dense_units_that_contradict_the_weights_are_refused():
    rows = [({"units": 3}, [(4, 2), (2,)]), ({"use_bias": False}, [(4, 2), (2,)]), ({}, [(4, 2, 1), (2,)])]
    for config, shapes in rows:
        with pytest.raises(ArgumentError, match="dense"):
            CHAIN["Dense"]("dense", config, [np.zeros(shape, "f4") for shape in shapes], 3)


def test_a_layer_without_a_size_is_a_sentence(tmp_path):
    model = keras.Sequential([keras.Input((None, I)), layers.LayerNormalization(scale=False, center=False)])
    with pytest.raises(UnsupportedError, match="its size is not known"):
        read(model, ".keras", tmp_path).model()
