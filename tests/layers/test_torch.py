# SPDX-License-Identifier: MIT
"""PyTorch as an oracle for the compiled layers on random configurations large enough for several threads, several
chunks of pre-activations and several blocks of gradient rows.

PyTorch computes in float64 throughout. `test_reference_torch.py` has smaller ones, for the twins as well.
"""

import numpy as np
import pytest
import tables
from compiled import ISAS, as_state, assert_near, draw, parts_of

import rnncore

pytest.importorskip("torch", reason="PyTorch is not installed")

import pytorch

CONFIGURATIONS = 80


class Configuration:
    """A random layer and call, decided by its number."""

    def __init__(self, number):
        rng = np.random.default_rng([number, 1])
        self.number = number
        self.cell = pytorch.CELLS[number % len(pytorch.CELLS)]
        self.name, self.dtype = list(tables.DTYPES.items())[number // len(pytorch.CELLS) % 2]
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

    module = pytorch.as_module(layer, config.cell, options)
    x, parts = pytorch.leaf(call.x), [pytorch.leaf(part) for part in parts_of(call.state)]
    outputs = pytorch.call_module(module, x, as_state(parts) if config.with_state else None, config.lengths)
    outputs = [outputs[0], *parts_of(outputs[1])]
    leaves = {"x": x, "params": dict(module.named_parameters())}
    if config.with_state:
        leaves["state"] = as_state(parts)
    else:
        del grads.state
    expected = pytorch.gradients(outputs, (call.dy, *parts_of(call.dstate)), leaves)
    assert_near("forward", config.dtype, [y, *parts_of(final)], [part.detach().numpy() for part in outputs])
    assert_near("gradient", config.dtype, vars(grads), expected)


def test_configurations_cover_what_they_promise():
    """Any cell, 1 to 3 layers, both directions, ragged rows, batch-first, both dtypes, on every instruction set."""
    configs = [Configuration(number) for number in range(CONFIGURATIONS)]
    assert {config.cell.id for config in configs} == {cell.id for cell in pytorch.CELLS}
    assert {(config.name, config.isa) for config in configs} == {
        (n, isa) for n in tables.DTYPES for isa in ISAS
    }
    assert {config.options["num_layers"] for config in configs} == {1, 2, 3}
    for name in ("bidirectional", "bias", "batch_first"):
        assert {config.options[name] for config in configs} == {False, True}
    assert {config.lengths is None for config in configs} == {False, True}
