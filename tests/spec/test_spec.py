# SPDX-License-Identifier: MIT
"""`Spec`: names, shapes and sizes; and the initializers that follow them."""

import json
import math
import pickle

import numpy as np
import pytest
import tables
from compiled import build

from rnncore import errors, reference
from rnncore.reference import activations as reference_activations
from rnncore.reference import cells as reference_cells
from rnncore.spec import CELLS, GATES, Spec, activations, initializers


def test_parameter_shapes_in_order():
    spec = Spec("lstm", 3, 5, num_layers=2, bidirectional=True, proj_size=2)
    assert list(spec.parameter_shapes().items())[:6] == [
        ("weight_ih_l0", (20, 3)),
        ("weight_hh_l0", (20, 2)),
        ("bias_ih_l0", (20,)),
        ("bias_hh_l0", (20,)),
        ("weight_hr_l0", (2, 5)),
        ("weight_ih_l0_reverse", (20, 3)),
    ]
    assert spec.parameter_shapes()["weight_ih_l1"] == (20, 4)
    assert len(spec.parameter_shapes()) == 20
    assert spec.state_shapes(7) == ((4, 7, 2), (4, 7, 5))


@pytest.mark.parametrize("cell", GATES)
def test_sizes(cell):
    spec = Spec(cell, np.int16(3), np.uint64(5), bidirectional=np.True_, bias=False, dtype=np.float64)
    assert (spec.gates, spec.directions, spec.output_size, spec.y_size) == (len(GATES[cell]), 2, 5, 10)
    matrices = ("weight_ih", "weight_hh") if spec.is_recurrent else ("weight_ih",)
    assert list(spec.parameter_shapes()) == [
        name + end for end in ("_l0", "_l0_reverse") for name in matrices
    ]
    assert type(spec.input_size) is int and type(spec.bidirectional) is bool and spec.dtype == np.float64


def test_is_a_value():
    spec = Spec("gru", 3, 5, reset_after=False)
    again = pickle.loads(pickle.dumps(spec))
    assert again == spec and hash(again) == hash(spec)
    assert spec != Spec("gru", 3, 5)
    with pytest.raises(AttributeError):
        spec.hidden_size = 4


@pytest.mark.parametrize(
    "field, call",
    [
        ("cell", lambda: Spec("elman", 3, 5)),
        ("cell", lambda: Spec(["lstm"], 3, 5)),
        ("proj_size", lambda: Spec("gru", 3, 5, proj_size=2)),
        ("nonlinearity", lambda: Spec("lstm", 3, 5, nonlinearity="relu")),
        ("reset_after", lambda: Spec("rnn", 3, 5, reset_after=False)),
        ("peepholes", lambda: Spec("gru", 3, 5, peepholes=True)),
        ("coupled", lambda: Spec("rnn", 3, 5, coupled=True)),
    ],
)
def test_options_of_other_cells_are_refused(field, call):
    with pytest.raises(errors.ArgumentError) as caught:
        call()
    assert caught.value.field == field


def test_shapes_of_options():
    spec = Spec("lstm", 3, 5, peepholes=True)
    assert list(spec.parameter_shapes().items())[-1] == ("weight_peephole_l0", (15,))
    spec = Spec("lstm", 3, 5, peepholes=True, coupled=True, proj_size=2)
    assert spec.gate_names == ("i", "g", "o")
    assert spec.parameter_shapes()["weight_hh_l0"] == (15, 2)
    assert spec.parameter_shapes()["weight_peephole_l0"] == (10,)


def test_activations_have_one_form():
    usual = {"i": "sigmoid", "g": ("tanh",)}
    assert Spec("lstm", 3, 5, activations=usual) == Spec("lstm", 3, 5)
    assert Spec("lstm", 3, 5, activations=usual).activations == ()
    assert Spec("rnn", 3, 5, activations={"h": "relu"}) == Spec("rnn", 3, 5, nonlinearity="relu")
    one = Spec("gru", 3, 5, bidirectional=True, activations={"n": "elu"})
    assert one == Spec("gru", 3, 5, bidirectional=True, activations=({"n": ("elu", 1)}, {"n": ("elu",)}))
    assert one == Spec("gru", 3, 5, bidirectional=True, activations=one.activations)
    assert one.functions(1) == {"r": ("sigmoid",), "z": ("sigmoid",), "n": ("elu", 1.0)}
    both = Spec("rnn", 3, 5, bidirectional=True, activations=({}, {"h": "relu"}))
    assert [both.functions(d)["h"] for d in (0, 1)] == [("tanh",), ("relu",)]
    identity = Spec("min_gru", 3, 5, activations={"n": ("affine", 1)})
    assert identity == Spec("min_gru", 3, 5) and identity.functions(0)["n"] == ("affine", 1.0, 0.0)
    assert Spec("min_gru", 3, 5, activations={"n": ("affine", 2)}).activations == (
        (("sigmoid",), ("affine", 2.0, 0.0)),
    )


def test_every_function_is_in_the_grid():
    layers = [build(cell, tables.SHAPES[1], implementation=reference) for cell in tables.CELLS]
    used = {entry[0] for layer in layers for entry in layer.spec.functions(0).values()}
    assert used == set(activations.FUNCTIONS)


def test_every_function_has_a_value_and_a_slope():
    assert reference_activations.VALUES.keys() == activations.FUNCTIONS.keys()
    a = np.linspace(-3.0, 3.0, 7)
    for name, defaults in activations.FUNCTIONS.items():
        value, slope = reference_activations.value_and_slope((name, *defaults), a, clip=2.0)
        assert value.shape == slope.shape == a.shape
        assert value[0] == value[1] and value[-1] == value[-2] and slope[0] == slope[-1] == 0


def test_forms_tell_the_cells_apart():
    specs = [Spec("rnn", 1, 2), Spec("rnn", 1, 2, nonlinearity="relu"), Spec("lstm", 1, 2)]
    specs += [Spec("lstm", 1, 2, layer_norm=True), Spec("gru", 1, 2), Spec("gru", 1, 2, reset_after=False)]
    specs += [Spec("gru", 1, 2, layer_norm=True), Spec("min_gru", 1, 2), Spec("min_lstm", 1, 2)]
    forms = [form for cell in CELLS.values() for form in cell.forms]
    assert [spec.form for spec in specs] == forms == list(reference_cells.STEPS)


def test_a_form_that_a_cell_does_not_have_is_refused():
    with pytest.raises(errors.ArgumentError, match="reset_after") as refused:
        Spec("gru", 1, 2, reset_after=False, layer_norm=True)
    assert "layer_norm" in refused.value.field


OPTIONED = [
    Spec("rnn", 3, 5, nonlinearity="relu", bias=False, zoneout=0.5),
    Spec(
        "lstm", 3, 5, 2, proj_size=2, peepholes=True, coupled=True, clip=2.0, zoneout_c=0.25, dtype="float64"
    ),
    Spec(
        "gru", 3, 5, bidirectional=True, reset_after=False, activations=({}, {"n": ("elu", 0.5)}), dropout=0.5
    ),
    Spec("min_gru", 3, 5, num_layers=2, clip=2.0, activations={"n": ("affine", 0.5)}),
    Spec("min_lstm", 3, 5, bias=False, zoneout=0.25, activations={"g": "tanh"}),
]


@pytest.mark.parametrize("spec", OPTIONED, ids=lambda spec: spec.cell)
def test_a_spec_is_a_dict_and_back(spec):
    again = Spec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec and again.to_dict() == spec.to_dict()
    make = getattr(reference, spec.table.title)
    assert make(**spec.keywords()).spec == spec
    assert spec.parameter_count == len(spec.parameter_shapes())


def test_a_dict_names_options_where_they_are_used():
    fields = Spec("gru", 3, 5).to_dict()
    assert fields == {
        "cell": "gru",
        "input_size": 3,
        "hidden_size": 5,
        "num_layers": 1,
        "nonlinearity": "tanh",
        "bias": True,
        "batch_first": False,
        "dropout": 0.0,
        "bidirectional": False,
        "dtype": "float32",
        "proj_size": 0,
        "reset_after": True,
    }
    for wrong in (fields | {"other": 1}, {"cell": "gru"}, None, fields | {"dtype": ["float32"]}):
        with pytest.raises(errors.ArgumentError):
            Spec.from_dict(wrong)


def test_largest_sizes_that_fit():
    # float32: 4 (H I + H^2) bytes without biases; with H = 2^30 and I = 2^30 - 1 just under 2^63.
    assert Spec("rnn", 2**30 - 1, 2**30, bias=False).token_bytes > 0
    with pytest.raises(errors.SizeError):
        Spec("rnn", 2**30, 2**30, bias=False)


SPECS = [
    Spec(cell, 6, 8, num_layers=2, bidirectional=True, dtype="float64", proj_size=p)
    for cell, p in (("rnn", 0), ("lstm", 0), ("lstm", 3), ("gru", 0))
]
SPEC = pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.cell}-P{s.proj_size}")


def rng(seed=0):
    return initializers.seed_streams(seed)[0]


@SPEC
def test_initializers_fill_every_parameter(spec):
    parameters = initializers.uniform(spec, rng())
    assert {key: value.shape for key, value in parameters.items()} == spec.parameter_shapes()
    assert list(parameters) == list(spec.parameter_shapes())
    for key, value in parameters.items():
        assert value.dtype == spec.dtype
        assert np.any(value) or key.startswith("bias")
    assert all(not np.any(value) for value in initializers.zeros(spec).values())


@SPEC
def test_uniform_follows_the_documented_stream(spec):
    stream = np.random.Generator(np.random.PCG64(np.random.SeedSequence(5).spawn(2)[0]))
    bound = 1 / math.sqrt(spec.hidden_size)
    for name, value in initializers.uniform(spec, rng(5)).items():
        np.testing.assert_array_equal(value, stream.uniform(-bound, bound, value.shape), err_msg=name)


def test_seed_kinds():
    sequence = np.random.SeedSequence(9)
    draws = [initializers.seed_streams(seed)[1].random() for seed in (9, np.int64(9), sequence, sequence)]
    assert len(set(draws)) == 1
    assert initializers.seed_streams(None)[0].random() != initializers.seed_streams(None)[0].random()
    assert initializers.seed_streams([1, 2])[0].random() != initializers.seed_streams([1, 3])[0].random()
