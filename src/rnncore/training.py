# SPDX-License-Identifier: MIT
"""The thin training layer: Adam, SGD, two losses and a linear head, in NumPy.

Everything works on modules, objects with ``parameters()`` (dict of read-only arrays) and
``update_parameters(dict)`` (copies new values in). The recurrent layers and `Linear` are modules.
An update works on one flat vector per module, so its cost does not grow with the number of arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from .errors import ArgumentError, DTypeError, ShapeError, TapeError

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
    """The parameters of one module seen as one flat vector, and the moment vectors that go with it."""

    def __init__(self, index, module, moments):
        parameters = module.parameters()
        dtypes = {array.dtype for array in parameters.values()}
        if len(dtypes) != 1:
            raise DTypeError(f"modules[{index}]", "parameters of one dtype", sorted(str(d) for d in dtypes))
        self.module = module
        self.name = f"grads[{index}]"
        self.dtype = dtypes.pop()
        self.shapes = {name: array.shape for name, array in parameters.items()}
        size = sum(array.size for array in parameters.values())
        self.values = np.empty(size, self.dtype)
        self.grads = np.empty(size, self.dtype)
        self.scratch = np.empty(size, self.dtype)
        self.moments = {name: np.zeros(size, self.dtype) for name in moments}

    def views(self, flat):
        """Yield (name, view of `flat` in the parameter's shape) in the module's order."""
        start = 0
        for name, shape in self.shapes.items():
            stop = start + math.prod(shape)
            yield name, flat[start:stop].reshape(shape)
            start = stop

    def check(self, grads):
        """Raise unless `grads` holds one array of the right shape for every parameter."""
        if set(grads) != set(self.shapes):
            raise ArgumentError(self.name, f"gradients for {list(self.shapes)}", str(list(grads)))
        for name, shape in self.shapes.items():
            if np.shape(grads[name]) != shape:
                raise ShapeError(f"{self.name}[{name!r}]", str(shape), str(np.shape(grads[name])))

    def gather(self, grads):
        """Copy current values and `grads` into the flat vectors; return the gradients' squared L2 norm."""
        current = self.module.parameters()
        for name, view in self.views(self.values):
            view[...] = current[name]
        for name, view in self.views(self.grads):
            view[...] = grads[name]
        # A float32 dot product of large gradients may overflow to inf; float64 cannot for float32 inputs.
        wide = self.grads.astype(np.float64)
        return float(wide @ wide)

    def scatter(self):
        """Copy the new values into the module."""
        self.module.update_parameters(dict(self.views(self.values)))


class _Optimizer:
    """What Adam and SGD share: checks, clipping by the global norm, state for resuming."""

    _moments: tuple[str, ...] = ()

    def __init__(self, modules, lr, clip_norm, weight_decay):
        modules = list(modules)
        for index, module in enumerate(modules):
            if not (hasattr(module, "parameters") and hasattr(module, "update_parameters")):
                raise ArgumentError(
                    f"modules[{index}]",
                    "an object with parameters() and update_parameters()",
                    type(module).__name__,
                )
        if not modules:
            raise ArgumentError("modules", "at least one module", "an empty list")
        self.lr = _finite_number("lr", lr, 0.0)
        self.clip_norm = (
            None if clip_norm is None else _finite_number("clip_norm", clip_norm, 0.0, open_low=True)
        )
        self.weight_decay = _finite_number("weight_decay", weight_decay, 0.0)
        self.step_count = 0
        self._groups = [_Group(index, module, self._moments) for index, module in enumerate(modules)]

    def step(self, grads):
        """Update all parameters once.

        Parameters
        ----------
        grads : sequence of dict
            One ``name -> array`` dict per module, in the order the modules were given.

        Returns
        -------
        float
            The L2 norm over all gradients of all modules before clipping.

        Raises
        ------
        ArgumentError, ShapeError
            A gradient is missing, has another shape, or is not finite; no parameter has changed then.

        Notes
        -----
        About a dozen passes over the parameters; no allocation but one float64 copy of the gradients.
        """
        grads = list(grads)
        if len(grads) != len(self._groups):
            raise ArgumentError("grads", f"{len(self._groups)} dicts, one per module", str(len(grads)))
        for group, group_grads in zip(self._groups, grads, strict=True):
            group.check(group_grads)
        norm = math.sqrt(sum(g.gather(d) for g, d in zip(self._groups, grads, strict=True)))
        if not math.isfinite(norm):
            raise ArgumentError("grads", "finite gradients", f"a norm of {norm}", "the training has diverged")
        self.step_count += 1
        clip = self.clip_norm is not None and norm > self.clip_norm
        for group in self._groups:
            if clip:
                group.grads *= self.clip_norm / norm
            if self.weight_decay:
                # Decoupled: the decay acts on the weights, not on the gradient, so the moments never see it.
                group.values *= 1.0 - self.lr * self.weight_decay
            self._update(group)
            group.scatter()
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
    """Adam (Kingma and Ba 2015) with bias correction; `weight_decay` is decoupled (AdamW).

    Parameters
    ----------
    modules : sequence
        Layers and heads, each with ``parameters()`` and ``update_parameters(dict)``.
    lr : float
        Learning rate; the attribute `lr` may be changed between steps.
    betas : (float, float)
        Decay of the first and second moment, each in [0, 1).
    eps : float
        Added to the root of the second moment.
    weight_decay : float
        Decoupled weight decay: each step multiplies the weights by ``1 - lr * weight_decay``.
    clip_norm : float or None
        Gradients are scaled so that their L2 norm over all modules does not exceed this.

    Examples
    --------
    >>> opt = rnncore.Adam([layer, head], lr=1e-2, clip_norm=1.0)
    >>> norm = opt.step([grads.params, head_grads.params])
    """

    _moments = ("exp_avg", "exp_avg_sq")

    def __init__(self, modules, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, clip_norm=None):
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ArgumentError("betas", "a pair of numbers in [0, 1)", repr(betas))
        self.betas = tuple(_finite_number(f"betas[{i}]", beta, 0.0, 1.0) for i, beta in enumerate(betas))
        self.eps = _finite_number("eps", eps, 0.0)
        super().__init__(modules, lr, clip_norm, weight_decay)

    def _update(self, group):
        beta1, beta2 = self.betas
        first, second = group.moments["exp_avg"], group.moments["exp_avg_sq"]
        scratch = group.scratch
        first *= beta1
        first += np.multiply(group.grads, 1.0 - beta1, out=scratch)
        np.multiply(group.grads, group.grads, out=scratch)
        scratch *= 1.0 - beta2
        second *= beta2
        second += scratch
        np.sqrt(second, out=scratch)
        scratch /= math.sqrt(1.0 - beta2**self.step_count)
        scratch += self.eps
        np.divide(first, scratch, out=scratch)
        scratch *= self.lr / (1.0 - beta1**self.step_count)
        group.values -= scratch


class SGD(_Optimizer):
    """Stochastic gradient descent with momentum.

    Parameters
    ----------
    modules, lr, weight_decay, clip_norm
        As for `Adam`.
    momentum : float
        In [0, 1): ``buffer = momentum * buffer + grad``.
    nesterov : bool
        Step along ``grad + momentum * buffer`` instead of ``buffer``; needs momentum > 0.
    """

    _moments = ("momentum_buffer",)

    def __init__(self, modules, lr=1e-2, momentum=0.0, nesterov=False, weight_decay=0.0, clip_norm=None):
        self.momentum = _finite_number("momentum", momentum, 0.0, 1.0)
        self.nesterov = bool(nesterov)
        if self.nesterov and not self.momentum:
            raise ArgumentError("momentum", "a number above 0 with nesterov=True", repr(momentum))
        super().__init__(modules, lr, clip_norm, weight_decay)

    def _update(self, group):
        buffer = group.moments["momentum_buffer"]
        buffer *= self.momentum
        buffer += group.grads
        if self.nesterov:
            np.multiply(buffer, self.momentum, out=group.scratch)
            group.scratch += group.grads
            group.scratch *= self.lr
        else:
            np.multiply(buffer, self.lr, out=group.scratch)
        group.values -= group.scratch


def _check_float(name, array):
    array = np.asarray(array)
    if array.dtype not in (np.float32, np.float64):
        raise DTypeError(name, "float32 or float64", str(array.dtype))
    return array


def mse_loss(pred, target, weight=None):
    """Mean squared error and its gradient.

    Parameters
    ----------
    pred : ndarray, float32 or float64, any shape
    target : array, the shape of `pred`
    weight : array, broadcastable to `pred`, optional
        Non-negative weights; the loss is ``sum(weight * (pred - target)**2) / sum(weight)``.

    Returns
    -------
    loss : float
        Summed in float64.
    dpred : ndarray, shape and dtype of `pred`

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        Shapes differ, `pred` is not a float array or is empty, weights are negative or sum to zero.
    """
    pred, target = _check_float("pred", pred), np.asarray(target)
    if target.shape != pred.shape:
        raise ShapeError("target", str(pred.shape), str(target.shape))
    if not pred.size:
        raise ShapeError("pred", "at least one element", str(pred.shape))
    error = pred.astype(np.float64) - target
    if weight is None:
        slope = error / error.size
    else:
        weight = np.asarray(weight, np.float64)
        try:
            weight = np.broadcast_to(weight, pred.shape)
        except ValueError:
            raise ShapeError("weight", f"broadcastable to {pred.shape}", str(weight.shape)) from None
        total = float(weight.sum())
        if not (total > 0 and weight.min() >= 0):
            raise ArgumentError("weight", "non-negative weights with a positive sum", f"a sum of {total}")
        slope = error * weight / total
    return float(np.vdot(error, slope)), (2.0 * slope).astype(pred.dtype)


def cross_entropy(logits, labels, ignore_index=-100):
    """Softmax cross-entropy averaged over the labels that count, and its gradient.

    Parameters
    ----------
    logits : ndarray, float32 or float64, shape (..., C)
    labels : array of integers, shape (...)
        Class numbers 0..C-1, or `ignore_index` where a position must not count (padding).
    ignore_index : int

    Returns
    -------
    loss : float
        Mean over the positions that count; 0.0 where none does.
    dlogits : ndarray, shape and dtype of `logits`
        Zero at ignored positions.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        Shapes do not fit, labels are not integers, or a label lies outside 0..C-1.

    Notes
    -----
    The largest logit is subtracted first, so no exponential overflows. Three passes in the dtype of `logits`.
    """
    logits, labels = _check_float("logits", logits), np.asarray(labels)
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ShapeError("logits", "(..., C) with C >= 1", str(logits.shape))
    if labels.shape != logits.shape[:-1]:
        raise ShapeError("labels", str(logits.shape[:-1]), str(labels.shape))
    if labels.dtype.kind not in "iu":
        raise DTypeError("labels", "integers", str(labels.dtype))
    classes = logits.shape[-1]
    flat, wanted = logits.reshape(-1, classes), labels.reshape(-1)
    counts = wanted != ignore_index
    bad = wanted[counts & ((wanted < 0) | (wanted >= classes))]
    if bad.size:
        raise ArgumentError("labels", f"0..{classes - 1} or {ignore_index}", str(bad[0]))
    rows = np.flatnonzero(counts)
    if not rows.size:
        return 0.0, np.zeros_like(logits)
    shifted = flat - flat.max(axis=-1, keepdims=True)
    chosen = shifted[rows, wanted[rows]].astype(np.float64)
    np.exp(shifted, out=shifted)
    totals = shifted.sum(axis=-1, keepdims=True)
    loss = float(np.mean(np.log(totals[rows, 0], dtype=np.float64) - chosen))
    shifted /= totals
    shifted[rows, wanted[rows]] -= 1.0
    shifted /= rows.size
    shifted[~counts] = 0.0
    return loss, shifted.reshape(logits.shape)


@dataclass(frozen=True)
class LinearGrads:
    """Gradients of `Linear`: `x` in the input's shape, `params` by parameter name."""

    x: np.ndarray
    params: dict[str, np.ndarray]


@dataclass
class LinearTape:
    """What `Linear.backward` needs: the input, the layer, the age of its parameters, whether it was used."""

    owner: Linear
    version: int
    x: np.ndarray
    used: bool = field(default=False)


class Linear:
    """A linear head, ``y = x W^T + b``, with explicit backward.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    dtype : "float32" or "float64"
    seed : int, SeedSequence or None
        `weight` (out_features, in_features) and `bias` (out_features,) are drawn uniformly from
        (-1/sqrt(in_features), 1/sqrt(in_features)), as PyTorch does.

    Raises
    ------
    ArgumentError, DTypeError
        A size is not a positive integer, or the dtype is another one.
    """

    def __init__(self, in_features, out_features, bias=True, dtype="float32", seed=None):
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
                raise ArgumentError(name, "an integer >= 1", repr(size))
        try:
            self.dtype = np.dtype(dtype)
        except TypeError:
            raise DTypeError("dtype", "float32 or float64", repr(dtype)) from None
        if self.dtype not in (np.float32, np.float64):
            raise DTypeError("dtype", "float32 or float64", str(self.dtype))
        self.in_features, self.out_features = int(in_features), int(out_features)
        bound = 1.0 / math.sqrt(self.in_features)
        rng = np.random.default_rng(seed)
        shapes = {"weight": (self.out_features, self.in_features)}
        if bias:
            shapes["bias"] = (self.out_features,)
        self._params = {
            name: rng.uniform(-bound, bound, shape).astype(self.dtype) for name, shape in shapes.items()
        }
        self._version = 0

    def __repr__(self):
        return (
            f"Linear({self.in_features}, {self.out_features}, bias={'bias' in self._params}, "
            f"dtype={self.dtype.name!r})"
        )

    def parameters(self):
        """Return a dict of read-only views, name -> array."""
        views = {name: array.view() for name, array in self._params.items()}
        for view in views.values():
            view.flags.writeable = False
        return views

    def state_dict(self):
        """Return a dict of copies, name -> array."""
        return {name: array.copy() for name, array in self._params.items()}

    def update_parameters(self, values):
        """Copy the given arrays into the parameters of these names.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            An unknown name, another shape, or not a real number array; nothing has changed then.
        """
        for name, value in values.items():
            if name not in self._params:
                raise ArgumentError("values", f"names from {list(self._params)}", repr(name))
            value = np.asarray(value)
            if value.shape != self._params[name].shape:
                raise ShapeError(name, str(self._params[name].shape), str(value.shape))
            if not np.can_cast(value.dtype, self.dtype, "same_kind"):
                raise DTypeError(name, self.dtype.name, str(value.dtype))
        for name, value in values.items():
            self._params[name][...] = value
        self._version += 1

    def load_state_dict(self, state):
        """As `update_parameters`, but every parameter must be there."""
        if set(state) != set(self._params):
            raise ArgumentError("state_dict", f"keys {list(self._params)}", str(list(state)))
        self.update_parameters(state)

    def _check(self, name, array, features):
        array = np.asarray(array)
        if array.dtype != self.dtype:
            raise DTypeError(name, self.dtype.name, str(array.dtype))
        if array.ndim < 1 or array.shape[-1] != features:
            raise ShapeError(name, f"(..., {features})", str(array.shape))
        return array

    def __call__(self, x):
        """Apply the layer to `x` (..., in_features); return (..., out_features)."""
        x = self._check("x", x, self.in_features)
        y = x @ self._params["weight"].T
        if "bias" in self._params:
            y += self._params["bias"]
        return y

    def forward(self, x):
        """Return ``(y, tape)``; the tape keeps `x` itself, which must not change before `backward`."""
        y = self(x)
        return y, LinearTape(self, self._version, np.asarray(x))

    def backward(self, tape, dy):
        """Return the gradients of one forward call.

        Parameters
        ----------
        tape : the tape of that call
        dy : ndarray, shape (..., out_features), the layer's dtype

        Returns
        -------
        LinearGrads
            `x` (..., in_features) and `params["weight"]`, `params["bias"]`.

        Raises
        ------
        TapeError
            The tape was used before, is another layer's, or is older than the parameters.
        ShapeError, DTypeError
            `dy` does not fit.
        """
        if not isinstance(tape, LinearTape) or tape.owner is not self:
            raise TapeError("tape", "a tape of this layer", "another one")
        if tape.used:
            raise TapeError("tape", "a fresh tape", "one that was used", "call forward again")
        if tape.version != self._version:
            raise TapeError("tape", "a tape of the current parameters", "an older one", "call forward again")
        dy = self._check("dy", dy, self.out_features)
        if dy.shape[:-1] != tape.x.shape[:-1]:
            raise ShapeError("dy", str((*tape.x.shape[:-1], self.out_features)), str(dy.shape))
        tape.used = True
        rows, drows = tape.x.reshape(-1, self.in_features), dy.reshape(-1, self.out_features)
        params = {"weight": drows.T @ rows}
        if "bias" in self._params:
            params["bias"] = drows.sum(axis=0)
        return LinearGrads(dy @ self._params["weight"], params)
