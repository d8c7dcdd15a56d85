# SPDX-License-Identifier: MIT
"""Compiled, exported and traced graphs give the bits of eager calls."""

import copy

import pytest

torch = pytest.importorskip("torch")

from torch_twins import MODES, assert_equal, gradients, twins  # noqa: E402

import rnncore.torch  # noqa: E402
from rnncore.torch import operators  # noqa: E402

T, N, I = 4, 2, 5  # noqa: E741

modes = pytest.mark.parametrize("mode", MODES)
KINDS = {
    "plain": {},
    "deep": {"num_layers": 2, "bidirectional": True, "batch_first": True},
    "dropout": {"num_layers": 2, "dropout": 0.5},
}


@pytest.fixture(autouse=True)
def forget_graphs():
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("mode", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_calls_give_equal_bits(mode, kind):
    _, layer = twins(mode, **KINDS[kind])
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(T, N, I, requires_grad=True)
    lengths = torch.tensor([1, 2, 2, 0] if layer.batch_first else [3, 1])
    results = []
    for one in (layer, compiled):
        torch.manual_seed(5)
        result = one(x, lengths=lengths)
        results.append([*result, gradients(layer, result, x)])
    assert_equal(results[1], results[0])
    layer.eval()
    with torch.no_grad():
        assert_equal(compiled(x, lengths=lengths), layer(x, lengths=lengths))


def test_a_compiled_model_that_accelerate_took():
    model = torch.nn.Sequential(torch.nn.Linear(I, I), torch.nn.GRU(I, 3))
    rnncore.torch.accelerate(model)
    x = torch.randn(T, N, I)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert_equal(gradients(model, compiled(x)), gradients(model, model(x)))


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_compiled_cells_give_equal_bits(name):
    cell = getattr(rnncore.torch, name)(3, 4)
    compiled = torch.compile(cell, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 3)
    assert_equal(compiled(x), cell(x))
    assert_equal(gradients(cell, compiled(x)), gradients(cell, cell(x)))


@pytest.mark.full
def test_compiled_scans_give_equal_bits():
    layer, x = rnncore.torch.MinLSTM(I, 4, bidirectional=True), torch.randn(T, N, I)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert_equal(gradients(layer, compiled(x)), gradients(layer, layer(x)))


@modes
@pytest.mark.parametrize("strict", [False, True])
def test_exported_programs_give_equal_bits(mode, strict):
    _, layer = twins(mode, bidirectional=True)
    x = torch.randn(T, N, I)
    program = torch.export.export(layer.eval(), (x,), strict=strict)
    with torch.no_grad():
        assert_equal(program.module()(x), layer(x))
        other = torch.randn(T, N, I)
        assert_equal(program.module()(other), layer(other))


def test_exported_programs_take_other_lengths():
    _, layer = twins("gru")
    steps = torch.export.Dim("steps", min=2, max=100)
    x = torch.randn(T, N, I)
    program = torch.export.export(layer.eval(), (x,), dynamic_shapes=({0: steps},))
    other = torch.randn(9, N, I)
    with torch.no_grad():
        assert_equal(program.module()(other), layer(other))


def test_traced_modules_give_equal_bits():
    _, layer = twins("lstm")
    x, other = torch.randn(T, N, I), torch.randn(T, N, I)
    with torch.no_grad():
        traced = torch.jit.trace(layer.eval(), x)
        assert_equal(traced(other), layer(other))


# Operators -------------------------------------------------------------------------------------------------


def operands(mode, ragged, state):
    """Arguments of `record` up to the weights, and the plan of the layer."""
    _, layer = twins(mode, torch.float64, num_layers=2, bidirectional=True)
    x = torch.randn(T, N, I, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([3, 2]) if ragged else None
    h = torch.randn(4, N, layer.proj_size or 7, dtype=torch.float64, requires_grad=True) if state else None
    c = torch.randn(4, N, 7, dtype=torch.float64, requires_grad=True) if state and mode in PAIRS else None
    return x, h, c, lengths, list(layer.parameters()), layer._plans[torch.float64, True]


PAIRS = ("lstm", "projected")


@pytest.mark.parametrize(
    "mode",
    [mode if mode in ("lstm", "gru") else pytest.param(mode, marks=pytest.mark.full) for mode in MODES],
)
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("state", [False, True])
def test_operators_are_registered_well(mode, ragged, state):
    x, h, c, lengths, weights, plan = operands(mode, ragged, state)
    checked = torch.library.opcheck(
        operators.record_operator, (x, h, c, lengths, None, weights, plan.text, 0.0)
    )
    assert set(checked.values()) == {"SUCCESS"}
    plain = [None if tensor is None else tensor.detach() for tensor in (x, h, c, lengths)]
    checked = torch.library.opcheck(
        operators.run_operator, (*plain, [w.detach() for w in weights], plan.text)
    )
    assert set(checked.values()) == {"SUCCESS"}


def test_tapes_go_with_the_output():
    x, h, c, lengths, weights, plan = operands("lstm", False, False)
    before = dict(operators._tapes)
    results = operators.record_operator(x, h, c, lengths, None, weights, plan.text, 0.0)
    assert len(operators._tapes) == len(before) + 1
    del results
    assert operators._tapes == before


def test_operators_run_backward_twice():
    x, h, c, lengths, weights, plan = operands("gru", True, True)
    y, *_ = operators.record_operator(x, h, c, lengths, None, weights, plan.text, 0.0)
    first = torch.autograd.grad(y.sum(), [x, h, *weights], retain_graph=True)
    assert_equal(torch.autograd.grad(y.sum(), [x, h, *weights]), first)


def test_copies_compile():
    _, layer = twins("rnn")
    other = copy.deepcopy(layer)
    x = torch.randn(T, N, I)
    assert_equal(torch.compile(other, fullgraph=True, backend="aot_eager")(x), layer(x))
