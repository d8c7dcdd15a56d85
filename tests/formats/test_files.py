# SPDX-License-Identifier: MIT
"""Files as untrusted input: own format there and back, and damaged, hostile or wrong ones of every format.

A bad file raises one RnncoreError, runs nothing and allocates nothing large.
"""

import importlib.util
import json
import tracemalloc

import numpy as np
import pytest
import tables
from compiled import examples
from headers import HEADERS, refused
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

import rnncore
from rnncore import nn
from rnncore.errors import ArgumentError, DTypeError, RnncoreError
from rnncore.formats import FormatError, load, native, safetensors

needs = {name: importlib.util.find_spec(name) is not None for name in ("torch", "keras", "h5py", "onnx")}


# The own format --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", tables.CELLS, ids=lambda cell: cell.id)
@pytest.mark.parametrize("dtype", tables.DTYPES.values(), ids=tables.DTYPES)
def test_layer_there_and_back(tmp_path, cell, dtype):
    options = cell.options(6) | {"bidirectional": True, "batch_first": True, "dropout": 0.25, "dtype": dtype}
    layer = getattr(rnncore, cell.layer)(5, 6, 2, seed=3, **options)
    path = tmp_path / "layer.safetensors"
    layer.save(path)
    again = rnncore.load(path)
    assert again.spec == layer.spec
    for name, value in layer.parameters().items():
        np.testing.assert_array_equal(again.parameters()[name], value)
    x = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(dtype)
    np.testing.assert_array_equal(again(x)[0], layer(x)[0])


def test_twin_saves_and_loads(tmp_path):
    twin = rnncore.reference.GRU(3, 4, seed=0)
    twin.save(tmp_path / "twin.safetensors")
    again = rnncore.load(tmp_path / "twin.safetensors", rnncore.reference)
    assert repr(again) == repr(twin)
    np.testing.assert_array_equal(again.parameters()["weight_ih_l0"], twin.parameters()["weight_ih_l0"])


def test_sequential_there_and_back(tmp_path):
    model = nn.Sequential(
        nn.Embedding(9, 4, seed=0),
        nn.Recurrent(rnncore.LSTM(4, 3, bidirectional=True, seed=1), merge="sum"),
        nn.LayerNorm(3),
        nn.Activation("tanh"),
        nn.Recurrent(rnncore.GRU(3, 5, seed=2), order="backwards", return_sequences=False),
        nn.Linear(5, 2, bias=False, seed=3),
        nn.Softmax(),
    )
    path = tmp_path / "model.safetensors"
    model.save(path)
    again = rnncore.load(path)
    assert repr(again) == repr(model)
    ids = np.random.default_rng(0).integers(0, 9, (6, 2))
    np.testing.assert_array_equal(again(ids, lengths=[6, 3]), model(ids, lengths=[6, 3]))


def test_the_package_safetensors_reads_our_files_and_we_its(tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    tensors = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "empty": np.zeros((0, 3)),
        "scalar": np.array(3, np.int64),
        "half": np.ones(3, np.float16),
        "flags": np.array([True, False, True]),
        "turned": np.arange(6.0).reshape(2, 3).T,
    }
    safetensors.write(tmp_path / "ours", tensors, {"who": "ours"})
    package.save_file(
        {k: np.ascontiguousarray(v) for k, v in tensors.items()}, tmp_path / "theirs", {"who": "x"}
    )
    assert package.load_file(tmp_path / "ours").keys() == tensors.keys()
    for name, value in package.load_file(tmp_path / "ours").items():
        np.testing.assert_array_equal(value, tensors[name])
    for path, who in (("ours", "ours"), ("theirs", "x")):
        found, metadata = safetensors.read(tmp_path / path)
        assert metadata == {"who": who}
        for name, value in tensors.items():
            np.testing.assert_array_equal(found[name], value)
            assert found[name].dtype == value.dtype


def test_arrays_are_views_of_the_mapped_file(tmp_path):
    path = tmp_path / "large.safetensors"
    safetensors.write(path, {"a": np.zeros(2**22, np.float32)})
    tracemalloc.start()
    found, _ = safetensors.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < found["a"].nbytes // 8
    assert not found["a"].flags.writeable
    assert found["a"].flags.aligned


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "layer.safetensors"
    rnncore.RNN(2, 3, seed=0).save(path)
    before = path.read_bytes()
    with pytest.raises(DTypeError, match=r"^bad: "):
        safetensors.write(path, {"bad": np.zeros(2, complex)})
    with pytest.raises(OSError, match="No such file"):
        safetensors.write(tmp_path / "nowhere" / "file", {"a": np.zeros(2)})
    with pytest.raises(ArgumentError, match="header"):
        safetensors.write(path, {"a": np.zeros(2)}, {"long": "x" * safetensors.MAX_HEADER})
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_a_missing_file_is_an_os_error(tmp_path):
    for name in ("no.safetensors", "no.pt", "no.keras", "no.onnx"):
        with pytest.raises(FileNotFoundError):
            load(tmp_path / name)


# Hostile headers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"activations": [[[]]]},
        {"activations": [[["elu", 10**400]]]},
        {"activations": [[["elu", [1]]]]},
        {"activations": {"h": {"h": "relu"}}},
        {"activations": [["relu"]] * 3},
        {"activations": "relu"},
        {"clip": 10**400},
        {"clip": [1]},
        {"peepholes": True},
        {"coupled": 1},
        {"clips": 1},
    ],
    ids=lambda options: str(options)[:40],
)
def test_hostile_options_are_refused(tmp_path, options):
    path = tmp_path / "file.safetensors"
    rnncore.RNN(2, 3, bias=False, seed=0).save(path)
    tensors, metadata = safetensors.read(path)
    header = json.loads(metadata[native.KEY])
    header["architecture"] |= options
    safetensors.write(path, tensors, {native.KEY: json.dumps(header)})
    assert isinstance(refused(path, path.read_bytes()), FormatError)


@pytest.mark.parametrize("name", HEADERS)
def test_hostile_header_is_refused(tmp_path, name):
    error = refused(tmp_path / "file.safetensors", HEADERS[name])
    assert isinstance(error, FormatError)
    assert error.field.endswith("file.safetensors")
    assert len(str(error)) < 1000


def own_file(tmp_path, change):
    """A layer's file whose own header was changed."""
    path = tmp_path / "layer.safetensors"
    rnncore.LSTM(3, 4, seed=0).save(path)
    tensors, metadata = safetensors.read(path)
    header = json.loads(metadata[native.KEY])
    changed = change(header)
    safetensors.write(
        path, tensors, {native.KEY: changed if isinstance(changed, str) else json.dumps(changed)}
    )
    return path


def with_architecture(**fields):
    return lambda header: header | {"architecture": header["architecture"] | fields}


CHANGES = {
    "no JSON": lambda header: "{",
    "format unknown": lambda header: header | {"format": "other"},
    "newer version": lambda header: header | {"version": 2},
    "version is true": lambda header: header | {"version": True},
    "architecture is text": lambda header: header | {"architecture": "LSTM"},
    "a field lacks": lambda header: header | {"architecture": {"cell": "lstm"}},
    "billions of layers": with_architecture(num_layers=10**9),
    "sixty thousand layers": with_architecture(num_layers=60_000),
    "other size": with_architecture(hidden_size=5),
    "huge size": with_architecture(hidden_size=2**40),
    "size is text": with_architecture(input_size="3"),
    "other cell": with_architecture(cell="gru"),
    "unknown cell": with_architecture(cell="__import__"),
    "dtype is a structure": with_architecture(dtype=[["a", "f4"]]),
    "other dtype": with_architecture(dtype="float64"),
    "dropout one": with_architecture(dropout=1.0),
    "sequential without modules": lambda header: {"format": native.SEQUENTIAL, "version": 1},
    "sequential of nonsense": lambda header: {"format": native.SEQUENTIAL, "version": 1, "modules": [3]},
    "sequential of layers": lambda header: {
        "format": native.SEQUENTIAL,
        "version": 1,
        "modules": [
            {"kind": "Linear", "in_features": 2**40, "out_features": 2**40, "bias": True, "dtype": "float32"}
        ],
    },
}


@pytest.mark.parametrize("name", CHANGES)
def test_architecture_that_does_not_fit_is_refused(tmp_path, name):
    path = own_file(tmp_path, CHANGES[name])
    error = refused(path, path.read_bytes(), rnncore.load)
    assert isinstance(error, FormatError)


# Damage ----------------------------------------------------------------------------------------------------


def sound_files():
    """One sound file of every format that this machine can write: suffix -> bytes."""
    import tempfile
    from pathlib import Path

    layer, found = rnncore.GRU(3, 4, 2, seed=0), {}
    with tempfile.TemporaryDirectory() as folder:
        for suffix, package in ((".safetensors", None), (".pt", "torch"), (".onnx", "onnx")):
            if package is None or needs[package]:
                path = Path(folder) / f"model{suffix}"
                rnncore.formats.save(layer, path)
                found[suffix] = path.read_bytes()
    return found


SOUND = sound_files()


@pytest.mark.parametrize("suffix", SOUND)
@examples(60, [HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_refused_or_harmless(tmp_path, suffix, data):
    content = bytearray(SOUND[suffix])
    end = data.draw(st.integers(0, len(content)), label="cut at")
    spots = data.draw(st.lists(st.tuples(st.integers(0, max(end, 1) - 1), st.integers(0, 255)), max_size=4))
    content = content[:end]
    for place, value in spots:
        if place < end:
            content[place] = value
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(bytes(content))
    tracemalloc.start()
    try:
        said, size = read_anyway(path)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert max(peak, size) < tables.HOSTILE_BYTES
    assert len(said) < 2000


def read_anyway(path):
    """What reading a file says, and the bytes of what it gives; anything but an RnncoreError passes on."""
    try:
        found = load(path)
    except RnncoreError as error:
        return str(error), 0
    return "", sum(array.nbytes for record in found.records.values() for array in record.parameters.values())


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".keras", ".h5", ".onnx", ".pth"])
@pytest.mark.parametrize(
    "content", [b"", b"\x08", b"\x80\x04N.", b"PK\x03\x04" + bytes(60), b"\x89HDF\r\n\x1a\n", b"\0" * 99]
)
def test_other_files_are_refused(tmp_path, suffix, content):
    packages = {".pt": "torch", ".pth": "torch", ".keras": "h5py", ".h5": "h5py", ".onnx": "onnx"}
    if suffix in packages and not needs[packages[suffix]]:
        pytest.skip(f"reading {suffix} needs {packages[suffix]}")
    error = refused(tmp_path / f"file{suffix}", content)
    assert isinstance(error, FormatError)


def test_unknown_content_is_named(tmp_path):
    error = refused(tmp_path / "model.txt", b"hello")
    assert isinstance(error, FormatError)
    assert "safetensors, Keras, PyTorch, ONNX" in str(error)
