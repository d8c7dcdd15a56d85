# SPDX-License-Identifier: MIT
"""PyTorch as an oracle for the compiled layers on random configurations large enough for several threads, several
chunks of pre-activations and several blocks of gradient rows.

PyTorch computes in float64 throughout. `test_reference_torch.py` has smaller ones, for the twins as well.
"""

import numpy as np
import pytest
import tables
from compiled import ISAS, as_state, draw, flat, parts_of

import rnncore

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
torch.set_num_threads(1)  # its threads would spin on the cores that ours need

from test_reference_torch import TORCH_CELLS, as_module, call_module, leaf  # noqa: E402  needs torch

CONFIGURATIONS = 80


class Configuration:
    """A random layer and call, decided by its number."""

    def __init__(self, number):
        rng = np.random.default_rng([number, 1])
        self.number = number
        self.cell = TORCH_CELLS[number % len(TORCH_CELLS)]
        self.name, self.dtype = list(tables.DTYPES.items())[number // len(TORCH_CELLS) % 2]
        self.T, self.N, self.I = (int(rng.integers(1, most)) for most in (60, 20, 70))
        self.H = 2 * int(rng.integers(1, 48)) + 1
        self.options = dict(
            num_layers=int(rng.integers(1, 4)),
            bidirectional=bool(rng.integers(2)),
            bias=bool(rng.integers(4)),
            batch_first=bool(rng.integers(2)),
        )
        # PyTorch's packed sequences know no length 0.
        self.lengths = rng.integers(1, self.T + 1, self.N) if rng.integers(2) else None
        self.with_state = bool(rng.integers(2))
        self.threads = int(rng.integers(1, 4))
        self.isa = ISAS[number % len(ISAS)]

    @property
    def id(self):
        o = self.options
        sizes = f"T{self.T}N{self.N}I{self.I}H{self.H}L{o['num_layers']}D{1 + o['bidirectional']}"
        words = [self.cell.id, self.name, self.isa, sizes, f"threads{self.threads}"]
        words += ["no_bias"] * (not o["bias"]) + ["batch_first"] * o["batch_first"]
        return "-".join(words + ["ragged"] * (self.lengths is not None) + ["state"] * self.with_state)


@pytest.mark.parametrize(
    "config", [Configuration(number) for number in range(CONFIGURATIONS)], ids=lambda config: config.id
)
def test_agrees_with_torch(config):
    options = config.options | config.cell.options(config.H)
    make = getattr(rnncore, config.cell.layer)
    layer = make(config.I, config.H, dtype=config.dtype, seed=config.number, **options)
    call = draw(layer, config.T, config.N, config.number)
    with rnncore.use_isa(config.isa):
        y, final, tape = layer.forward(
            call.x,
            call.state if config.with_state else None,
            lengths=config.lengths,
            num_threads=config.threads,
        )
        grads = layer.backward(tape, call.dy, call.dstate)

    module = as_module(layer, config.cell, options)
    x, parts = leaf(call.x), [leaf(part) for part in parts_of(call.state)]
    outputs = call_module(module, x, as_state(parts) if config.with_state else None, config.lengths)
    outputs = [outputs[0], *parts_of(outputs[1])]
    gradients = [torch.tensor(array, dtype=torch.float64) for array in (call.dy, *parts_of(call.dstate))]
    torch.autograd.backward(outputs, gradients)

    forward = tables.TOLERANCES["forward", config.dtype]
    for got, expected in zip([y, *parts_of(final)], outputs, strict=True):
        assert tables.relative_error(got, expected.detach().numpy()) <= forward
    expected = {"x": x, "params": dict(module.named_parameters())}
    if config.with_state:
        expected["state"] = as_state(parts)
    else:
        del grads.state
    expected = flat(_gradients(expected))
    backward = tables.TOLERANCES["gradient", config.dtype]
    got = flat(grads)
    assert got.keys() == expected.keys()
    for path, array in got.items():
        assert tables.relative_error(array, expected[path]) <= backward, path


def _gradients(leaves):
    """The gradients of nested leaves, as arrays."""
    if isinstance(leaves, dict):
        return {name: _gradients(value) for name, value in leaves.items()}
    if isinstance(leaves, tuple):
        return tuple(map(_gradients, leaves))
    return leaves.grad.numpy()


def test_configurations_cover_what_they_promise():
    """Any cell, 1 to 3 layers, both directions, ragged rows, batch-first, both dtypes, on every instruction set."""
    configs = [Configuration(number) for number in range(CONFIGURATIONS)]
    assert {config.cell.id for config in configs} == {cell.id for cell in TORCH_CELLS}
    assert {(config.name, config.isa) for config in configs} == {
        (n, isa) for n in tables.DTYPES for isa in ISAS
    }
    assert {config.options["num_layers"] for config in configs} == {1, 2, 3}
    for name in ("bidirectional", "bias", "batch_first"):
        assert {config.options[name] for config in configs} == {False, True}
    assert {config.lengths is None for config in configs} == {False, True}
