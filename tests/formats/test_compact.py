# SPDX-License-Identifier: MIT
"""Compact files: what matrices are packed from, in a quarter or half of the bytes, and results of the same bits."""

import json

import numpy as np
import pytest
import tables
from compiled import CELL, assert_same_bits, build, draw

import rnncore
from rnncore import nn
from rnncore.errors import FormatError, UnsupportedError
from rnncore.formats import commands, convert, native, quality, safetensors
from rnncore.formats.__main__ import main

STORE = pytest.mark.parametrize("store", tables.STORES)
INTEGERS = pytest.mark.parametrize("store", tables.INTEGER_STORES)


@CELL
@STORE
def test_the_same_bits_from_fewer_bytes(cell, store, tmp_path):
    shape = tables.Shape(5, 3, 40, 33)
    layer = build(cell, shape, store=store, num_layers=2, bidirectional=True)
    call = draw(layer, shape.T, shape.N)
    layer.save(tmp_path / "full.safetensors")
    layer.save(tmp_path / "small.safetensors", compact=True)
    loaded = rnncore.load(tmp_path / "small.safetensors")
    assert loaded.spec == layer.spec
    assert_same_bits(loaded(call.x, call.state), layer(call.x, call.state))
    full, small = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("full", "small"))
    vectors = sum(value.nbytes for value in layer.parameters().values() if value.ndim == 1)
    scales = sum(4 * len(value) for value in layer.parameters().values() if value.ndim == 2)
    parts = 4 if store in tables.INTEGER_STORES else 2
    assert (
        small
        <= full / parts + vectors + scales + (tmp_path / "small.safetensors").read_bytes().index(b"}}") * 3
    )
    loaded.save(tmp_path / "again.safetensors", compact=True)
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "small.safetensors").read_bytes()


@STORE
def test_values_of_every_kind(store, tmp_path):
    layer = rnncore.RNN(33, 6, seed=0, store=store)
    weight = layer.state_dict()["weight_hh_l0"]
    weight[0], weight[1, 2], weight[2, 3], weight[3] = 0, np.nan, np.inf, np.float32(1e-30)
    layer.update_parameters({"weight_hh_l0": weight})
    layer.save(tmp_path / "small.safetensors", compact=True)
    x = np.ones((3, 2, 33), np.float32)
    assert_same_bits(rnncore.load(tmp_path / "small.safetensors")(x), layer(x))


@STORE
def test_models_and_layers_without_a_store(store, tmp_path):
    model = nn.Sequential(
        nn.Embedding(9, 40, seed=0), rnncore.LSTM(40, 16, seed=0), rnncore.Linear(16, 3, seed=1)
    )
    small, x = model.quantize(store), np.arange(8).reshape(4, 2)
    small.save(tmp_path / "small.safetensors", compact=True)
    assert_same_bits(rnncore.load(tmp_path / "small.safetensors")(x), small(x))
    said = convert_file(model, tmp_path, store)
    assert said.endswith("Sequential of 3 modules")
    assert (tmp_path / "b.safetensors").read_bytes() == (tmp_path / "small.safetensors").read_bytes()
    model.save(tmp_path / "plain.safetensors", compact=True)
    assert (tmp_path / "plain.safetensors").read_bytes() == (tmp_path / "a.safetensors").read_bytes()


def convert_file(model, folder, store):
    model.save(folder / "a.safetensors")
    return convert(folder / "a.safetensors", folder / "b.safetensors", dtype=store)


def test_other_readers_know_halves(tmp_path):
    rnncore.GRU(3, 8, seed=0, store="bfloat16").save(tmp_path / "b.safetensors", compact=True)
    torch, reader = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    found = reader.load_file(tmp_path / "b.safetensors")
    assert found["weight_hh_l0"].dtype == torch.bfloat16
    expected = rnncore.load(tmp_path / "b.safetensors").parameters()["weight_hh_l0"]
    np.testing.assert_array_equal(found["weight_hh_l0"].float().numpy(), expected)


def test_only_our_format_is_compact(tmp_path):
    with pytest.raises(UnsupportedError, match="compact: expected False for this format"):
        rnncore.GRU(3, 8).save(tmp_path / "a.pt", compact=True)


# Damage ----------------------------------------------------------------------------------------------------


def spoiled(folder, change, header_change=None):
    """A compact file of int8 whose arrays, or whose header, were changed."""
    layer = rnncore.GRU(40, 8, seed=0, store="int8")
    layer.save(folder / "sound.safetensors", compact=True)
    arrays, metadata = safetensors.read(folder / "sound.safetensors")
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(arrays)
    header = json.loads(metadata["rnncore"])
    if header_change is not None:
        header_change(header)
    safetensors.write(folder / "bad.safetensors", arrays, {"rnncore": json.dumps(header)})
    return folder / "bad.safetensors"


def put(name, place, value):
    return lambda arrays: arrays[name].__setitem__(place, value)


DAMAGE = {
    "a code of -128": put("weight_hh_l0", (0, 0), -128),
    "codes smaller than their scale allows": put("weight_hh_l0", 0, 3),
    "a scale that is no own one": put("weight_hh_l0.scale", 0, np.float32(0.1)),
    "a negative scale": put("weight_hh_l0.scale", 0, np.float32(-0.125)),
    "a scale of zero": put("weight_hh_l0.scale", 0, np.float32(0)),
    "codes with a scale of NaN": put("weight_hh_l0.scale", 0, np.float32(np.nan)),
    "no scales": lambda arrays: arrays.pop("weight_hh_l0.scale"),
    "scales of doubles": lambda arrays: arrays.update(
        {"weight_hh_l0.scale": arrays["weight_hh_l0.scale"].astype(np.float64)}
    ),
    "too few scales": lambda arrays: arrays.update({"weight_hh_l0.scale": arrays["weight_hh_l0.scale"][1:]}),
    "scales without codes": lambda arrays: arrays.update({"bias_hh_l0.scale": np.ones(24, np.float32)}),
    "codes of a vector": lambda arrays: arrays.update({"bias_hh_l0": np.ones(24, np.int8)}),
    "floats for codes": lambda arrays: (
        arrays.update({"weight_hh_l0": np.ones((24, 8), np.float32)}),
        arrays.pop("weight_hh_l0.scale"),
    ),
}
HEADERS = {
    "not said to be compact": lambda header: header.pop("compact"),
    "said with a number": lambda header: header.update(compact=1),
    "another store": lambda header: header["architecture"].update(store="bfloat16"),
    "no store": lambda header: header["architecture"].pop("store"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_arrays_are_refused(name, tmp_path):
    with pytest.raises(FormatError):
        rnncore.load(spoiled(tmp_path, DAMAGE[name]))


@pytest.mark.parametrize("name", HEADERS)
def test_damaged_headers_are_refused(name, tmp_path):
    with pytest.raises(FormatError):
        rnncore.load(spoiled(tmp_path, lambda arrays: None, HEADERS[name]))


@INTEGERS
def test_inspection_reads_what_is_loaded(store, tmp_path):
    layer = rnncore.GRU(40, 8, seed=0, store=store)
    layer.save(tmp_path / "small.safetensors", compact=True)
    arrays, metadata = safetensors.read(tmp_path / "small.safetensors")
    header = native.header_of("small", metadata)
    record = native.contents("small", arrays, header).record()
    assert_same_bits(record.layer().state_dict(), rnncore.load(tmp_path / "small.safetensors").state_dict())
    (row,) = commands.inspect(tmp_path / "small.safetensors")
    assert f"store={store!r}" in row.maps_to


# The report ------------------------------------------------------------------------------------------------


def test_a_report_of_a_model(tmp_path, capsys):
    stack = rnncore.LSTM(40, 16, 2, bidirectional=True, seed=0)
    last = nn.Recurrent(rnncore.GRU(32, 8, seed=1), order="reverse", return_sequences=False)
    model = nn.Sequential(stack, last, rnncore.Linear(8, 3, seed=2))
    x = np.random.default_rng(0).standard_normal((20, 4, 40)).astype(np.float32)
    rows = quality.compare(model, x)
    own = [row for row in rows if row.store == "int8"]
    assert [row.name for row in own] == ["0 l0", "0 l1", "1", "output"]
    difference = model.quantize("int8")(x).astype(np.float64) - model(x)
    assert own[-1].largest == np.abs(difference).max()
    assert own[-1].error == pytest.approx(
        np.sqrt(np.square(difference).mean() / np.square(model(x).astype(float)).mean())
    )
    second = stack.quantize("int8")(x)[0].astype(np.float64) - stack(x)[0]
    assert own[1].largest == np.abs(second).max()
    model.save(tmp_path / "a.safetensors")
    np.save(tmp_path / "x.npy", x)
    source, target, data = (str(tmp_path / name) for name in ("a.safetensors", "b.safetensors", "x.npy"))
    assert main(["convert", source, target, "--dtype", "int8", "--report", data]) == 0
    said = capsys.readouterr().out
    assert "recommended: int8" in said and "0 l1" in said and f"within {own[-1].error:.2%}" in said


def test_what_is_recommended():
    rows = [
        quality.Row(store, "output", error, 0.0)
        for store, error in zip(quality.SPEED, (1, 0.5, 0.01, 0), strict=True)
    ]
    assert quality.recommended(rows) == "bfloat16"
    rows = [quality.Row(store, "output", 1.0, 0.0) for store in quality.SPEED]
    assert "recommended: float32" in quality.sentence(rows, None)


def test_saturated_codes_are_counted():
    layer = rnncore.RNN(2, 3, nonlinearity="tanh", seed=0)
    layer.update_parameters({"bias_ih_l0": np.float32([9, 9, 0]), "bias_hh_l0": np.zeros(3, np.float32)})
    rows = quality.compare(layer, np.zeros((4, 1, 2), np.float32))
    share = {row.store: row.saturated for row in rows if row.name == "rnn"}
    assert share["int8"] == pytest.approx(2 / 3) and share["bfloat16"] is None


@pytest.mark.parametrize("content", [b"", b"no array", "objects"], ids=["empty", "text", "objects"])
def test_data_that_is_none_is_refused(content, tmp_path, capsys):
    rnncore.GRU(3, 4).save(tmp_path / "a.safetensors")
    if content == "objects":
        np.save(tmp_path / "x.npy", np.array([{}], object))
    else:
        (tmp_path / "x.npy").write_bytes(content)
    given = ["convert", *(str(tmp_path / name) for name in ("a.safetensors", "b.safetensors"))]
    assert main([*given, "--report", str(tmp_path / "x.npy")]) == 2
    assert "an .npy file of numbers" in capsys.readouterr().err
    assert not (tmp_path / "b.safetensors").exists()
