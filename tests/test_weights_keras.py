# SPDX-License-Identifier: MIT
"""Keras: layers, wrappers and chains from every kind of file and live; Keras itself is the judge."""

import importlib.util
import json
import os

import numpy as np
import pytest
import suites
import tables

import rnncore
from rnncore.errors import UnsupportedError
from rnncore.weights import keras as weights

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


ROUND = [("RNN", {"nonlinearity": "relu"}), ("LSTM", {}), ("GRU", {}), ("GRU", {"reset_after": False})]


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


def test_projection_and_unknown_activations_are_refused():
    with pytest.raises(UnsupportedError, match="proj_size"):
        weights.export(rnncore.LSTM(4, 5, proj_size=2))
    layer = make("LSTM", {"recurrent_activation": "hard_sigmoid"})
    run(layer, x_of())
    assert "hard_sigmoid" in str(weights.load(layer).refused[layer.name])


def test_stacked_cells_of_different_size_are_refused():
    layer = keras.layers.RNN([keras.layers.LSTMCell(3), keras.layers.LSTMCell(2)])
    run(layer, x_of())
    assert "one kind and size" in str(weights.load(layer).refused[layer.name])


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


SUITE = suites.cases("keras_literals")


def suite_weights(case, prefix):
    names = ("kernel", "recurrent_kernel", "bias")
    return [case["arrays"][prefix + name] for name in names if prefix + name in case["arrays"]]


def suite_config(case):
    """(class, config, weights) of a case in Keras' own words."""
    config = dict(case["config"])
    if case["layer"] == "stack":
        cells = [
            {
                "class_name": f"{cell['layer']}Cell",
                "config": {"units": cell["units"]} | cell["config"],
            }
            for cell in case["cells"]
        ]
        arrays = [array for k in range(len(cells)) for array in suite_weights(case, f"cell{k}_")]
        return "RNN", config | {"cell": {"class_name": "StackedRNNCells", "config": {"cells": cells}}}, arrays
    if case["layer"] == "Bidirectional":
        inner = {"class_name": case["cell"], "config": {"units": case["units"]} | config}
        arrays = suite_weights(case, "fwd_") + suite_weights(case, "bwd_")
        return "Bidirectional", {"layer": inner, "merge_mode": case["merge_mode"]}, arrays
    return case["layer"], {"units": case["units"]} | config, suite_weights(case, "")


def simple(case):
    """Cases of one call, without masks or states: what a Recurrent module does by itself."""
    a = case["arrays"]
    return case["n_calls"] == 1 and case["output_index"] == 0 and "mask" not in a and "init0" not in a


@pytest.mark.skipif(not SUITE, reason=f"no suites in {suites.SHARED} (set RNNCORE_SHARED)")
@pytest.mark.parametrize("case", [case for case in SUITE if simple(case)], ids=lambda case: case["name"])
def test_case_of_the_suite(case):
    kind, config, arrays = suite_config(case)
    if '"linear"' in json.dumps(config):
        with pytest.raises(UnsupportedError, match=r"^activations: "):
            weights.read_layer("layer", kind, config, arrays)
        return
    got = weights.read_layer("layer", kind, config, arrays).module()(case["arrays"]["x"])
    if isinstance(got, tuple):  # merge_mode None: output 0 is the forward one
        got = got[0]
    if case["batch_index"] is not None:
        got = got[case["batch_index"]]
    np.testing.assert_allclose(got, case["arrays"]["expected"], rtol=case["rtol"], atol=case["atol"])
