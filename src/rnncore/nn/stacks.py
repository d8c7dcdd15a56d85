# SPDX-License-Identifier: MIT
"""Modules of one architecture as one fleet of modules, and back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, UnsupportedError, shown
from ..layers import Fleet
from ..layers.module import Module
from .fleets import FleetAdam, FleetLinear, FleetSGD
from .linear import Linear
from .optimisers import SGD, Adam
from .recurrent import Recurrent
from .sequential import Sequential, models_of

PACK = 32
"""Models that train as one fleet, at most. More take more memory and no less time: with 16, 32, 64 and 128 it is the
same within noise, with 8 longer (`bench/groups.py --packs`)."""


def packs_of(
    things: Iterable[Any], form: Callable[[Any], str | None], size: Callable[[Any], int] = lambda thing: 0
) -> Iterator[list[Any]]:
    """Things of one form, at most PACK together; those of form None alone.

    The largest come first, so that neighbours have about as much to do: what has no more rests beside others.
    """
    forms: dict[Any, list[Any]] = {}
    for thing in things:
        forms.setdefault(form(thing) or id(thing), []).append(thing)
    for found in forms.values():
        found.sort(key=size, reverse=True)
        for first in range(0, len(found), PACK):
            yield found[first : first + PACK]


def stack(models: Iterable[Any]) -> Any:
    """A fleet of copies of models of one architecture, which `fit` trains in one run.

    Parameters
    ----------
    models : iterable of recurrent layers or modules
        Chains of `Recurrent`, `Linear`, and what has no parameters, such as `Dropout` and `Activation`.

    Returns
    -------
    Fleet or Module
        Arrays and parameters of the models with an axis of the models first.

    Raises
    ------
    ArgumentError
        There is none, or they differ.
    UnsupportedError
        A module in them has no fleet.

    Examples
    --------
    >>> import numpy as np
    >>> def network(seed):
    ...     return rnncore.nn.Sequential(rnncore.GRU(2, 4, seed=seed), rnncore.Linear(4, 1, seed=seed))
    >>> fleet = rnncore.nn.stack([network(seed) for seed in range(10)])
    >>> x = np.ones((10, 5, 1, 2), np.float32)
    >>> fleet(x).shape, bool((fleet(x)[7] == network(7)(x[7])).all())
    ((10, 5, 1, 1), True)
    """
    sound = isinstance(models, Iterable) and not isinstance(models, (str, np.ndarray, Module))
    found = list(models) if sound else []
    if not found:
        raise ArgumentError("models", "at least one layer or module", shown(models))
    for k, model in enumerate(found):
        if description_of(model) is None:
            raise ArgumentError(f"models[{k}]", "a recurrent layer or a module", shown(model))
        if description_of(model) != description_of(found[0]):
            raise ArgumentError(f"models[{k}]", f"a model like {shown(found[0])}", shown(model))
    return _stacked(found)


def description_of(model: Any) -> Any:
    """What two models of one architecture have in common; None of what is no model."""
    if hasattr(model, "spec"):
        return model.spec
    return model.config() if isinstance(model, Module) else None


def _stacked(models: list[Any]) -> Any:
    first = models[0]
    if hasattr(first, "spec"):
        return Fleet.stack(models)
    if isinstance(first, Sequential):
        return Sequential(*(_stacked(list(parts)) for parts in zip(*models, strict=True)))
    if isinstance(first, Recurrent):
        fleet = Fleet.stack(model.layer for model in models)
        return Recurrent(fleet, order=first.order, merge=first.merge, return_sequences=first.return_sequences)
    if isinstance(first, Linear):
        return FleetLinear.stack(models)
    if first.parameters() or models_of(first):
        raise UnsupportedError("models", "recurrent layers, Linear, and what has no parameters", shown(first))
    return copy.copy(first)


def unstack(fleet: Any) -> list[Any]:
    """The models of a fleet: what `stack` was given, with the parameters of now.

    Parameters
    ----------
    fleet : Fleet, or a module of fleets

    Returns
    -------
    list of recurrent layers or modules

    Raises
    ------
    ArgumentError
        It is no fleet.

    Examples
    --------
    >>> heads = rnncore.nn.FleetLinear(3, 2, models=2, seed=0)
    >>> rnncore.nn.unstack(heads)[1]
    Linear(in_features=3, out_features=2, bias=True, dtype='float32')
    """
    counts = models_of(fleet) if isinstance(fleet, Module) else set()
    if len(counts) != 1:
        raise ArgumentError("fleet", "a fleet of layers or modules", shown(fleet))
    return [_model_of(fleet, m) for m in range(counts.pop())]


def _model_of(fleet: Any, m: int) -> Any:
    if isinstance(fleet, (Fleet, FleetLinear)):
        return fleet[m]
    if isinstance(fleet, Sequential):
        return Sequential(*(_model_of(part, m) for part in fleet))
    if isinstance(fleet, Recurrent):
        return Recurrent(
            fleet.layer[m], order=fleet.order, merge=fleet.merge, return_sequences=fleet.return_sequences
        )
    return copy.copy(fleet)


def settings_of(optimizer: Any) -> Any:
    """What optimisers that one of a fleet may stand for have in common; None of any other."""
    if type(optimizer) not in (Adam, SGD):
        return None
    own = {name: value for name, value in vars(optimizer).items() if name[0] != "_"}
    alike = [(name, repr(value)) for name, value in own.items() if name not in {"lr", "step_count"}]
    return type(optimizer), len(optimizer._groups), sorted(alike)


def stack_optimizers(optimizers: Sequence[Any], fleets: Any) -> Any:
    """The optimiser of fleets that goes on as those of one kind and settings would, each at its own rate."""
    first = optimizers[0]
    given = {"clip_norm": first.clip_norm, "weight_decay": first.weight_decay, "decoupled": first.decoupled}
    rates = np.array([optimizer.lr for optimizer in optimizers])
    if isinstance(first, Adam):
        found: Any = FleetAdam(fleets, rates, first.betas, first.eps, **given)
    else:
        found = FleetSGD(fleets, rates, first.momentum, first.nesterov, **given)
    found.step_count[:] = [optimizer.step_count for optimizer in optimizers]
    for m, optimizer in enumerate(optimizers):
        for own, of_fleet in _moments(optimizer, found):
            of_fleet[m] = own
    return found


def unstack_optimizers(fleet: Any, optimizers: Sequence[Any]) -> None:
    """Let those that were stacked go on as the fleet's would."""
    for m, optimizer in enumerate(optimizers):
        optimizer.step_count = int(fleet.step_count[m])
        optimizer.lr = float(np.broadcast_to(fleet.lr, (fleet.models,))[m])
        for own, of_fleet in _moments(optimizer, fleet):
            own[...] = of_fleet[m]


def _moments(optimizer: Any, fleet: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The moments of each parameter beside those of the fleet's."""
    for own, of_fleet in zip(optimizer._groups, fleet._groups, strict=True):
        for name, views in own.views.items():
            for one, other in zip(views, of_fleet.views[name], strict=True):
                if one is not None:
                    yield one, other
