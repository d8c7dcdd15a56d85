# SPDX-License-Identifier: MIT
"""PyTorch as an oracle for the forward pass and all gradients, on random configurations.

The same configurations run on the twins and, where they are built, on the compiled layers.  PyTorch computes
in float64 throughout.  GRU with reset before the product is not in PyTorch; other tests cover it.
"""

import numpy as np
import pytest
import tables
from compiled import as_state, parts_of

from rnncore.spec import masks

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from pytorch import CELLS, as_module, call_module, leaf  # noqa: E402  needs torch

CONFIGURATIONS = 60


class Configuration:
    """A random layer and call, decided by its number."""

    def __init__(self, number):
        rng = np.random.default_rng(number)
        self.cell = CELLS[number % len(CELLS)]
        self.dtype = list(tables.DTYPES.values())[number // len(CELLS) % 2]
        self.T, self.N, self.I = (int(v) for v in rng.integers(1, 9, 3))
        self.H = int(rng.integers(2, 20))
        flag = lambda p=0.5: bool(rng.random() < p)  # noqa: E731
        self.options = dict(
            num_layers=int(rng.integers(1, 4)),
            bidirectional=flag(),
            bias=flag(0.8),
            batch_first=flag(),
            **self.cell.options(self.H),
        )
        self.unbatched = flag(0.15)
        # PyTorch's packed sequences know neither length 0 nor unbatched input.
        self.ragged = flag() and not self.unbatched
        self.lengths = rng.integers(1, self.T + 1, self.N) if self.ragged else None
        self.with_state = flag()
        self.rng = rng

    @property
    def id(self):
        o = self.options
        words = [self.cell.id, f"f{8 * self.dtype.itemsize}"]
        words.append(f"T{self.T}N{self.N}I{self.I}H{self.H}L{o['num_layers']}D{1 + o['bidirectional']}")
        words += ["no_bias"] * (not o["bias"]) + ["batch_first"] * o["batch_first"]
        words += ["unbatched"] * self.unbatched + ["ragged"] * self.ragged + ["state"] * self.with_state
        return "-".join(words)

    def draw(self, shape):
        return self.rng.standard_normal(shape).astype(self.dtype)

    def arrays(self, layer):
        """x, the initial state's parts, dy and dstate."""
        sizes = (self.N, self.T) if self.options["batch_first"] else (self.T, self.N)
        shapes = layer.spec.state_shapes(self.N)
        if self.unbatched:
            sizes, shapes = (self.T,), [(slots, features) for slots, _, features in shapes]
        x, dy = self.draw((*sizes, self.I)), self.draw((*sizes, layer.spec.y_size))
        return x, [self.draw(shape) for shape in shapes], dy, [self.draw(shape) for shape in shapes]


@pytest.mark.parametrize("number", range(CONFIGURATIONS), ids=lambda number: Configuration(number).id)
def test_agrees_with_torch(implementation, number):
    config = Configuration(number)
    make = getattr(implementation, config.cell.layer)
    layer = make(config.I, config.H, dtype=config.dtype, seed=number, **config.options)
    x, parts, dy, dparts = config.arrays(layer)
    state = as_state(parts) if config.with_state else None
    y, final, tape = layer.forward(x, state, lengths=config.lengths)
    grads = layer.backward(tape, dy, as_state(dparts))

    module = as_module(layer, config.cell, config.options)
    tx, tparts = leaf(x), [leaf(part) for part in parts]
    ty, tfinal = call_module(module, tx, as_state(tparts) if config.with_state else None, config.lengths)
    outputs = [ty, *parts_of(tfinal)]
    torch.autograd.backward(outputs, [torch.tensor(np.asarray(a, np.float64)) for a in (dy, *dparts)])

    forward = tables.TOLERANCES["forward", config.dtype]
    for got, expected in zip([y, *parts_of(final)], outputs, strict=True):
        assert tables.relative_error(got, expected.detach().numpy()) <= forward
    backward = tables.TOLERANCES["gradient", config.dtype]
    assert tables.relative_error(grads.x, tx.grad.numpy()) <= backward
    if config.with_state:
        for got, expected in zip(parts_of(grads.state), tparts, strict=True):
            assert tables.relative_error(got, expected.grad.numpy()) <= backward
    for name, parameter in module.named_parameters():
        assert tables.relative_error(grads.params[name], parameter.grad.numpy()) <= backward, name


@pytest.mark.parametrize("both", [False, True], ids=["D1", "D2"])
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_dropout_agrees_with_torch_layers_and_our_mask(implementation, cell, both):
    """Two single PyTorch layers with our mask between them make one layer with dropout."""
    T, N, I, H, p = 5, 3, 4, 6, 0.3  # noqa: E741
    options = dict(bidirectional=both, **cell.options(H))
    layer = getattr(implementation, cell.layer)(
        I, H, 2, dropout=p, batch_first=True, dtype="float64", seed=4, **options
    )
    x = np.random.default_rng(5).standard_normal((N, T, I))
    y, _, tape = layer.forward(x)
    dy = np.random.default_rng(6).standard_normal(y.shape)
    grads = layer.backward(tape, dy)

    F = layer.spec.y_size
    keep = masks.keep_mask(tape.call_key, 0, (T, N, F), p)
    assert 0 < keep.sum() < keep.size
    mask = torch.tensor(np.where(keep, 1 / (1 - p), 0.0).swapaxes(0, 1))
    tx, modules = leaf(x), []
    ty = tx
    for k, width in enumerate((I, F)):
        module = getattr(torch.nn, cell.layer)(width, H, batch_first=True, dtype=torch.float64, **options)
        values = {name: value for name, value in layer.state_dict().items() if f"_l{k}" in name}
        module.load_state_dict({name.replace("_l1", "_l0"): torch.tensor(v) for name, v in values.items()})
        modules.append(module)
        ty, _ = module(ty if k == 0 else ty * mask)
    ty.backward(torch.tensor(dy))

    dtype = np.dtype(np.float64)
    assert tables.relative_error(y, ty.detach().numpy()) <= tables.TOLERANCES["forward", dtype]
    assert tables.relative_error(grads.x, tx.grad.numpy()) <= tables.TOLERANCES["gradient", dtype]
    for k, module in enumerate(modules):
        for name, parameter in module.named_parameters():
            got = grads.params[name.replace("_l0", f"_l{k}")]
            assert tables.relative_error(got, parameter.grad.numpy()) <= tables.TOLERANCES["gradient", dtype]
