# SPDX-License-Identifier: MIT
"""What a training run reads of its data: which samples it trains on and judges, in which order, in which batches."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np

from .. import spec
from ..errors import ArgumentError, ShapeError, shown
from .batches import Batch, collated, count_of, fingerprint, order_of
from .order import beside, counts_of, key_of, keys_of, shuffled

HELD_OUT = 2**32
"""In place of an epoch: the order by which validation samples are chosen."""


class Samples:
    """The samples of one model.

    Attributes
    ----------
    count : int
        Of samples to train on.
    held : ints (n,)
        Rows to judge.
    order : ints (count,)
        Rows to train on, in the order of the present epoch.
    """

    def __init__(self, data: Any, validation: Any, seed: Any) -> None:
        self.data: Any = data
        self.seed: int = spec.check_int("seed", seed, 0)
        n = count_of(data)
        rows = np.arange(n)
        held = rows[:0]
        self.held_data: Any = data
        if isinstance(validation, float):
            order = shuffled(n, self.seed, HELD_OUT)
            count = int(n * spec.check_probability("validation", validation))
            held, rows = np.sort(order[:count]), np.sort(order[count:])
        elif validation is not None:
            held, self.held_data = np.arange(count_of(validation)), validation
        if not len(rows) or (validation is not None and not len(held)):
            raise ArgumentError("data", "at least one sample to train on and to judge", f"{n} samples")
        self.rows: np.ndarray = rows
        self.held: np.ndarray = held
        self.count: int = len(rows)
        self.key: int = 0
        self.order: np.ndarray = rows

    def begin(self, epoch: int) -> None:
        """Take the order and the keys of an epoch."""
        self.key = key_of(self.seed, epoch)
        self.order = order_of(self.data, self.rows, self.seed, epoch)

    def batch(self, rows: np.ndarray) -> Batch:
        """Some of `order`."""
        return Batch(rows, self.data, self.key)

    def held_batch(self, rows: np.ndarray) -> Batch:
        """Some of `held`."""
        return Batch(rows, self.held_data, 0)

    def recipe(self) -> dict[str, str]:
        """What tells data from others, as texts."""
        held = f"{len(self.held)} {fingerprint(self.held_data) if len(self.held) else ''}"
        return {"seed": str(self.seed), "data": fingerprint(self.data), "validation": held}


class Gathered(NamedTuple):
    """Some samples of each model: what `collated` gives, x behind an axis of the models.

    Where all models have as many samples of one length, `targets` is an array (M, n, ...) and `lengths` None; else
    targets and lengths are those of each model, and `valid` (M, n) are the steps of each row of x: 0 behind a model's
    own. What stands in the place of a model without samples does not count. Where `whole`, rows behind a model's own
    are copies of its first one: they may run, too, as long as they get no gradient.
    """

    x: np.ndarray
    targets: Any
    lengths: list[np.ndarray | None] | None = None
    valid: np.ndarray | None = None
    whole: bool = False


class Sources:
    """The data of M models, of which some or all may be the same."""

    def __init__(self, each: list[Any]) -> None:
        self.each: list[Any] = each
        self.shared: bool = all(data is each[0] for data in each)
        self.flat: tuple[np.ndarray, ...] | None = None
        self.offset: np.ndarray = np.zeros((len(each), 1), np.int64)
        if len({_form(data) for data in each}) == 1 and _form(each[0]):
            self.flat = each[0] if self.shared else tuple(map(np.concatenate, zip(*each, strict=True)))
            if not self.shared:
                self.offset[1:, 0] = np.cumsum([len(data[0]) for data in each[:-1]])

    def gathered(self, rows: np.ndarray) -> Gathered:
        """The samples of some rows (M, n), each model's own before -1."""
        counts = counts_of(rows)
        if self.flat is not None:
            return self._of_flat(rows, counts)
        own = zip(rows, counts, self.each, strict=True)
        each = [collated(Batch(some[:n], data, 0)) if n else None for some, n, data in own]
        stand_in = next(one for one in each if one is not None)
        found = [one or stand_in for one in each]
        xs, targets, lengths = zip(*found, strict=True)
        if all(own is None for own in lengths) and len({(x.shape, t.shape) for x, t, _ in found}) == 1:
            return Gathered(np.stack(xs), np.stack(targets))
        first, steps = xs[0], max(x.shape[1] for x in xs)
        if other := next((x.shape for x in xs if x.shape[2:] != first.shape[2:]), None):
            raise ShapeError("data", f"steps of shape {first.shape[2:]} for all models", str(other[2:]))
        padded, valid = np.zeros((*rows.shape, steps, *first.shape[2:]), first.dtype), np.zeros_like(rows)
        for m, (x, own) in enumerate(zip(xs, lengths, strict=True)):
            padded[m, : len(x), : x.shape[1]] = x
            valid[m, : len(x)] = x.shape[1] if own is None else own
        return Gathered(padded, targets, list(lengths), valid)

    def _of_flat(self, rows: np.ndarray, counts: np.ndarray) -> Gathered:
        """The same where all samples are alike."""
        assert self.flat is not None
        first = rows[np.argmax(counts)]
        if self.shared and (rows[counts > 0] == first).all():  # one array, which all models read
            return Gathered(*(np.broadcast_to(a[first], (*rows.shape, *a.shape[1:])) for a in self.flat))
        x, targets = (a[np.maximum(rows, 0) + self.offset] for a in self.flat)
        if ((counts == rows.shape[1]) | (counts == 0)).all():
            return Gathered(x, targets)
        each = [some[:n] for some, n in zip(targets, counts, strict=True)]
        valid = (rows >= 0) * np.int64(x.shape[2] if x.ndim > 2 else 1)
        return Gathered(x, each, [None] * len(rows), valid, whole=True)


def _form(data: Any) -> Any:
    """Shapes of the samples and dtypes of a pair of arrays; () for other data."""
    if not isinstance(data, tuple) or not all(isinstance(each, np.ndarray) for each in data):
        return ()
    return tuple((each.shape[1:], each.dtype) for each in data)


class FleetBatch(NamedTuple):
    """Some samples of each model: rows (M, n) of its source, and for each model a key of (seed, epoch).

    A model with fewer samples than others has its own rows first and -1 behind them, or nothing else.
    """

    rows: np.ndarray
    source: Sources
    epoch_keys: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """Which models have samples, bools (M,)."""
        return self.rows[:, 0] >= 0

    @property
    def keys(self) -> np.ndarray:
        """One for each sample, uint64 (M, n)."""
        return keys_of(self.rows, self.epoch_keys[:, np.newaxis])


class FleetSamples:
    """The samples of M models, each those of its own `Samples`; attributes as there, rows with an axis of the models.

    Models may have more and fewer samples: behind the rows of one that has fewer stands -1, `count` is the most.

    Parameters
    ----------
    data, validation
        As of `Samples`, for all models, or lists of M, one for each; a share in place of the latter.
    seed : int or ints (M,)
    models : int

    Attributes
    ----------
    counts : ints (M,)
        Of samples of each model to train on.
    active : bools (M,)
        Models that train: others have no rows in `order`. Whoever sets it changes it in place.
    """

    def __init__(self, data: Any, validation: Any, seed: Any, models: int) -> None:
        own = zip(
            _of_each("data", data, models),
            _of_each("validation", validation, models),
            _seeds(seed, models),
            strict=True,
        )
        made: dict[Any, Samples] = {}
        self.each: list[Samples] = []
        for data_of, held, own_seed in own:
            place = id(data_of), id(held), own_seed  # models that read the same share the order, too
            if place not in made:
                made[place] = Samples(data_of, held, own_seed)
            self.each.append(made[place])
        self.distinct: list[Samples] = list(made.values())
        if len({one.held.size > 0 for one in self.distinct}) > 1:
            raise ArgumentError("validation", "samples for each model, or for none", "None for some")
        self.counts: np.ndarray = np.array([one.count for one in self.each])
        self.count: int = int(self.counts.max())
        self.held: np.ndarray = beside([one.held for one in self.each])
        self.source: Sources = Sources([one.data for one in self.each])
        self.held_source: Sources = Sources([one.held_data for one in self.each])
        self.active: np.ndarray = np.ones(models, bool)
        self.keys: np.ndarray = np.zeros(models, np.uint64)
        self.order: np.ndarray = np.zeros((models, 0), np.int64)

    def begin(self, epoch: int) -> None:
        """Take the orders and the keys of an epoch."""
        for one in self.distinct:
            one.begin(epoch)
        self.keys = np.array([one.key for one in self.each], np.uint64)
        orders = zip(self.each, self.active, strict=True)
        self.order = beside([one.order if runs else one.order[:0] for one, runs in orders])

    def batch(self, rows: np.ndarray) -> FleetBatch:
        """Some of `order`."""
        return FleetBatch(rows, self.source, self.keys)

    def held_batch(self, rows: np.ndarray) -> FleetBatch:
        """Some of `held`."""
        return FleetBatch(rows, self.held_source, self.keys)

    def recipe(self) -> dict[str, str]:
        """As of `Samples`, digests of those of all models."""
        known = {id(one): one.recipe() for one in self.distinct}
        found = [known[id(one)] for one in self.each]
        return {
            name: hashlib.sha256("\n".join(own[name] for own in found).encode()).hexdigest()
            for name in found[0]
        }


def _of_each(name: str, value: Any, models: int) -> list[Any]:
    """A value for each model, of a list of them or of one for all."""
    if not isinstance(value, list):
        return [value] * models
    if len(value) != models:
        raise ShapeError(name, f"one for all models, or a list of {models}", f"a list of {len(value)}")
    return value


def _seeds(value: Any, models: int) -> list[int]:
    """A seed for each model, of one or of M."""
    if isinstance(value, (list, tuple, np.ndarray)):
        if np.shape(value) != (models,):
            raise ShapeError("seed", f"an integer, or {models}", shown(value))
        return [spec.check_int("seed", own, 0) for own in value]
    return [spec.check_int("seed", value, 0)] * models
