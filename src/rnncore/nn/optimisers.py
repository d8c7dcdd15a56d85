# SPDX-License-Identifier: MIT
"""The thin training layer: Adam and SGD on the C core; with them two losses and a linear head in NumPy.

Everything works on modules, objects with ``parameters()`` (dict of read-only arrays) and
``update_parameters(dict)`` (copies new values in). The recurrent layers and `Linear` are modules; an optimiser
writes their parameters in place.
"""

from __future__ import annotations

import contextlib
import math

import numpy as np

from ..engine import _core, backends
from ..engine.threads import team_for, threads_for
from ..errors import ArgumentError, DTypeError, ShapeError
from ..spec import check_num_threads
from ..spec.parameters import flat_views
from .linear import Linear, LinearGrads
from .losses import cross_entropy, mse_loss

__all__ = ["SGD", "Adam", "Linear", "LinearGrads", "cross_entropy", "mse_loss"]


def _finite_number(name, value, low, high=math.inf, *, open_low=False, open_high=True):
    """Return `value` as float when it lies between `low` and `high`; raise ArgumentError otherwise."""
    bounds = f"a number in {'(' if open_low else '['}{low}, {high}{')' if open_high else ']'}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ArgumentError(name, bounds, repr(value))
    number = float(value)
    above = number > low if open_low else number >= low
    below = number < high if open_high else number <= high
    if not (above and below):
        raise ArgumentError(name, bounds, repr(value))
    return number


class _Group:
    """The parameters of one module, one flat vector per moment, and the views of it that go with each parameter."""

    def __init__(self, index, module, moments):
        parameters = module.parameters()
        dtypes = {array.dtype for array in parameters.values()}
        if len(dtypes) != 1 or not dtypes <= {np.dtype(np.float32), np.dtype(np.float64)}:
            raise DTypeError(
                f"modules[{index}]", "parameters of float32 or of float64", sorted(str(d) for d in dtypes)
            )
        self.module = module
        self.name = f"grads[{index}]"
        self.dtype = dtypes.pop()
        self.shapes = {name: array.shape for name, array in parameters.items()}
        size = sum(array.size for array in parameters.values())
        self.moments = {name: np.zeros(size, self.dtype) for name in moments}
        views = [flat_views(self.shapes, moment) for moment in self.moments.values()] + [{}, {}]
        self.views = {name: (views[0].get(name), views[1].get(name)) for name in self.shapes}

    def check(self, grads):
        """Dense gradients in the order of the parameters; raise unless there is one of the right shape for each."""
        if grads.keys() != self.shapes.keys():
            raise ArgumentError(self.name, f"gradients for {list(self.shapes)}", str(list(grads)))
        dense = []
        for name, shape in self.shapes.items():
            grad = np.asarray(grads[name])
            if grad.shape != shape:
                raise ShapeError(f"{self.name}[{name!r}]", str(shape), str(grad.shape))
            if grad.dtype != self.dtype:
                raise DTypeError(f"{self.name}[{name!r}]", self.dtype.name, str(grad.dtype))
            dense.append(np.ascontiguousarray(grad))
        return dense

    def tensors(self, values, grads):
        """What `_core.update` takes: (values, gradient, first moment, second moment) of each parameter."""
        return [
            (values[name], grad, *self.views[name]) for name, grad in zip(self.shapes, grads, strict=True)
        ]


@contextlib.contextmanager
def _writing(module):
    """The parameters of a module as dense arrays; what is written into them is its parameters afterwards."""
    if hasattr(module, "writing"):
        with module.writing() as values:
            yield values
        return
    values = {name: np.array(value) for name, value in module.parameters().items()}
    yield values
    module.update_parameters(values)


class _Optimizer:
    """What Adam and SGD share: checks, one call of the core for all parameters, state for resuming."""

    _method = ""
    _moments: tuple[str, ...] = ()

    def __init__(self, modules, lr, clip_norm, weight_decay, decoupled):
        modules = list(modules)
        for index, module in enumerate(modules):
            if not (hasattr(module, "parameters") and hasattr(module, "update_parameters")):
                raise ArgumentError(
                    f"modules[{index}]",
                    "an object with parameters() and update_parameters()",
                    type(module).__name__,
                )
            if any(module is other for other in modules[:index]):
                raise ArgumentError(f"modules[{index}]", "each module once", "one that was there before")
        if not modules:
            raise ArgumentError("modules", "at least one module", "an empty list")
        self.lr = _finite_number("lr", lr, 0.0)
        self.clip_norm = (
            None if clip_norm is None else _finite_number("clip_norm", clip_norm, 0.0, open_low=True)
        )
        self.weight_decay = _finite_number("weight_decay", weight_decay, 0.0)
        self.decoupled = bool(decoupled)
        self.step_count = 0
        self._groups = [_Group(index, module, self._moments) for index, module in enumerate(modules)]

    def step(self, grads, *, grad_scale=1.0, num_threads=None):
        """Update all parameters once.

        Parameters
        ----------
        grads : sequence of dict
            One ``name -> array`` dict per module, in the order the modules were given; the parameters' shapes and
            dtype.
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
        without the GIL. Layers and `Linear` are written where they are; other modules get new values through
        `update_parameters`.
        """
        grads = list(grads)
        if len(grads) != len(self._groups):
            raise ArgumentError("grads", f"{len(self._groups)} dicts, one per module", str(len(grads)))
        dense = [group.check(given) for group, given in zip(self._groups, grads, strict=True)]
        lr, scale = (
            _finite_number("lr", self.lr, 0.0),
            _finite_number("grad_scale", grad_scale, -math.inf, open_low=True),
        )
        check_num_threads(num_threads)
        threads = threads_for(num_threads)
        with contextlib.ExitStack() as stack:
            # Always in the same order: two optimisers that share layers do not wait for each other.
            order = sorted(self._groups, key=lambda group: id(group.module))
            values = {id(group): stack.enter_context(_writing(group.module)) for group in order}
            tensors = [
                tensor
                for group, given in zip(self._groups, dense, strict=True)
                for tensor in group.tensors(values[id(group)], given)
            ]
            norm = _core.update(
                self._method,
                tensors,
                lr=lr,
                step=self.step_count + 1,
                weight_decay=self.weight_decay,
                decoupled=self.decoupled,
                grad_scale=scale,
                clip_norm=self.clip_norm or 0.0,
                isa=backends.current_isa(),
                threads=threads,
                team=team_for(threads),
                **self._options(),
            )
            if not math.isfinite(norm):
                raise ArgumentError(
                    "grads", "finite gradients", f"a norm of {norm}", "the training has diverged"
                )
        self.step_count += 1
        return norm

    def state_dict(self):
        """Return what a resumed run needs, as a flat dict of NumPy arrays (copies).

        Keys are ``step``, ``lr`` and ``<module index>.<moment>``.
        """
        state = {"step": np.array(self.step_count, np.int64), "lr": np.array(self.lr, np.float64)}
        for index, group in enumerate(self._groups):
            state.update({f"{index}.{name}": moment.copy() for name, moment in group.moments.items()})
        return state

    def load_state_dict(self, state):
        """Restore what `state_dict` gave.

        Raises
        ------
        ArgumentError, ShapeError
            The dict belongs to other modules or another optimiser; nothing has changed then.
        """
        targets = {
            f"{index}.{name}": moment
            for index, group in enumerate(self._groups)
            for name, moment in group.moments.items()
        }
        expected = {"step", "lr", *targets}
        if set(state) != expected:
            raise ArgumentError("state_dict", f"keys {sorted(expected)}", str(sorted(state)))
        for key, moment in targets.items():
            if np.shape(state[key]) != moment.shape:
                raise ShapeError(key, str(moment.shape), str(np.shape(state[key])))
        self.step_count = int(state["step"])
        self.lr = float(state["lr"])
        for key, moment in targets.items():
            moment[...] = state[key]


class Adam(_Optimizer):
    """Adam (Kingma and Ba 2015) with bias correction; AdamW (Loshchilov and Hutter 2019) with `weight_decay`.

    Parameters
    ----------
    modules : sequence
        Layers and heads, each once, each with ``parameters()`` and ``update_parameters(dict)``.
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
    >>> opt = rnncore.Adam([layer, head], lr=1e-2, clip_norm=1.0)
    >>> norm = opt.step([grads.params, head_grads.params])
    """

    _method = "adam"
    _moments = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        modules,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        clip_norm=None,
        *,
        decoupled=True,
    ):
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ArgumentError("betas", "a pair of numbers in [0, 1)", repr(betas))
        self.betas = tuple(_finite_number(f"betas[{i}]", beta, 0.0, 1.0) for i, beta in enumerate(betas))
        self.eps = _finite_number("eps", eps, 0.0)
        super().__init__(modules, lr, clip_norm, weight_decay, decoupled)

    def _options(self):
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
    """

    _method = "sgd"

    def __init__(
        self,
        modules,
        lr=1e-2,
        momentum=0.0,
        nesterov=False,
        weight_decay=0.0,
        clip_norm=None,
        *,
        decoupled=True,
    ):
        self.momentum = _finite_number("momentum", momentum, 0.0, 1.0)
        self.nesterov = bool(nesterov)
        if self.nesterov and not self.momentum:
            raise ArgumentError("momentum", "a number above 0 with nesterov=True", repr(momentum))
        self._moments = ("momentum_buffer",) if self.momentum else ()
        super().__init__(modules, lr, clip_norm, weight_decay, decoupled)

    def _options(self):
        return {"beta1": self.momentum, "nesterov": self.nesterov}
