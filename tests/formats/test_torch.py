# SPDX-License-Identifier: MIT
"""PyTorch weights: every module and cell, prefixes, files, and ways back; PyTorch itself is the judge."""

import numpy as np
import pytest
import tables

import rnncore
from rnncore.errors import ArgumentError, UnsupportedError
from rnncore.formats import FormatError
from rnncore.formats import torch as weights

torch = pytest.importorskip("torch", reason="PyTorch is the oracle here")

MODULES = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "bias": False, "num_layers": 2}),
    ("LSTM", {"num_layers": 3, "bidirectional": True, "batch_first": True}),
    ("LSTM", {"proj_size": 3, "num_layers": 2, "bidirectional": True}),
    ("GRU", {"num_layers": 2, "bidirectional": True}),
    ("GRU", {"bias": False, "dtype": torch.float64}),
]
CELLS = [("RNNCell", {"nonlinearity": "relu"}), ("LSTMCell", {}), ("GRUCell", {"bias": False})]
each_module = pytest.mark.parametrize(
    ("name", "options"), MODULES, ids=lambda v: v if isinstance(v, str) else ""
)


def make(name, options):
    torch.manual_seed(0)
    return getattr(torch.nn, name)(5, 7, **options)


def assert_agrees(module, layer, name):
    x = np.random.default_rng(1).standard_normal((4, 6, 5)).astype(layer.spec.dtype)
    with torch.no_grad():
        expected, state = module(torch.from_numpy(x))
    y, own = layer(x)
    assert tables.relative_error(y, expected.numpy()) <= tables.TOLERANCES["forward", layer.spec.dtype]
    h, expected_h = (own[0], state[0]) if name == "LSTM" else (own, state)
    assert tables.relative_error(h, expected_h.numpy()) <= tables.TOLERANCES["forward", layer.spec.dtype]


@each_module
def test_live_module_and_back(name, options):
    module = make(name, options)
    layer = weights.load(module).layer()
    assert_agrees(module, layer, name)
    assert_agrees(weights.module(layer), layer, name)


@pytest.mark.parametrize(("name", "options"), CELLS, ids=lambda v: v if isinstance(v, str) else "")
def test_live_cell(name, options):
    cell = make(name, options)
    stream = weights.load(cell).layer().stream(3)
    x = np.random.default_rng(1).standard_normal((2, 3, 5)).astype(np.float32)
    state = None
    for step in x:
        with torch.no_grad():
            state = cell(torch.from_numpy(step), state)
        expected = (state[0] if name == "LSTMCell" else state).numpy()
        error = tables.relative_error(stream.step(step), expected)
        assert error <= tables.TOLERANCES["forward", np.dtype(np.float32)]


@each_module
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_files_keep_every_bit(tmp_path, name, options, suffix):
    layer = weights.load(make(name, options)).layer()
    path = tmp_path / f"model{suffix}"
    weights.save(layer, path, prefix="encoder.rnn.")
    record = weights.load(path, nonlinearity=options.get("nonlinearity")).record("encoder.rnn")
    assert record.spec.proj_size == layer.spec.proj_size
    for key, value in layer.parameters().items():
        np.testing.assert_array_equal(record.parameters[key], value)
    assert set(record.parameters) == set(layer.parameters())


def test_layers_inside_a_model_are_found_by_prefix():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(9, 5)
            self.encoder = torch.nn.LSTM(5, 7, bidirectional=True)
            self.decoder = torch.nn.GRUCell(5, 4)

    model = Model()
    for source in (model, model.state_dict()):
        found = weights.load(source)
        assert set(found.records) == {"encoder", "decoder"}
        assert found.record("encoder").spec.bidirectional
        assert len(found.other) == 1
        assert found.other[0].startswith("embedding")
        with pytest.raises(ArgumentError, match="say which"):
            found.record()
    only = weights.load(model.state_dict(), prefix="encoder.").record()
    assert only.spec.cell == "lstm"
    with pytest.raises(ArgumentError, match=r"^prefix: "):
        weights.load(model.state_dict(), prefix="head.")


def test_checkpoint_and_low_precision(tmp_path):
    module = make("LSTM", {}).to(torch.bfloat16)
    path = tmp_path / "checkpoint.pth"
    torch.save({"state_dict": module.state_dict(), "epoch": 3}, path)
    record = weights.load(path).record()
    assert record.spec.dtype == np.float32
    np.testing.assert_array_equal(
        record.parameters["weight_ih_l0"], module.weight_ih_l0.detach().float().numpy()
    )


def test_nonlinearity_is_a_noted_assumption():
    state = make("RNN", {"nonlinearity": "relu"}).state_dict()
    assert "assumed to be tanh" in weights.load(state).record().notes[0]
    assert weights.load(state, nonlinearity="relu").record().spec.nonlinearity == "relu"


def test_reset_before_gru_is_refused():
    layer = rnncore.GRU(3, 4, reset_after=False)
    with pytest.raises(UnsupportedError, match="resets before"):
        weights.state_dict(layer)


def test_incomplete_or_transposed_layers_are_named():
    state = make("LSTM", {"num_layers": 2}).state_dict()
    missing = {key: value for key, value in state.items() if not key.endswith("l0")}
    with pytest.raises(FormatError, match="some missing"):
        weights.load(missing)
    with pytest.raises(FormatError, match=r"weight_hh: .*transposed"):
        weights.load(state | {"weight_hh_l0": state["weight_hh_l0"].T})


def test_foreign_tensors_are_refused():
    state = make("GRU", {}).state_dict()
    wide = torch.zeros(1).expand(2**20, 2**20)
    with pytest.raises(UnsupportedError, match="expanded"):
        weights.load(state | {"weight_ih_l0": wide})
    integers = {key: value.to(torch.int8) for key, value in state.items()}
    assert "lose precision" in str(weights.load(integers).refused["layer"])


class Planted:
    """A pickle that would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_in_a_pickle_is_run(tmp_path):
    trap = tmp_path / "executed"
    path = tmp_path / "model.pt"
    torch.save({"weight_ih_l0": Planted(trap)}, path)
    with pytest.raises(FormatError, match="weights-only"):
        weights.load(path)
    assert not trap.exists()


CHECKPOINTS = {
    "model": lambda state: {"model": state, "epoch": 3},
    "model_state_dict": lambda state: {
        "model_state_dict": state,
        "optimizer_state_dict": {"state": {0: {"exp_avg": torch.ones(2)}}},
    },
    "lightning": lambda state: {"state_dict": state, "hyper_parameters": {"lr": 0.1}, "loops": {}},
    "nested": lambda state: {"ema": {"decay": 0.9, "net": {"weights": state}}, "best": torch.ones(1)},
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_the_state_dict_of_a_checkpoint_is_found(tmp_path, kind):
    module = make("LSTM", {})
    torch.save(CHECKPOINTS[kind](module.state_dict()), tmp_path / "checkpoint.pt")
    assert_agrees(module, rnncore.load(tmp_path / "checkpoint.pt"), "LSTM")


def test_several_state_dicts_of_a_checkpoint_have_their_places(tmp_path):
    state = make("LSTM", {}).state_dict()
    torch.save({"encoder": state, "decoder": {"rnn": state}, "step": torch.ones(1)}, tmp_path / "a.pt")
    assert list(weights.load(tmp_path / "a.pt").records) == ["encoder", "decoder.rnn"]


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, {"names": ["a"]}, [torch.ones(2)], 3], ids=repr)
def test_a_checkpoint_without_weights_is_an_error_and_no_empty_table(tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(FormatError, match="a state dict, or a checkpoint that holds one"):
        rnncore.formats.inspect(tmp_path / "a.pt")


@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("how", ["old", "new"])
def test_weight_normalization_is_computed(tmp_path, how, dim):
    module = make("GRU", {"bidirectional": True})
    normed = {"old": torch.nn.utils.weight_norm, "new": torch.nn.utils.parametrizations.weight_norm}[how]
    for name in ("weight_hh_l0", "weight_ih_l0_reverse"):
        if how == "old" and dim is None:
            pytest.skip("PyTorch's old form says -1 there")
        normed(module, name, dim=dim)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter *= 1.5
    torch.save(module.state_dict(), tmp_path / "a.pt")
    for source in (module, module.state_dict(), tmp_path / "a.pt"):
        assert_agrees(module, weights.load(source).layer(), "GRU")


def test_other_parametrizations_are_refused():
    module = make("GRU", {})
    torch.nn.utils.parametrizations.orthogonal(module, "weight_hh_l0")
    for source in (module, module.state_dict()):
        with pytest.raises(UnsupportedError, match="another parametrization"):
            weights.load(source).record()


def test_a_module_is_read_inside_normed_ones():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), make("LSTM", {}))
    torch.nn.utils.parametrizations.weight_norm(model[1], "weight_hh_l0")
    found = weights.load(model)
    assert list(found.records) == ["1"] and found.other == ["0: Linear"]


def test_layer_normalization_is_not_dropped():
    with pytest.raises(UnsupportedError, match="layer_norm"):
        weights.state_dict(rnncore.LSTM(3, 4, layer_norm=True))
