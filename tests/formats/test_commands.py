# SPDX-License-Identifier: MIT
"""convert and inspect: formats by suffix, whole chains, refusals, the table, and the command line."""

import subprocess
import sys

import numpy as np
import pytest

import rnncore
from rnncore import formats, nn
from rnncore.errors import ArgumentError, UnsupportedError
from rnncore.formats import commands
from rnncore.formats.__main__ import main

PACKAGES = {".pt": "torch", ".keras": "keras", ".h5": "keras", ".onnx": "onnx", ".safetensors": "numpy"}


@pytest.fixture
def layer():
    return rnncore.LSTM(3, 4, seed=0)


@pytest.mark.parametrize("suffix", PACKAGES)
def test_every_format_there_and_back(tmp_path, layer, suffix):
    pytest.importorskip(PACKAGES[suffix])
    one, two, three = tmp_path / "a.safetensors", tmp_path / f"b{suffix}", tmp_path / "c.safetensors"
    layer.save(one)
    assert formats.convert(one, two).startswith(f"{two}: rnncore.LSTM(3, 4)")
    assert "LSTM(3, 4" in formats.convert(two, three)
    again = rnncore.load(three)
    x = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    ours, theirs = layer(x)[0], again(x.swapaxes(0, 1) if again.spec.batch_first else x)[0]
    np.testing.assert_array_equal(ours, theirs.swapaxes(0, 1) if again.spec.batch_first else theirs)


def test_a_chain_is_converted_as_a_whole(tmp_path, layer):
    model = nn.Sequential(layer, nn.Linear(4, 2, seed=1))
    model.save(tmp_path / "a.safetensors")
    said = formats.convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert said.endswith("Sequential of 2 modules")
    assert repr(rnncore.load(tmp_path / "b.safetensors")) == repr(model)
    assert "LSTM" in formats.convert(tmp_path / "a.safetensors", tmp_path / "c.safetensors", name="0")
    assert rnncore.load(tmp_path / "c.safetensors").spec == layer.spec


def test_one_of_several_layers_must_be_named(tmp_path, layer):
    values = {f"{place}.{name}": a for place in ("one", "two") for name, a in layer.state_dict().items()}
    formats.safetensors.write(tmp_path / "two.safetensors", values)
    with pytest.raises(ArgumentError, match="one of one, two"):
        formats.convert(tmp_path / "two.safetensors", tmp_path / "out.safetensors")
    formats.convert(tmp_path / "two.safetensors", tmp_path / "out.safetensors", name="two")
    assert rnncore.load(tmp_path / "out.safetensors").spec == layer.spec
    with pytest.raises(ArgumentError, match="three"):
        formats.load(tmp_path / "two.safetensors").layer("three")


def test_dtype_is_changed_only_when_asked(tmp_path):
    rnncore.GRU(3, 4, dtype="float64", seed=0).save(tmp_path / "a.safetensors")
    formats.convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert rnncore.load(tmp_path / "b.safetensors").spec.dtype == np.float64
    formats.convert(tmp_path / "a.safetensors", tmp_path / "c.safetensors", dtype="float32")
    assert rnncore.load(tmp_path / "c.safetensors").spec.dtype == np.float32
    large = rnncore.GRU(1, 1, dtype="float64", bias=False)
    large.update_parameters({"weight_ih_l0": np.full((3, 1), 1e300)})
    large.save(tmp_path / "large.safetensors")
    with pytest.raises(UnsupportedError, match="range"):
        formats.convert(tmp_path / "large.safetensors", tmp_path / "d.safetensors", dtype="float32")


def test_what_a_format_cannot_hold_is_refused_and_nothing_written(tmp_path):
    pytest.importorskip("onnx")
    rnncore.LSTM(3, 4, proj_size=2, seed=0).save(tmp_path / "a.safetensors")
    with pytest.raises(UnsupportedError, match="proj_size"):
        formats.convert(tmp_path / "a.safetensors", tmp_path / "b.onnx")
    backwards = nn.Recurrent(rnncore.RNN(3, 4), order="backwards")
    nn.Sequential(backwards).save(tmp_path / "c.safetensors")
    with pytest.raises(UnsupportedError, match="reads forward"):
        formats.convert(tmp_path / "c.safetensors", tmp_path / "d.onnx")
    with pytest.raises(ArgumentError, match="ending"):
        formats.convert(tmp_path / "a.safetensors", tmp_path / "b.tflite")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "c.safetensors"]


def test_inspect_tells_layers_shapes_counts_and_the_rest(tmp_path, layer):
    nn.Sequential(nn.Embedding(9, 3), layer, nn.Softmax()).save(tmp_path / "a.safetensors")
    recurrent, *rest = formats.inspect(tmp_path / "a.safetensors")
    assert (recurrent.name, recurrent.source, recurrent.maps_to) == ("1", "rnncore LSTM", "LSTM(3, 4)")
    assert recurrent.parameters == 16 * 3 + 16 * 4 + 32
    assert recurrent.shapes.startswith("weight_ih_l0 16x3, weight_hh_l0 16x4")
    assert [row.name.split(":")[0] for row in rest] == ["0", "2"]
    text = commands.table([recurrent, *rest])
    assert text.splitlines()[0].split() == ["name", "source", "parameters", "maps", "to"]
    assert "weight_hh_l0 16x4" in text


def test_inspect_shows_refusals_with_the_reason(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = formats.onnx.export(rnncore.LSTM(3, 4, seed=0))
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("activations", ["Gelu", "Tanh", "Tanh"]))
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    row = formats.inspect(tmp_path / "a.onnx")[0]
    assert row.maps_to.startswith("refused: activations: ")


def test_options_are_not_lost_in_conversion(tmp_path):
    for options in ({"peepholes": True}, {"coupled": True}, {"clip": 1.0}, {"activations": {"g": "relu"}}):
        rnncore.LSTM(3, 4, seed=0, **options).save(tmp_path / "a.safetensors")
        with pytest.raises(UnsupportedError) as caught:
            formats.convert(tmp_path / "a.safetensors", tmp_path / "b.pt")
        assert caught.value.field in options
        assert not (tmp_path / "b.pt").exists()
        formats.convert(tmp_path / "a.safetensors", tmp_path / "c.safetensors")
        assert rnncore.load(tmp_path / "c.safetensors").spec == rnncore.LSTM(3, 4, **options).spec


def test_command_line(tmp_path, layer, capsys):
    layer.save(tmp_path / "a.safetensors")
    assert main(["inspect", str(tmp_path / "a.safetensors")]) == 0
    assert "LSTM(3, 4)" in capsys.readouterr().out
    assert main(["convert", str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors")]) == 0
    assert (tmp_path / "b.safetensors").exists()
    for arguments in (["inspect", "nowhere.onnx"], ["inspect", "model.xyz"]):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert said.startswith("rnncore: ")
        assert said.count("\n") == 1


def test_no_foreign_package_is_imported_before_its_format_is_used(tmp_path, layer):
    layer.save(tmp_path / "a.safetensors")
    code = (
        "import sys, rnncore; rnncore.load(sys.argv[1]); rnncore.formats.inspect(sys.argv[1]);"
        "print({'torch', 'keras', 'onnx', 'h5py', 'safetensors', 'jax', 'tensorflow'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_layer_that_returned_its_last_step_is_converted_with_a_note(tmp_path):
    pytest.importorskip("onnx")
    model = nn.Sequential(nn.Recurrent(rnncore.GRU(2, 3), return_sequences=False), nn.Softmax())
    model.save(tmp_path / "a.safetensors")
    said = formats.convert(tmp_path / "a.safetensors", tmp_path / "b.onnx", name="0")
    assert "last step only" in said
