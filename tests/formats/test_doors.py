# SPDX-License-Identifier: MIT
"""`rnncore.load` knows a file by its content, `rnncore.save` writes by its ending; what is written is whole."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import rnncore
from rnncore import errors, formats, nn
from rnncore.formats import files, safetensors

ENDINGS = {
    ".safetensors": None,
    ".pt": "torch",
    ".pth": "torch",
    ".onnx": "onnx",
    ".keras": "keras",
    ".h5": "keras",
}
X = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)


def layer():
    return rnncore.LSTM(3, 4, seed=0)


def same(again, x=X):
    """Whether a loaded layer or chain gives what `layer()` gives."""
    first = isinstance(again, nn.Sequential)
    recurrent = again[0].layer if first else again
    turned = recurrent.spec.batch_first
    y = again(x.swapaxes(0, 1) if turned else x)
    y = y if first else y[0]
    return np.array_equal(y.swapaxes(0, 1) if turned else y, layer()(x)[0])


@pytest.mark.parametrize("ending", ENDINGS)
def test_save_writes_by_the_ending_and_load_reads_by_the_content(tmp_path, ending):
    if ENDINGS[ending]:
        pytest.importorskip(ENDINGS[ending])
    path = tmp_path / f"layer{ending}"
    layer().save(path)
    assert same(rnncore.load(path))
    for name in ("other.txt", "nothing", "lie.onnx", "lie.safetensors", "lie.pt", "lie.keras"):
        (tmp_path / name).write_bytes(path.read_bytes())
        assert same(rnncore.load(tmp_path / name))
    assert isinstance(formats.load(path), formats.Contents)


@pytest.mark.parametrize("name", ["layer", "layer.txt", "layer.bin", "layer.hdf5", "layer.npz", ".onnx"])
def test_an_ending_that_says_no_format_is_refused(tmp_path, name):
    for save in (layer().save, lambda path: rnncore.save(layer(), path)):
        with pytest.raises(errors.ArgumentError, match=r"an ending of \.safetensors, \.keras"):
            save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


MODULES = {
    "linear": lambda: nn.Linear(3, 2, bias=False, seed=0),
    "embedding": lambda: nn.Embedding(3, 2, seed=0),
    "norm": lambda: nn.LayerNorm(3, eps=0.25),
    "activation": lambda: nn.Activation("elu", 0.5),
    "scaled": lambda: nn.Activation("scaled_tanh", beta=0.5),
    "softmax": lambda: nn.Softmax(),
    "dropout": lambda: nn.Dropout(0.25),
    "attention": lambda: nn.Attention(True, 0.5),
    "recurrent": lambda: nn.Recurrent(layer(), order="reverse", return_sequences=False),
    "chain": lambda: nn.Sequential(
        layer(), nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Linear(4, 1, seed=2)))
    ),
    "nothing": lambda: nn.Sequential(),
}


@pytest.mark.parametrize("name", MODULES)
def test_every_module_there_and_back(tmp_path, name):
    module, path = MODULES[name](), tmp_path / "module.safetensors"
    module.save(path)
    again = rnncore.load(path)
    assert repr(again) == repr(module) and type(again) is type(module)
    assert list(again.parameters()) == list(module.parameters())
    for key, value in module.parameters().items():
        np.testing.assert_array_equal(again.parameters()[key], value)
    if name != "nothing":
        assert len(formats.inspect(path)) == (3 if name == "chain" else 1)


def test_a_table_is_never_empty(tmp_path):
    nn.Sequential().save(tmp_path / "a.safetensors")
    safetensors.write(tmp_path / "b.safetensors", {})
    for name in ("a.safetensors", "b.safetensors"):
        with pytest.raises(errors.FormatError, match="got one that holds none"):
            formats.inspect(tmp_path / name)


@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if ending != ".safetensors"])
def test_what_only_our_files_hold_is_refused_elsewhere(tmp_path, ending):
    with pytest.raises(errors.UnsupportedError, match=r"a recurrent layer, got Sequential .*safetensors"):
        rnncore.save(nn.Sequential(layer()), tmp_path / f"model{ending}")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_module_is_named(tmp_path):
    with pytest.raises(errors.ArgumentError, match="a layer or a module, got dict"):
        rnncore.save({}, tmp_path / "a.safetensors")


def state(*prefixes):
    return {f"{prefix}.{name}": a for prefix in prefixes for name, a in layer().state_dict().items()}


def test_a_file_of_several_layers_wants_a_name(tmp_path):
    safetensors.write(tmp_path / "two.safetensors", state("one", "two"))
    with pytest.raises(errors.ArgumentError, match="name: expected one of one, two, got none"):
        rnncore.load(tmp_path / "two.safetensors")
    assert same(rnncore.load(tmp_path / "two.safetensors", name="two"))
    with pytest.raises(errors.ArgumentError, match="got 'three'"):
        rnncore.load(tmp_path / "two.safetensors", name="three")


def test_what_is_no_part_of_the_layer_is_not_dropped_without_a_word(tmp_path):
    safetensors.write(
        tmp_path / "more.safetensors", state("rnn") | {"head.weight": np.zeros((2, 4), np.float32)}
    )
    with pytest.raises(errors.ArgumentError, match=r"name: expected 'rnn', if the layer alone.*head\.weight"):
        rnncore.load(tmp_path / "more.safetensors")
    assert same(rnncore.load(tmp_path / "more.safetensors", name="rnn"))


def test_a_layer_of_our_chain_is_loaded_by_its_place(tmp_path):
    nn.Sequential(nn.Softmax(), nn.Sequential(nn.Softmax(), layer())).save(tmp_path / "a.safetensors")
    assert same(rnncore.load(tmp_path / "a.safetensors", name="1.1"))


def test_a_twin_is_loaded_as_one(tmp_path):
    layer().save(tmp_path / "a.safetensors")
    assert isinstance(rnncore.load(tmp_path / "a.safetensors", rnncore.reference), rnncore.reference.LSTM)


def test_a_file_of_another_kind_of_ours_is_named(tmp_path):
    safetensors.write(tmp_path / "a.safetensors", state("rnn"), {"rnncore": '{"format": "rnncore.ensemble"}'})
    with pytest.raises(errors.FormatError, match=r"a file of a layer or a module, got rnncore\.ensemble"):
        rnncore.load(tmp_path / "a.safetensors")


# Writing ---------------------------------------------------------------------------------------------------


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def fail_halfway(path, error):
    with files.replacing(path) as draft:
        draft.write_text("half")
        raise error


def test_a_block_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            fail_halfway(path, error)
    assert names(tmp_path) == ["file"] and path.read_text() == "old"


KILLED = """
import os, signal, sys
from rnncore.formats import files
with files.replacing(sys.argv[1]) as draft:
    draft.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_save_removes_what_a_killed_process_left(tmp_path):
    path, other = tmp_path / "layer.safetensors", tmp_path / "other.safetensors"
    for target in (path, path, other):
        done = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
        assert done.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 2  # the second one has removed what the first left
    layer().save(path)
    left = names(tmp_path)
    assert left[-1] == path.name and len(left) == 2 and left[0].endswith("-other.safetensors")
    layer().save(other)
    assert names(tmp_path) == [path.name, other.name]


def test_drafts_of_the_living_stay(tmp_path):
    """Of another process, of this one, and of another machine, whose processes are not known here."""
    path = tmp_path / "file"
    with files.replacing(path) as mine, files.replacing(path) as second:
        mine.write_text("mine")
        second.write_text("second")
        living = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-"))
        elsewhere = mine.with_name(f".rnncore-00000000-{2**22 + 1}-0-file")
        earlier = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{os.getpid()}-99"))
        for stray in (living, elsewhere, earlier):
            stray.write_text("x")
        with files.replacing(path) as third:
            third.write_text("third")
        assert living.exists() and elsewhere.exists() and not earlier.exists()
        assert path.read_text() == "third" and mine.exists() and second.exists()
    assert path.read_text() == "mine"
    assert names(tmp_path) == sorted([living.name, elsewhere.name, "file"])


def test_threads_that_save_to_one_place_leave_one_whole_file(tmp_path):
    layers, path = [rnncore.GRU(3, 4, seed=k) for k in range(4)], tmp_path / "layer.safetensors"

    def save(one):
        for _ in range(10):
            one.save(path)

    threads = [threading.Thread(target=save, args=(one,)) for one in layers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = rnncore.load(path).state_dict()
    assert names(tmp_path) == [path.name]
    assert any(all(np.array_equal(got[name], a) for name, a in one.state_dict().items()) for one in layers)
