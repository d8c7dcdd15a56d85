# SPDX-License-Identifier: MIT
"""Models taken over in place, given back, and run where models run: workers, processes, whole architectures."""

import copy
import sys

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn.utils import parametrizations, prune  # noqa: E402
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402
from torch_models import MODELS, replica  # noqa: E402
from torch_twins import assert_close, assert_equal, gradients, loss  # noqa: E402

import rnncore.torch  # noqa: E402

TAKEN = [nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell]


@pytest.mark.parametrize("kind", TAKEN)
def test_a_model_is_taken_and_given_back(kind):
    model = nn.ModuleDict({"a": kind(3, 4), "b": nn.Linear(4, 4)})
    x = torch.randn(5, 3)
    expected = model["a"](x)
    assert rnncore.torch.accelerate(model).taken == {"a": kind.__name__}
    assert type(model["a"]) is getattr(rnncore.torch, kind.__name__)
    assert_close(model["a"](x), expected)
    names = set(model["a"].__dict__)
    rnncore.torch.restore(model)
    assert type(model["a"]) is kind and names > set(model["a"].__dict__) >= set(kind(3, 4).__dict__)
    assert_equal(model["a"](x), expected)


def test_everything_of_a_module_stays():
    model = nn.Sequential(nn.LSTM(3, 4, num_layers=2, dropout=0.2))
    seen = []
    model[0].register_forward_hook(lambda module, args, result: seen.append(result[0].shape))
    parameters, state = list(model.parameters()), model.state_dict()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    rnncore.torch.accelerate(model)
    assert all(one is other for one, other in zip(model.parameters(), parameters, strict=True))
    assert list(model.state_dict()) == list(state)
    before = copy.deepcopy(parameters)
    loss(model(torch.randn(5, 2, 3))).backward()
    optimiser.step()
    assert seen == [(5, 2, 4)]
    assert all(not torch.equal(one, other) for one, other in zip(model.parameters(), before, strict=True))


class Own(nn.GRU):
    """A layer that may do something else."""


def replaced():
    layer = nn.GRU(3, 4)
    layer.forward = lambda x: x
    return layer


LEFT = {
    "subclass": (lambda: Own(3, 4), "Own is a subclass or parametrised"),
    "parametrised": (
        lambda: parametrizations.weight_norm(nn.LSTM(3, 4), "weight_hh_l0"),
        "ParametrizedLSTM is a subclass or parametrised",
    ),
    "half": (lambda: nn.LSTM(3, 4).half(), "weight_ih_l0 is torch.float16"),
    "meta": (lambda: nn.RNN(3, 4, device="meta"), "weight_ih_l0 is on meta"),
    "replaced": (replaced, "its forward was replaced"),
    "all_dropped": (lambda: nn.GRU(3, 4, 2, dropout=1.0), "dropout: expected"),
    "pruned": (
        lambda: prune.l1_unstructured(nn.GRU(3, 4), "weight_hh_l0", 0.5),
        "its weights are computed by a hook",
    ),
}


@pytest.mark.parametrize("case", LEFT)
def test_what_is_left_says_why(case):
    make, reason = LEFT[case]
    model = nn.ModuleDict({"one": make(), "other": nn.GRU(3, 4)})
    kind, names = type(model["one"]), set(model["one"].__dict__)
    report = rnncore.torch.accelerate(model)
    assert report.taken == {"other": "GRU"} and list(report.left) == ["one"]
    assert report.left["one"].startswith(reason)
    assert str(report) == f"taken: other (GRU)\nleft:  one: {report.left['one']}"
    assert type(model["one"]) is kind and set(model["one"].__dict__) == names


def test_reports_of_models_without_work():
    assert str(rnncore.torch.accelerate(nn.Linear(3, 4))) == "no recurrent layer"
    layer = nn.GRU(3, 4)
    assert str(rnncore.torch.accelerate(layer)) == "taken: the model itself (GRU)"
    assert rnncore.torch.accelerate(layer).taken == {}  # a second time


def test_layers_with_options_are_not_given_back():
    layer = rnncore.torch.LSTM(3, 4, peepholes=True)
    rnncore.torch.restore(layer)
    assert type(layer) is rnncore.torch.LSTM


# Architectures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_architectures_give_equal_outputs(name):
    torch.manual_seed(0)
    model, inputs = MODELS[name]()
    theirs = copy.deepcopy(model)
    report = rnncore.torch.accelerate(model)
    assert report.taken and not report.left
    got, expected = model(*inputs), theirs(*inputs)
    assert_close(got, expected)
    assert_close(gradients(model, got), gradients(theirs, expected), "gradient")
    with torch.no_grad():
        assert_close(model.eval()(*inputs), theirs.eval()(*inputs))


# Workers and processes -------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def nameless_main(monkeypatch):
    """A spawned process does not run the script again that started these tests; it may have no guard."""
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)


class Outputs(torch.utils.data.Dataset):
    """What a layer gives for each of four inputs."""

    def __init__(self, layer):
        self.layer = layer

    def __len__(self):
        return 4

    def __getitem__(self, index):
        with torch.no_grad():
            return self.layer(torch.full((3, 5), index / 4))[0]


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.full)])
def test_workers_of_a_loader_call_layers(start):
    data = Outputs(rnncore.torch.GRU(5, 7).eval())
    expected = torch.stack([data[k] for k in range(4)])
    loader = torch.utils.data.DataLoader(data, batch_size=4, num_workers=2, multiprocessing_context=start)
    assert_equal(list(loader), [expected])


@pytest.mark.full
def test_two_processes_average_their_gradients(tmp_path):
    torch.multiprocessing.spawn(replica, args=(2, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert_equal(first, second)
    torch.manual_seed(0)
    layer = nn.LSTM(3, 4)
    for rank in range(2):
        torch.manual_seed(rank + 1)
        (layer(torch.randn(5, 2, 3))[0].square().sum() / 2).backward()
    assert_close(first, [weight.grad for weight in layer.parameters()], "gradient")


def test_packed_sequences_through_a_taken_model():
    layer = nn.LSTM(3, 4, bidirectional=True)
    x = pack_padded_sequence(torch.randn(5, 2, 3), [5, 2])
    expected = pad_packed_sequence(layer(x)[0])[0]
    rnncore.torch.accelerate(layer)
    assert_close(pad_packed_sequence(layer(x)[0])[0], expected)
