# SPDX-License-Identifier: MIT
"""PyTorch as an oracle, in float64: its modules, and step by step where masks lie inside a layer."""

import numpy as np
import tables
import torch

from rnncore.spec import masks

torch.set_num_threads(1)  # its threads would spin on the cores that ours need

# GRU with the reset gate before the product, peepholes, clipping and other functions are not in PyTorch.
STEPS = [cell for cell in tables.CELLS if set(dict(cell.fixed)) <= {"nonlinearity"}]
CELLS = [cell for cell in STEPS if hasattr(torch.nn, cell.layer)]


def leaf(array):
    """A float64 tensor that collects its gradient."""
    return torch.tensor(np.asarray(array, np.float64), requires_grad=True)


def as_module(layer, cell, options):
    """The same layer in PyTorch, in float64."""
    spec = layer.spec
    module = getattr(torch.nn, cell.layer)(spec.input_size, spec.hidden_size, dtype=torch.float64, **options)
    assert list(module.state_dict()) == list(layer.state_dict()), "PyTorch's names in PyTorch's order"
    module.load_state_dict({name: torch.tensor(value) for name, value in layer.state_dict().items()})
    return module


def call_module(module, x, state, lengths):
    """Run, through a packed sequence if ragged (all lengths above 0)."""
    if lengths is None:
        return module(x, state)
    first = module.batch_first
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), first, enforce_sorted=False)
    packed_y, state = module(packed, state)
    total = x.shape[1 if first else 0]
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(packed_y, first, total_length=total)
    return y, state


# Step by step ----------------------------------------------------------------------------------------------


def _step(spec, a, r, w, h, c):
    """(h, c) after a step from the input's and the recurrent product, biases included, and h and c before it."""
    if spec.cell == "rnn":
        return (a + r).tanh() if spec.nonlinearity == "tanh" else (a + r).relu(), c
    if spec.cell == "gru":
        (ar, az, an), (rr, rz, rn) = a.chunk(3, 1), r.chunk(3, 1)
        z = (az + rz).sigmoid()
        return (1 - z) * (an + (ar + rr).sigmoid() * rn).tanh() + z * h, c
    if spec.cell == "min_gru":
        z, n = a.chunk(2, 1)
        return torch.lerp(h, n, z.sigmoid()), c
    if spec.cell == "min_lstm":
        i, f, g = a.chunk(3, 1)
        sums = i.sigmoid() + f.sigmoid()
        return f.sigmoid() / sums * h + i.sigmoid() / sums * g, c
    i, f, g, o = (a + r).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return (h @ w["weight_hr"].T if spec.proj_size else h), c


def _run_direction(spec, x, w, state, valid, kept, reverse):
    """Outputs (T, N, P or H), 0 at padding, and the final state of one direction of a layer."""
    a = x @ w["weight_ih"].T + w.get("bias_ih", 0.0)
    h, c = state if len(state) == 2 else (state[0], state[0])
    outputs = [None] * len(x)
    for t in reversed(range(len(x))) if reverse else range(len(x)):
        r = (h * kept) @ w["weight_hh"].T + w.get("bias_hh", 0.0) if spec.is_recurrent else None
        next_h, next_c = _step(spec, a[t], r, w, h, c)
        h, c = torch.where(valid[t], next_h, h), torch.where(valid[t], next_c, c)
        outputs[t] = torch.where(valid[t], next_h, 0.0)
    return torch.stack(outputs), (h, c)[: len(state)]


def run_steps(layer, parameters, x, state, lengths, key, between=0.0, recurrent=0.0, weight=0.0):
    """A training call of `layer` as plain PyTorch operations with the masks of the call with this key.

    Parameters
    ----------
    parameters : dict of str to tensor
    x : tensor, in the layer's layout
    state : tuple of tensors
    lengths : ints (N,) or None
    key : int or None
    between, recurrent, weight : float
        The three probabilities.

    Returns
    -------
    list of tensors
        y and the parts of the final state.
    """
    spec = layer.spec
    y = x.swapaxes(0, 1) if spec.batch_first else x
    T, N = y.shape[:2]
    valid = torch.from_numpy(np.arange(T)[:, None] < (np.full(N, T) if lengths is None else lengths))[
        ..., None
    ]

    def kept(number, shape, p):
        return torch.from_numpy(masks.keep_mask(key, number, shape, p) / (1 - p)) if p else 1.0

    finals, kept_h = [], None
    for k in range(spec.num_layers):
        if k:
            y = y * kept(k - 1, tuple(y.shape), between)
        outputs = []
        for slot in range(k * spec.directions, (k + 1) * spec.directions):
            suffix = spec.suffixes()[slot]
            w = {
                name.removesuffix(suffix): value
                for name, value in parameters.items()
                if name.endswith(suffix)
            }
            if spec.is_recurrent:
                w["weight_hh"] = w["weight_hh"] * kept(
                    masks.WEIGHT + slot, tuple(w["weight_hh"].shape), weight
                )
                kept_h = kept(masks.RECURRENT + slot, (N, spec.output_size), recurrent)
            start = tuple(part[slot] for part in state)
            out, final = _run_direction(spec, y, w, start, valid, kept_h, slot % spec.directions == 1)
            outputs.append(out)
            finals.append(final)
        y = torch.cat(outputs, dim=-1)
    return [y.swapaxes(0, 1) if spec.batch_first else y, *map(torch.stack, zip(*finals, strict=True))]


def gradients(outputs, upstream, leaves):
    """Gradients of nested leaves, as arrays, from the gradients of the outputs (None: zeros)."""
    pairs = [
        (y, torch.tensor(np.asarray(dy, np.float64)))
        for y, dy in zip(outputs, upstream, strict=True)
        if dy is not None
    ]
    torch.autograd.backward(*map(list, zip(*pairs, strict=True)))
    return as_gradients(leaves)


def as_gradients(leaves):
    """What nested leaves have collected, as arrays; zeros where nothing reached them."""
    if isinstance(leaves, dict):
        return {name: as_gradients(value) for name, value in leaves.items()}
    if isinstance(leaves, tuple):
        return tuple(map(as_gradients, leaves))
    return np.zeros(leaves.shape) if leaves.grad is None else leaves.grad.numpy()
