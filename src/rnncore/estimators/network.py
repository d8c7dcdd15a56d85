# SPDX-License-Identifier: MIT
"""The network of the estimators: recurrent layers, what is kept of their outputs, a linear map.

    y, h = layers(x),   p = pool(y, h),   outputs = W p + b

Pools: "last" is the state of the last layer after a sequence's last step, of both directions; "mean" the mean of its
outputs over the sequence's steps; "next" the output of every step that has a next one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .. import layers
from ..engine import sums
from ..nn import Adam, Batch, Dropout, Linear
from ..nn.order import drawing, keyed, keys_of
from ..spec import CELLS
from .sequences import Sequences


class Outputs(NamedTuple):
    """What a pool reads: y (T, N, D*H), h (L*D, N, H), lengths (N,)."""

    y: np.ndarray
    h: np.ndarray
    lengths: np.ndarray


def _last(outputs: Outputs) -> np.ndarray:
    directions = outputs.y.shape[2] // outputs.h.shape[2]
    return np.concatenate(outputs.h[-directions:], axis=-1)


def _last_slopes(dpooled: np.ndarray, outputs: Outputs) -> tuple[np.ndarray | None, np.ndarray | None]:
    dh = np.zeros_like(outputs.h)
    directions = outputs.y.shape[2] // outputs.h.shape[2]
    dh[-directions:] = np.split(dpooled, directions, axis=-1)
    return None, dh


def _mean(outputs: Outputs) -> np.ndarray:
    T, N, F = outputs.y.shape
    # Outputs at padding are zero.
    return sums.add_rows(outputs.y.reshape(T, N * F))[0].reshape(N, F) * _share(outputs)


def _mean_slopes(dpooled: np.ndarray, outputs: Outputs) -> tuple[np.ndarray | None, np.ndarray | None]:
    return np.broadcast_to(dpooled * _share(outputs), outputs.y.shape), None


def _share(outputs: Outputs) -> np.ndarray:
    return (1 / outputs.lengths[:, np.newaxis]).astype(outputs.y.dtype)


def has_next(T: int, lengths: np.ndarray) -> np.ndarray:
    """Which steps have a next one, (T, N)."""
    return np.arange(1, T + 1)[:, np.newaxis] < lengths


def _next(outputs: Outputs) -> np.ndarray:
    return outputs.y[has_next(len(outputs.y), outputs.lengths)]


def _next_slopes(dpooled: np.ndarray, outputs: Outputs) -> tuple[np.ndarray | None, np.ndarray | None]:
    dy = np.zeros_like(outputs.y)
    dy[has_next(len(dy), outputs.lengths)] = dpooled
    return dy, None


class Pool(NamedTuple):
    """One row of POOLS: what is kept of the outputs, and the gradients (dy, dh) from that of what was kept."""

    value: Callable[[Outputs], np.ndarray]
    slopes: Callable[[np.ndarray, Outputs], tuple[np.ndarray | None, np.ndarray | None]]


POOLS = {
    "last": Pool(_last, _last_slopes),
    "mean": Pool(_mean, _mean_slopes),
    "next": Pool(_next, _next_slopes),
}


class Network:
    """Layers, pool and linear map of one estimator."""

    def __init__(self, features: int, outputs: int, pooling: str, seed: int, settings: Any) -> None:
        seeds = np.random.SeedSequence(seed).generate_state(3).tolist()
        options = {
            "bidirectional": settings.bidirectional,
            "dropout": settings.dropout if settings.num_layers > 1 else 0.0,
            "dtype": settings.dtype,
        }
        kind = getattr(layers, CELLS[settings.cell].title)
        self.layer: Any = kind(features, settings.hidden_size, settings.num_layers, seed=seeds[0], **options)
        self.pooling: str = pooling
        self.dropout: Dropout = Dropout(settings.dropout, seed=seeds[1])
        width = self.layer.spec.y_size
        # One step of a basic RNN whose function is the identity is a linear map. Unlike BLAS the core gives a row the
        # same bits whatever rows stand beside it and however many threads there are.
        self.head: Any = layers.RNN(width, outputs, activations={"h": "affine"}, dtype=settings.dtype, seed=0)
        initial = Linear(width, outputs, dtype=settings.dtype, seed=seeds[2]).parameters()
        unused = {name: 0 * self.head.parameters()[name] for name in ("weight_hh_l0", "bias_hh_l0")}
        read = {"weight_ih_l0": initial["weight"], "bias_ih_l0": initial["bias"]}
        self.head.load_state_dict(read | unused)

    def optimizer(self, settings: Any) -> Adam:
        """A new Adam for all parameters."""
        return Adam(
            [self.layer, self.head],
            lr=settings.learning_rate_init,
            weight_decay=settings.weight_decay,
            clip_norm=settings.clip_norm,
        )

    def state(self) -> list[dict[str, np.ndarray]]:
        """Copies of all parameters."""
        return [self.layer.state_dict(), self.head.state_dict()]

    def restore(self, state: list[dict[str, np.ndarray]]) -> None:
        """Put in what `state` gave."""
        self.layer.load_state_dict(state[0])
        self.head.load_state_dict(state[1])

    def run(self, x: np.ndarray, lengths: np.ndarray, num_threads: int | None) -> np.ndarray:
        """Outputs of a batch, without dropout."""
        return self._linear(self._keep(x, lengths, self.pooling, num_threads), num_threads)

    def pooled(self, data: Sequences, pooling: str, num_threads: int | None) -> np.ndarray:
        """What a pool keeps of every sequence, (n, D*H)."""
        found = np.empty((len(data), self.layer.spec.y_size), self.layer.dtype)
        for rows in data.chunks():
            found[rows] = self._keep(*data.batch(rows), pooling, num_threads)
        return found

    def outputs(self, data: Sequences, num_threads: int | None) -> np.ndarray:
        """Outputs for every sequence, (n, K)."""
        return self._linear(self.pooled(data, self.pooling, num_threads), num_threads)

    def _keep(self, x: np.ndarray, lengths: np.ndarray, pooling: str, num_threads: int | None) -> np.ndarray:
        y, state = self.layer(x, lengths=lengths, num_threads=num_threads)
        return POOLS[pooling].value(Outputs(y, _h_of(state), lengths))

    def _linear(self, pooled: np.ndarray, num_threads: int | None) -> np.ndarray:
        return self.head(pooled[np.newaxis], num_threads=num_threads)[0][0]

    @contextlib.contextmanager
    def keyed(self, batch: Batch) -> Iterator[None]:
        """While the block runs, masks follow from the keys of a batch's samples."""
        with (
            keyed(drawing(self.layer), lambda: batch.keys),
            keyed(drawing(self.dropout), lambda: keys_of(batch.keys, 1)),
        ):
            yield

    def forward(
        self, x: np.ndarray, lengths: np.ndarray, num_threads: int | None
    ) -> tuple[np.ndarray, tuple[Any, ...]]:
        """Outputs of a batch with dropout, and the tapes."""
        y, state, tape = self.layer.forward(x, lengths=lengths, num_threads=num_threads)
        outputs = Outputs(y, _h_of(state), lengths)
        pooled, dropout_tape = self.dropout.forward(POOLS[self.pooling].value(outputs))
        found, _, head_tape = self.head.forward(pooled[np.newaxis], num_threads=num_threads)
        return found[0], (outputs, tape, dropout_tape, head_tape)

    def backward(self, tapes: tuple[Any, ...], slopes: np.ndarray) -> list[Any]:
        """Gradients of all parameters, from those of the outputs of `forward`."""
        outputs, tape, dropout_tape, head_tape = tapes
        head_grads = self.head.backward(head_tape, slopes[np.newaxis])
        head_grads.params["bias_hh_l0"][...] = 0  # the other one is enough
        dpooled = self.dropout.backward(dropout_tape, head_grads.x[0]).x
        dy, dh = POOLS[self.pooling].slopes(dpooled, outputs)
        pair = dh is not None and len(self.layer.spec.table.state) == 2
        return [self.layer.backward(tape, dy, (dh, None) if pair else dh, input_grad=False), head_grads]


def _h_of(state: Any) -> np.ndarray:
    return state[0] if isinstance(state, tuple) else state
