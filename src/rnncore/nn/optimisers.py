# SPDX-License-Identifier: MIT
"""Optimisers: Adam and SGD on the C core. They write the parameters of modules in place."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from .. import spec
from ..engine import _core, backends
from ..engine.threads import team_for, threads_for
from ..errors import ArgumentError, DTypeError, MemoryExhaustedError, ShapeError, shown
from ..spec.checks import finite
from ..spec.parameters import flat_views
from .container import leaves_of


def _finite_number(
    name: str,
    value: Any,
    low: float,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = True,
) -> float:
    """Return `value` as float when it lies between `low` and `high`; raise ArgumentError otherwise."""
    bounds = f"a number in {'(' if open_low else '['}{low}, {high}{')' if open_high else ']'}"
    number = finite(value)
    if number is None or not low <= number <= high or (number, True) in ((low, open_low), (high, open_high)):
        raise ArgumentError(name, bounds, shown(value))
    return number


def _item(name: str, value: Any) -> Any:
    """The number in a 0-d array, which is how `state_dict` gives one."""
    array = spec.numbers(name, value)
    spec.check_shape(name, array, ())
    return array.item()


def _is_module(value: Any) -> bool:
    return hasattr(value, "parameters") and hasattr(value, "update_parameters")


def _listed(modules: Any) -> list[Any]:
    """One module, or some, as a list of different ones."""
    if _is_module(modules):  # a chain can be listed, too, but is one module
        return [modules]
    if not isinstance(modules, Iterable) or isinstance(modules, np.ndarray):
        raise ArgumentError("modules", "a module or some", type(modules).__name__)
    found, seen = [], set()
    for index, module in enumerate(modules):
        if not _is_module(module):
            hint = "a layer, a module or a model, not its parameters"
            raise ArgumentError(f"modules[{index}]", "a module", type(module).__name__, hint)
        own = {id(leaf) for leaf in leaves_of(module).values()}
        if own & seen:
            raise ArgumentError(f"modules[{index}]", "each module once", "one that was there before")
        seen |= own
        found.append(module)
    if not any(module.parameters() for module in found):
        raise ArgumentError("modules", "at least one module with parameters", f"{len(found)} without")
    return found


class _Group:
    """The parameters of one module, one flat vector per moment, and the views of it that go with each parameter."""

    def __init__(self, index: int, module: Any, moments: tuple[str, ...]) -> None:
        parameters = module.parameters()
        dtypes = {array.dtype for array in parameters.values()}
        if len(dtypes) > 1 or not dtypes <= set(spec.DTYPES):
            got = ", ".join(sorted(map(str, dtypes)))
            raise DTypeError(f"modules[{index}]", "parameters of float32 or of float64", got)
        self.module = module
        self.name = f"grads[{index}]"
        self.dtype = dtypes.pop() if dtypes else spec.DTYPES[0]
        self.shapes = {name: array.shape for name, array in parameters.items()}
        size = sum(array.size for array in parameters.values())
        try:
            self.moments = {name: np.zeros(size, self.dtype) for name in moments}
        except MemoryError as error:
            expected = f"{len(moments) * size * self.dtype.itemsize} bytes for moments"
            raise MemoryExhaustedError(f"modules[{index}]", expected, "less") from error
        self._set_views()

    def _set_views(self) -> None:
        views = [flat_views(self.shapes, moment) for moment in self.moments.values()] + [{}, {}]
        self.views = {name: (views[0].get(name), views[1].get(name)) for name in self.shapes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._set_views()  # those of a copy would be arrays of their own

    def check(self, grads: Any) -> list[np.ndarray]:
        """Dense gradients in the order of the parameters; raise unless there is one of the right shape for each."""
        grads = getattr(grads, "params", grads)
        if not isinstance(grads, Mapping):
            hint = "pass on what backward gave"
            raise ArgumentError(self.name, "gradients by name", type(grads).__name__, hint)
        for name in [*(self.shapes.keys() - grads.keys()), *(grads.keys() - self.shapes.keys())]:
            expected = f"a gradient for each of {', '.join(self.shapes) or 'no parameters'}"
            got = f"{'none' if name in self.shapes else 'one'} for {name}"
            hint = f"gradients of {type(self.module).__name__}: modules and gradients in one order"
            raise ArgumentError(self.name, expected, got, hint)
        dense = []
        for name, shape in self.shapes.items():
            grad = spec.read_array(f"{self.name}[{name!r}]", grads[name])
            if grad.shape != shape:
                raise ShapeError(f"{self.name}[{name!r}]", str(shape), str(grad.shape))
            if grad.dtype != self.dtype:
                raise DTypeError(f"{self.name}[{name!r}]", self.dtype.name, str(grad.dtype))
            dense.append(np.ascontiguousarray(grad))
        return dense

    def tensors(self, values: Mapping[str, np.ndarray], grads: list[np.ndarray]) -> list[tuple[Any, ...]]:
        """What `_core.update` takes: (values, gradient, first moment, second moment) of each parameter."""
        return [
            (values[name], grad, *self.views[name]) for name, grad in zip(self.shapes, grads, strict=True)
        ]


@contextlib.contextmanager
def _writing(module: Any) -> Iterator[Mapping[str, np.ndarray]]:
    """The parameters of a module as dense arrays; what is written into them is its parameters afterwards."""
    if hasattr(module, "writing"):
        with module.writing() as values:
            yield values
        return
    values = {name: np.array(value) for name, value in module.parameters().items()}
    yield values
    module.update_parameters(values)


@contextlib.contextmanager
def _writing_all(modules: list[Any]) -> Iterator[list[dict[str, np.ndarray]]]:
    """The parameters of several modules, as `_writing` gives those of one."""
    parts = [leaves_of(module) for module in modules]
    # Always in the same order: two optimisers that share layers do not wait for each other.
    order = sorted((leaf for part in parts for leaf in part.values()), key=id)
    with contextlib.ExitStack() as stack:
        values = {id(leaf): stack.enter_context(_writing(leaf)) for leaf in order}
        yield [
            {prefix + name: a for prefix, leaf in part.items() for name, a in values[id(leaf)].items()}
            for part in parts
        ]


def diverged(norm: float) -> ArgumentError:
    """What a step raises that does nothing, as the gradients' norm is not finite."""
    return ArgumentError("grads", "finite gradients", f"a norm of {norm}", "the training has diverged")


class _Optimizer:
    """What Adam and SGD share: checks, one call of the core for all parameters, state for resuming."""

    _method = ""
    _moments: tuple[str, ...] = ()

    def __init__(
        self, modules: Any, lr: float, clip_norm: float | None, weight_decay: float, decoupled: bool
    ) -> None:
        self.lr: float = _finite_number("lr", lr, 0.0)
        self.clip_norm: float | None = (
            None if clip_norm is None else _finite_number("clip_norm", clip_norm, 0.0, open_low=True)
        )
        self.weight_decay: float = _finite_number("weight_decay", weight_decay, 0.0)
        self.decoupled: bool = spec.check_bool("decoupled", decoupled)
        self.step_count: int = 0
        self._groups = [_Group(index, module, self._moments) for index, module in enumerate(_listed(modules))]

    def __repr__(self) -> str:
        names = ", ".join(type(group.module).__name__ for group in self._groups)
        return f"{type(self).__name__}([{names}], lr={self.lr}, step_count={self.step_count})"

    def step(self, grads: Any, *, grad_scale: float = 1.0, num_threads: int | None = None) -> float:
        """Update all parameters once.

        Parameters
        ----------
        grads : what `backward` gave, or a list of it
            Of one module, or of each in the order in which they were given: Grads, or dicts of arrays by the
            parameters' names, in their shapes and dtype.
        grad_scale : float
            Gradients are multiplied by this first: 1 / n for gradients that were summed over n batches, or the
            reciprocal of the factor that a loss was multiplied with.
        num_threads : int, optional
            At most this many threads; `get_num_threads()` if left out. Results do not depend on it.

        Returns
        -------
        float
            The L2 norm over all (scaled) gradients of all modules before clipping, summed in float64.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            A gradient is missing, has another shape or dtype, or is not finite; no parameter has changed then.

        Notes
        -----
        One pass over the gradients for the norm and one over parameters, gradients and moments, in C, in place and
        without the GIL. rnncore's modules are written where they are; other ones get new values through
        `update_parameters`.
        """
        dense = self._check(grads)
        scale = _finite_number("grad_scale", grad_scale, -math.inf, open_low=True)
        spec.check_num_threads(num_threads)
        with _writing_all([group.module for group in self._groups]) as values:
            tensors = [
                tensor
                for group, own, given in zip(self._groups, values, dense, strict=True)
                for tensor in group.tensors(own, given)
            ]
            norm = self._update(tensors, scale, threads_for(num_threads))
            if not math.isfinite(norm):
                raise diverged(norm)
        self.step_count += 1
        return norm

    def _check(self, grads: Any) -> list[list[np.ndarray]]:
        """Dense gradients of each module."""
        one = hasattr(grads, "params") or isinstance(grads, Mapping)
        if not one and (not isinstance(grads, Iterable) or isinstance(grads, np.ndarray)):
            hint = "pass on what backward gave"
            raise ArgumentError("grads", "gradients of each module", type(grads).__name__, hint)
        given, count = [grads] if one else list(grads), len(self._groups)
        if len(given) != count:
            expected = (
                "gradients of 1 module" if count == 1 else f"a list of the gradients of {count} modules"
            )
            raise ArgumentError("grads", expected, str(len(given)), self._order())
        return [group.check(own) for group, own in zip(self._groups, given, strict=True)]

    def _order(self) -> str:
        return "in the order " + ", ".join(type(group.module).__name__ for group in self._groups)

    def _update(self, tensors: list[tuple[Any, ...]], scale: float, threads: int) -> float:
        """The step in C; the norm of the gradients, which is not finite if nothing was done."""
        return _core.update(
            self._method, tensors, lr=_finite_number("lr", self.lr, 0.0), step=self.step_count + 1,
            weight_decay=self.weight_decay, decoupled=self.decoupled, grad_scale=scale,
            clip_norm=self.clip_norm or 0.0, isa=backends.current_isa(), threads=threads, team=team_for(threads),
            **self._options(),
        )  # fmt: skip

    def _options(self) -> dict[str, Any]:
        """The method's own arguments of `_core.update`."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return what a resumed run needs, as a flat dict of NumPy arrays (copies).

        Keys are ``step``, ``lr`` and ``<module index>.<moment>``.
        """
        state = {"step": np.array(self.step_count, np.int64), "lr": np.array(self.lr, np.float64)}
        for index, group in enumerate(self._groups):
            state.update({f"{index}.{name}": moment.copy() for name, moment in group.moments.items()})
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            The dict belongs to other modules or another optimiser; nothing has changed then.
        """
        targets = {
            f"{index}.{name}": moment
            for index, group in enumerate(self._groups)
            for name, moment in group.moments.items()
        }
        expected = {"step", "lr", *targets}
        spec.check_type("state_dict", state, Mapping, "a mapping of names to arrays")
        if set(state) != expected:
            raise ArgumentError("state_dict", f"keys {sorted(expected)}", str(sorted(map(str, state))))
        moments = {key: spec.as_array(key, state[key], (moment.dtype,)) for key, moment in targets.items()}
        for key, moment in targets.items():
            spec.check_shape(key, moments[key], moment.shape)
        self.step_count, self.lr = self._progress(state)
        for key, moment in targets.items():
            moment[...] = moments[key]

    def _progress(self, state: Mapping[str, Any]) -> tuple[Any, Any]:
        """Steps done and rate, of what `state_dict` gave."""
        step, lr = (_item(key, state[key]) for key in ("step", "lr"))
        return spec.check_int("step", step, 0), _finite_number("lr", lr, 0.0)


class Adam(_Optimizer):
    """Adam (Kingma and Ba 2015) with bias correction; AdamW (Loshchilov and Hutter 2019) with `weight_decay`.

    Parameters
    ----------
    modules : a module, or a sequence of modules
        Layers, heads, whole models, each once: objects with ``parameters()`` and ``update_parameters(dict)``.
    lr : float
        Learning rate; the attribute `lr` may be changed between steps.
    betas : (float, float)
        Decay of the first and second moment, each in [0, 1).
    eps : float
        Added to the root of the second moment.
    weight_decay : float
        Each step multiplies the weights by ``1 - lr * weight_decay``.
    clip_norm : float or None
        Gradients are scaled so that their L2 norm over all modules does not exceed this.
    decoupled : bool
        False: ``weight_decay * weights`` is added to the (clipped) gradients instead, as in Adam before AdamW.

    Examples
    --------
    >>> import numpy as np
    >>> layer = rnncore.GRU(3, 4, seed=0)
    >>> optimizer = rnncore.Adam(layer, lr=1e-2, clip_norm=1.0)
    >>> y, _, tape = layer.forward(np.ones((5, 2, 3), np.float32))
    >>> norm = optimizer.step(layer.backward(tape, y))
    >>> optimizer
    Adam([GRU], lr=0.01, step_count=1)

    Several modules and their gradients come in one order: ``Adam([layer, head])``, then ``step([grads, head_grads])``.
    """

    _method = "adam"
    _moments = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        modules: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        *,
        decoupled: bool = True,
    ) -> None:
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ArgumentError("betas", "a pair of numbers in [0, 1)", shown(betas))
        first, second = (_finite_number(f"betas[{i}]", beta, 0.0, 1.0) for i, beta in enumerate(betas))
        self.betas: tuple[float, float] = (first, second)
        self.eps: float = _finite_number("eps", eps, 0.0)
        super().__init__(modules, lr, clip_norm, weight_decay, decoupled)

    def _options(self) -> dict[str, Any]:
        return {"beta1": self.betas[0], "beta2": self.betas[1], "eps": self.eps}


class SGD(_Optimizer):
    """Stochastic gradient descent with momentum.

    Parameters
    ----------
    modules, lr, weight_decay, clip_norm, decoupled
        As for `Adam`.
    momentum : float
        In [0, 1): ``buffer = momentum * buffer + grad``.
    nesterov : bool
        Step along ``grad + momentum * buffer`` instead of ``buffer``; needs momentum > 0.

    Examples
    --------
    >>> head = rnncore.Linear(2, 1, seed=0)
    >>> optimizer = rnncore.SGD(head, lr=0.1, momentum=0.9)
    >>> norm = optimizer.step({name: array * 0 for name, array in head.parameters().items()})
    >>> norm
    0.0
    """

    _method = "sgd"

    def __init__(
        self,
        modules: Any,
        lr: float = 1e-2,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        *,
        decoupled: bool = True,
    ) -> None:
        self.momentum: float = _finite_number("momentum", momentum, 0.0, 1.0)
        self.nesterov: bool = spec.check_bool("nesterov", nesterov)
        if self.nesterov and not self.momentum:
            raise ArgumentError("momentum", "a number above 0 with nesterov=True", shown(momentum))
        self._moments = ("momentum_buffer",) if self.momentum else ()
        super().__init__(modules, lr, clip_norm, weight_decay, decoupled)

    def _options(self) -> dict[str, Any]:
        return {"beta1": self.momentum, "nesterov": self.nesterov}
