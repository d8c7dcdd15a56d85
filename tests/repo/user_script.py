# SPDX-License-Identifier: MIT
"""What a user writes, with types: CI gives it to ``mypy --strict``, the tests run it."""

import pathlib
import tempfile

import numpy as np

import rnncore


def train(
    layer: rnncore.LSTM, head: rnncore.Linear, x: np.ndarray, target: np.ndarray, steps: int
) -> list[float]:
    """The losses of a few steps of Adam."""
    optimizer = rnncore.Adam([layer, head], lr=1e-2, clip_norm=1.0)
    losses: list[float] = []
    for _ in range(steps):
        y, _state, tape = layer.forward(x, lengths=[5, 3])
        pred, head_tape = head.forward(y)
        loss, dpred = rnncore.mse_loss(pred, target)
        head_grads = head.backward(head_tape, dpred)
        grads = layer.backward(tape, head_grads.x)
        norm: float = optimizer.step([grads, head_grads])
        losses.append(loss if np.isfinite(norm) else float("nan"))
    return losses


def by_steps(layer: rnncore.LSTM, x: np.ndarray) -> np.ndarray:
    """The outputs of a stream."""
    stream: rnncore.Stream = layer.stream(batch_size=x.shape[1])
    return np.stack([stream.step(x_t) for x_t in x])


def main() -> None:
    """Train, stream, choose kernels, save and load."""
    x = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    layer, head = rnncore.LSTM(3, 4, seed=0), rnncore.Linear(4, 1, seed=1)
    losses = train(layer, head, x, np.zeros((5, 2, 1), np.float32), steps=20)
    assert losses[-1] < losses[0]

    y, (h, c) = layer(x, num_threads=1)
    assert h.shape == c.shape == (1, 2, 4)
    assert np.array_equal(by_steps(layer, x), y)
    with rnncore.use_isa(rnncore.isas()[-1]):
        assert np.array_equal(layer(x)[0], y)

    model = rnncore.nn.Sequential(
        rnncore.GRU(3, 4, seed=0), rnncore.nn.Dropout(0.1), rnncore.Linear(4, 2, seed=1)
    )
    out, tape = model.forward(x)
    weights: dict[str, np.ndarray] = model.backward(tape, np.ones_like(out)).params
    assert weights.keys() == model.parameters().keys()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.safetensors"
        model.save(path)
        assert np.array_equal(rnncore.load(path)(x), model(x))


if __name__ == "__main__":
    main()
