# SPDX-License-Identifier: MIT
"""The table of other systems' layouts: orders by hand, round trips, refusals; what weights may import."""

import ast
import pathlib

import numpy as np
import pytest
import tables

import rnncore
from rnncore.errors import ArgumentError, ShapeError, UnsupportedError
from rnncore.formats import layouts, systems

I, H = 3, 2  # noqa: E741
GATES = {"rnn": "h", "lstm": "ifgo", "gru": "rzn", "min_gru": "zn", "min_lstm": "ifg"}
WITH_LSTM = [name for name, row in layouts.SYSTEMS.items() if "lstm" in row.gates]
ROWS = [(name, cell) for name, row in layouts.SYSTEMS.items() for cell in row.gates]

# Row blocks of ours (LSTM i f g o, GRU r z n) that give the other order; from the systems' documentation.
BLOCKS = {
    ("torch", "lstm"): [0, 1, 2, 3],
    ("keras", "lstm"): [0, 1, 2, 3],
    ("onnx", "lstm"): [0, 3, 1, 2],
    ("onednn", "lstm"): [0, 1, 2, 3],
    ("openvino", "lstm"): [1, 0, 2, 3],
    ("flax", "lstm"): [0, 1, 2, 3],
    ("haste", "lstm"): [0, 2, 1, 3],
    ("tensorflow", "lstm"): [0, 2, 1, 3],
    ("torch", "gru"): [0, 1, 2],
    ("keras", "gru"): [1, 0, 2],
    ("onnx", "gru"): [1, 0, 2],
    ("onednn", "gru"): [1, 0, 2],
    ("openvino", "gru"): [1, 0, 2],
    ("flax", "gru"): [0, 1, 2],
    ("haste", "gru"): [1, 0, 2],
    ("mingru_pytorch", "min_gru"): [1, 0],
    ("mingru_pytorch", "min_lstm"): [2, 1, 0],
}


def parameters(cell, seed=0):
    """Random canonical parameters of one layer in one direction."""
    rng, rows = np.random.default_rng(seed), len(GATES[cell]) * H
    shapes = {"weight_ih": (rows, I), "weight_hh": (rows, H), "bias_ih": (rows,), "bias_hh": (rows,)}
    shapes = {name: shape for name, shape in shapes.items() if name.endswith("ih") or "min" not in cell}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def split(key):
    """(cell, reset_after) of a key of the table."""
    return key.removesuffix("_before"), not key.endswith("_before")


@pytest.mark.parametrize(("system", "cell"), BLOCKS, ids="-".join)
def test_gate_order_is_the_documented_one(system, cell):
    values = parameters(cell)
    if "bias_hh" in values:
        values["bias_hh"] = np.zeros(len(GATES[cell]) * H, np.float32)
    weight_ih, weight_hh, *_ = systems.to_system(system, cell, values)
    order = BLOCKS[system, cell]
    assert ("weight_hh" in values) == (weight_hh is not None)
    for got, name in ((weight_ih, "weight_ih"), (weight_hh, "weight_hh")):
        if name not in values:
            continue
        got = got.T if layouts.SYSTEMS[system].columns else got
        expected = np.concatenate([values[name][k * H : (k + 1) * H] for k in order])
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(("system", "key"), ROWS, ids="-".join)
def test_there_and_back_computes_the_same(system, key):
    cell, reset_after = split(key)
    values = parameters(cell)
    if key == "gru" and layouts.SYSTEMS[system].bias[key] == "one":
        values["bias_hh"][2 * H :] = 0
    weight_ih, weight_hh, bias, *_ = systems.to_system(system, cell, values, reset_after=reset_after)
    back = systems.from_system(system, cell, weight_ih, weight_hh, bias, reset_after=reset_after)
    assert back.keys() == values.keys()
    np.testing.assert_array_equal(back["weight_ih"], values["weight_ih"])
    if "weight_hh" not in values:
        np.testing.assert_array_equal(back["bias_ih"], values["bias_ih"])
        return
    np.testing.assert_array_equal(back["weight_hh"], values["weight_hh"])
    kept = slice(2 * H, None) if key == "gru" else slice(0)  # b_hn stays apart from b_in, everywhere
    np.testing.assert_array_equal(back["bias_ih"] + back["bias_hh"], values["bias_ih"] + values["bias_hh"])
    np.testing.assert_array_equal(back["bias_hh"][kept], values["bias_hh"][kept])


def test_no_bias_stays_no_bias():
    values = {name: array for name, array in parameters("gru").items() if "bias" not in name}
    assert systems.to_system("keras", "gru", values)[2] is None
    assert set(systems.from_system("keras", "gru", values["weight_ih"].T, values["weight_hh"].T)) == set(
        values
    )


@pytest.mark.parametrize("system", ["flax"])
def test_one_bias_cannot_hold_a_recurrent_candidate_bias(system):
    with pytest.raises(UnsupportedError, match="one bias cannot hold a b_hn"):
        systems.to_system(system, "gru", parameters("gru"))


@pytest.mark.parametrize(
    "system", [name for name in WITH_LSTM if "proj_size" not in layouts.SYSTEMS[name].options]
)
def test_projection_is_refused_where_there_is_none(system):
    values = parameters("lstm") | {"weight_hr": np.ones((1, H), np.float32)}
    with pytest.raises(UnsupportedError, match="proj_size"):
        systems.to_system(system, "lstm", values)


PEEPHOLES = {"onnx": [0, 2, 1], "onednn": [0, 1, 2], "tensorflow": [0, 1, 2]}  # of ours, i f o


@pytest.mark.parametrize("system", PEEPHOLES)
def test_peepholes_there_and_back(system):
    values = parameters("lstm") | {"weight_peephole": np.arange(3.0 * H, dtype=np.float32)}
    weight_ih, weight_hh, bias, peephole, _ = systems.to_system(system, "lstm", values)
    blocks = np.split(values["weight_peephole"], 3)
    np.testing.assert_array_equal(peephole, np.concatenate([blocks[k] for k in PEEPHOLES[system]]))
    back = systems.from_system(system, "lstm", weight_ih, weight_hh, bias, peephole=peephole)
    np.testing.assert_array_equal(back["weight_peephole"], values["weight_peephole"])


def test_coupled_gates_there_and_back():
    values = parameters("gru") | {
        "weight_peephole": np.arange(2.0 * H, dtype=np.float32)
    }  # three gates, i g o
    weight_ih, weight_hh, bias, peephole, _ = systems.to_system("onnx", "lstm", values, coupled=True)
    assert weight_ih.shape == (4 * H, I) and not np.any(weight_ih[2 * H : 3 * H])  # i o f c
    assert peephole.shape == (3 * H,) and not np.any(peephole[2 * H :])
    back = systems.from_system("onnx", "lstm", weight_ih, weight_hh, bias, peephole=peephole, coupled=True)
    assert back.keys() == values.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(back[name], value)


OPTIONS = {
    "peepholes": True,
    "coupled": True,
    "clip": 1.0,
    "activations": {"g": "relu"},
    "zoneout": 0.5,
    "zoneout_c": 0.5,
    "layer_norm": True,
    "proj_size": 1,
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("system", WITH_LSTM)
def test_options_that_a_system_has_not_are_refused(system, option):
    layer = rnncore.LSTM(I, H, **{option: OPTIONS[option]})
    if option in layouts.SYSTEMS[system].options:
        layouts.refuse_options(system, layer.spec)
        return
    with pytest.raises(UnsupportedError) as caught:
        layouts.refuse_options(system, layer.spec)
    assert caught.value.field == option


@pytest.mark.parametrize("name", ["MinGRU", "MinLSTM"])
@pytest.mark.parametrize("system", ["torch", "keras"])
def test_cells_that_are_ours_alone_are_refused_by_name(system, name):
    layer = getattr(rnncore, name)(3, 2, activations={"z" if name == "MinGRU" else "i": "relu"}, seed=0)
    export = {"torch": "state_dict", "keras": "export"}[system]
    with pytest.raises(UnsupportedError, match=f"a cell that {system} has .*, got {layer.spec.cell}"):
        getattr(getattr(rnncore.formats, system), export)(layer)


@pytest.mark.parametrize("name", ["MinGRU", "MinLSTM"])
def test_scans_in_log_space_form_are_those_of_the_package(name):
    """The module's own equations of a step, in NumPy: what comes in goes through g, and a mean is taken."""
    cell, gates = {"MinGRU": ("min_gru", 2), "MinLSTM": ("min_lstm", 3)}[name]
    rng = np.random.default_rng(3)
    matrix, x = rng.standard_normal((gates * H, I)), rng.standard_normal((6, 4, I))
    new = {"MinGRU": "n", "MinLSTM": "g"}[name]
    layer = getattr(rnncore, name)(I, H, bias=False, dtype="float64", activations={new: "log_space"})
    (found,) = systems.from_system("mingru_pytorch", cell, matrix).values()
    layer.load_state_dict({"weight_ih_l0": found})
    layouts.refuse_options("mingru_pytorch", layer.spec)
    h = np.zeros((4, H))
    for step, got in zip(x, layer(x)[0], strict=True):
        hidden, *rest = np.split(step @ matrix.T, gates, axis=-1)
        hidden = np.where(hidden >= 0, hidden + 0.5, 1 / (1 + np.exp(-hidden)))
        shut = [1 / (1 + np.exp(-gate)) for gate in rest]
        share = shut[0] if name == "MinGRU" else shut[1] / (shut[0] + shut[1])
        h = h + share * (hidden - h)
        assert tables.relative_error(got, h) <= tables.TOLERANCES["forward", np.dtype("float64")]


@pytest.mark.parametrize("system", ["keras", "onnx"])
def test_functions_that_a_system_has_not_are_refused(system):
    layer = rnncore.GRU(3, 2, activations={"n": "log_space"}, seed=0)
    with pytest.raises(UnsupportedError, match="log_space"):
        getattr(rnncore.formats, system).export(layer)


def test_scans_have_no_recurrent_matrix():
    values = parameters("min_gru")
    with pytest.raises(ArgumentError, match="weight_hh: expected None for cell 'min_gru'"):
        systems.from_system("mingru_pytorch", "min_gru", values["weight_ih"], values["weight_ih"])
    with pytest.raises(UnsupportedError, match="weight_hh"):
        systems.to_system("mingru_pytorch", "min_gru", values | {"weight_hh": values["weight_ih"]})


def test_cells_that_a_system_has_not_are_refused():
    with pytest.raises(UnsupportedError, match="resets before"):
        systems.to_system("torch", "gru", parameters("gru"), reset_after=False)
    with pytest.raises(UnsupportedError, match="resets after"):
        systems.to_system("tensorflow", "gru", parameters("gru"))


def test_wrong_arguments_are_named():
    values = parameters("lstm")
    with pytest.raises(ArgumentError, match=r"^system: "):
        systems.to_system("caffe", "lstm", values)
    with pytest.raises(ShapeError, match=r"^weight_ih: "):
        systems.from_system("onnx", "lstm", values["weight_ih"][:7], values["weight_hh"])
    with pytest.raises(ShapeError, match=r"^bias: "):
        systems.from_system("onnx", "lstm", values["weight_ih"], values["weight_hh"], values["bias_ih"])


def test_joined_kernel_is_split():
    kernel = np.arange(20.0).reshape(5, 4)
    top, bottom = systems.split_joined(kernel, 3)
    np.testing.assert_array_equal(np.concatenate([top, bottom]), kernel)
    with pytest.raises(ShapeError, match=r"^kernel: "):
        systems.split_joined(kernel, 5)


@pytest.mark.parametrize("dtype", layouts.SATURATED, ids=str)
def test_saturation_limit_changes_no_bit(dtype):
    limit, one = layouts.SATURATED[dtype], np.ones((1, 1), dtype)
    layer = rnncore.LSTM(1, 1, bias=False, dtype=dtype)
    for sign in (1, -1):
        outputs = []
        for size in (limit, 4 * limit):
            layer.update_parameters({"weight_ih_l0": np.full((4, 1), sign * size, dtype)})
            outputs.append(layer(one[np.newaxis])[1])
        np.testing.assert_array_equal(outputs[0], outputs[1])


def test_packages_of_others_are_imported_lazily_and_the_core_never():
    folder = pathlib.Path(layouts.__file__).parent
    own = {"numpy", *__import__("sys").stdlib_module_names}
    for path in folder.glob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert "_core" not in [name.name for name in node.names], path.name
        for node in tree.body:
            if isinstance(node, ast.Import):
                assert {name.name.split(".")[0] for name in node.names} <= own, path.name
            if isinstance(node, ast.ImportFrom) and not node.level:
                assert node.module.split(".")[0] in own, path.name


@pytest.mark.parametrize(
    "system", [name for name, row in layouts.SYSTEMS.items() if "proj_size" in row.options]
)
def test_projections_there_and_back(system):
    P = H - 1
    values = parameters("lstm") | {"weight_hr": np.arange(P * H, dtype=np.float32).reshape(P, H)}
    values["weight_hh"] = values["weight_hh"][:, :P]
    there = systems.to_system(system, "lstm", values)
    assert there.weight_hr.shape == ((H, P) if layouts.SYSTEMS[system].columns else (P, H))
    back = systems.from_system(system, "lstm", there[0], there[1], there.bias, weight_hr=there.weight_hr)
    for name in ("weight_ih", "weight_hh", "weight_hr"):
        np.testing.assert_array_equal(back[name], values[name])


def test_arrays_that_no_system_knows_are_not_dropped():
    with pytest.raises(UnsupportedError, match="gain_ih"):
        systems.to_system("torch", "lstm", parameters("lstm") | {"gain_ih": np.ones(4 * H, np.float32)})


def test_an_input_gate_that_is_one_minus_the_forget_gate_is_converted():
    """TFLite and TensorFlow keep gate f of coupled ones, ONNX and we gate i: the same cell, its rows negated."""
    own = rnncore.LSTM(I, H, coupled=True, peepholes=True, dtype="float64", seed=0)
    values = {name.removesuffix("_l0"): array for name, array in own.state_dict().items()}
    stacked = ("weight_ih", "weight_hh", "bias_ih")
    blocks = {name: dict(zip("igo", np.split(values[name], 3), strict=True)) for name in stacked}
    i, o = np.split(values["weight_peephole"], 2)

    def theirs(name):  # rows i g f o; those of i are not used
        rows = blocks[name]
        return np.concatenate([np.full_like(rows["i"], 9.0), rows["g"], -rows["i"], rows["o"]])

    back = systems.from_system(
        "tensorflow",
        "lstm",
        theirs("weight_ih").T,
        theirs("weight_hh").T,
        theirs("bias_ih"),
        coupled="forget",
        peephole=np.concatenate([np.full_like(i, 9.0), -i, o]),
    )
    for name in ("weight_ih", "weight_hh", "bias_ih", "weight_peephole"):
        np.testing.assert_array_equal(back[name], values[name])
    with pytest.raises(ArgumentError, match="coupled"):
        systems.from_system("onnx", "gru", theirs("weight_ih"), theirs("weight_hh"), coupled=True)
