# SPDX-License-Identifier: MIT
"""Samples and batches: arrays, ragged lists or any object of samples, as modules and losses take them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError, shown
from ..layers import Fleet
from ..spec import read_array
from .container import leaves_of
from .order import drawing, keyed, keys_of, shuffled
from .recurrent import Recurrent, spec_of
from .sequential import Sequential

IGNORED = -100
"""A label that does not count, as in `cross_entropy`."""
_HASHED = 64


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some samples, as `fit` gives them to a model of one's own.

    Attributes
    ----------
    rows : ints (n,)
        Which samples.
    data : what was given to `fit`
    key : int
        Of (seed, epoch).
    keys : uint64 (n,)
        Of (seed, epoch, sample), one for each: what a sample's randomness comes from should be its own key, so that it
        does not depend on the samples beside it.

    Examples
    --------
    >>> import numpy as np
    >>> batch = rnncore.nn.Batch(np.array([2, 0]), ["a", "b", "c"], key=7)
    >>> batch.samples, batch.rng.random() == batch.rng.random()
    (['c', 'a'], True)
    """

    rows: np.ndarray
    data: Any
    key: int

    @property
    def samples(self) -> list[Any]:
        """The samples, ``data[row]`` of each row."""
        return [self.data[int(row)] for row in self.rows]

    @property
    def rng(self) -> np.random.Generator:
        """A new generator, of the key and the first sample."""
        return np.random.Generator(np.random.PCG64(int(self.keys[0])))

    @functools.cached_property
    def keys(self) -> np.ndarray:
        """One for each sample."""
        return keys_of(self.rows, self.key)


def count_of(data: Any) -> int:
    """How many samples there are.

    Raises
    ------
    ArgumentError
        They have no number or no order.
    ShapeError
        Inputs and targets differ in number.
    """
    if not isinstance(data, tuple):
        return _length(data)
    if len(data) != 2 or _length(data[0]) != _length(data[1]):
        raise ShapeError("data", "inputs and targets of one length", str([_length(each) for each in data]))
    return _length(data[0])


def _length(data: Any) -> int:
    if isinstance(data, np.ndarray):
        if data.ndim:
            return len(data)
    elif hasattr(data, "__getitem__") and not isinstance(data, (Mapping, str, bytes, type)):
        return len(data)
    expected = "an array, a list, a pair of them, or an object with len(data) and data[i]"
    raise ArgumentError("data", expected, shown(data))


def fingerprint(data: Any) -> str:
    """A hash of arrays and lists of arrays, and of some samples of any other data."""
    digest = hashlib.sha256(str(count_of(data)).encode())
    if hasattr(data, "fingerprint"):  # of its own, such as those of files
        digest.update(data.fingerprint().encode())
    elif isinstance(data, tuple):
        for each in data:
            for array in [each] if isinstance(each, np.ndarray) else each:
                _update(digest, array)
    else:
        n = len(data)
        for k in sorted({n * j // _HASHED for j in range(_HASHED)} if n else ()):
            sample = data[k]
            for array in sample if isinstance(sample, tuple) else (sample,):
                _update(digest, array)
    return digest.hexdigest()


def order_of(data: Any, rows: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """The rows in the order of an epoch: that of their draws, or what the data's `epoch_order` makes of other draws."""
    if hasattr(data, "epoch_order"):
        return data.epoch_order(rows, lambda n, k: shuffled(n, seed, epoch, k))
    return rows[shuffled(len(rows), seed, epoch)]


def _update(digest: Any, value: Any) -> None:
    try:
        array = np.asarray(value)
    except ValueError:  # a sample of its own kind
        return
    if array.dtype != object:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def collated(batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Inputs and targets with one row per sample, padded, and lengths: None if no sample is longer than another."""
    if isinstance(batch.data, tuple):
        parts = [_some(each, batch.rows) for each in batch.data]
    else:
        samples = batch.samples
        if not all(isinstance(sample, tuple) and len(sample) == 2 for sample in samples):
            raise ArgumentError(
                "data", "samples that are pairs of input and target", type(samples[0]).__name__
            )
        parts = [list(each) for each in zip(*samples, strict=True)]
    (x, lengths), (target, _) = (_padded(each) for each in parts)
    return x, target, lengths


def _some(each: Any, rows: np.ndarray) -> Any:
    return each[rows] if isinstance(each, np.ndarray) else [each[int(row)] for row in rows]


def _padded(each: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """One array with a row per sample; behind the end of a shorter one zeros, or labels that do not count."""
    if isinstance(each, np.ndarray):
        return each, None
    arrays = [np.asarray(one) for one in each]
    if len({array.shape for array in arrays}) == 1:
        return np.stack(arrays), None
    lengths = np.array([len(array) for array in arrays], np.int64)
    out = np.zeros((len(arrays), lengths.max(), *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return out, lengths


class Supervised:
    """A module and a loss as a model that `fit` trains: gradients of sums over what counts.

    Parameters
    ----------
    model : Module or recurrent layer
    loss : callable or None
        ``loss(y, target) -> (mean, dy)`` over tokens (n, K); None where there are outputs alone.
    """

    def __init__(self, model: Any, loss: Callable[..., tuple[float, np.ndarray]] | None) -> None:
        alone = hasattr(model, "spec") or isinstance(model, Fleet)
        self.model: Any = Recurrent(model) if alone else model
        self.loss: Any = loss
        leaves = leaves_of(self.model).values()
        layers = [spec_of(leaf) for leaf in leaves if hasattr(leaf, "spec") or isinstance(leaf, Fleet)]
        self.batch_first: bool = any(spec.batch_first for spec in layers)
        self.reads_steps: bool = bool(layers)
        self.takes_lengths: bool = isinstance(self.model, (Recurrent, Sequential))
        self.draws: list[tuple[int, Any]] = drawing(self.model)

    def _inputs(self, batch: Batch) -> tuple[list[Any], np.ndarray, np.ndarray | None]:
        x, target, lengths = collated(batch)
        if self.reads_steps and not self.batch_first:
            x = x.swapaxes(0, 1)
        return ([x, lengths] if self.takes_lengths else [x]), target, lengths

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """What the model gives for samples (n, T, features), in its layout."""
        return self.model(x.swapaxes(0, 1) if self.reads_steps and not self.batch_first else x)

    def gradients(self, batch: Batch) -> tuple[float, int, Any]:
        """The total loss, how many tokens it is of, and the gradients of the total."""
        inputs, target, lengths = self._inputs(batch)
        with keyed(self.draws, lambda: batch.keys, self.reads_steps and not self.batch_first):
            y, tape = self.model.forward(*inputs)
        total, count, dy = self._summed(y, target, lengths)
        # Gradients of the data are of no use.
        unused = {"input_grad": False} if self.takes_lengths else {}
        return total, count, self.model.backward(tape, dy, **unused)

    def evaluate(self, batch: Batch) -> tuple[float, int]:
        """The total loss without dropout, and how many tokens it is of."""
        inputs, target, lengths = self._inputs(batch)
        return self._summed(self.model(*inputs), target, lengths)[:2]

    def _summed(
        self, y: np.ndarray, target: np.ndarray, lengths: np.ndarray | None
    ) -> tuple[float, int, np.ndarray]:
        """Total, count and the gradient of the total over the tokens within lengths whose label counts."""
        steps, target = y.ndim == 3 and self.reads_steps, read_array("target", target)
        if steps and not self.batch_first and target.ndim > 1:
            target = target.swapaxes(0, 1)
        if target.shape[: y.ndim - 1] != y.shape[:-1]:
            expected = f"a target for each of {y.shape[:-1]} outputs"
            raise ShapeError("data", expected, str(target.shape), "return_sequences=False gives one a sample")
        labels = target.dtype.kind in "iu" and target.ndim == y.ndim - 1
        if not labels and not (steps and lengths is not None):
            return self._of_all(y, target)
        counts = np.ones(y.shape[:-1], bool)
        if steps and lengths is not None:
            t = np.arange(y.shape[1 if self.batch_first else 0])
            valid = t < lengths[:, np.newaxis]
            counts &= valid if self.batch_first else valid.T
        if labels:
            counts &= target != IGNORED
        count = int(counts.sum())
        dy = np.zeros_like(y)
        if not count:
            return 0.0, 0, dy
        mean, slope = self.loss(y[counts], target[counts])
        dy[counts] = slope * slope.dtype.type(count)
        return mean * count, count, dy

    def _of_all(self, y: np.ndarray, target: np.ndarray) -> tuple[float, int, np.ndarray]:
        """The same where every token counts."""
        count = math.prod(y.shape[:-1])
        if not count:
            return 0.0, 0, np.zeros_like(y)
        kept = target.shape[y.ndim - 1 :]
        mean, slope = self.loss(y.reshape(count, y.shape[-1]), target.reshape(count, *kept))
        dy = slope * slope.dtype.type(count)
        return mean * count, count, dy.astype(y.dtype, copy=False).reshape(y.shape)
