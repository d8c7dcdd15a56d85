# SPDX-License-Identifier: MIT
"""The cells as functions of (params, x, state, lengths), with their gradients and their rule for vmap."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from .. import engine
from ..engine.backends import current_isa
from ..engine.threads import threads_for
from ..errors import UnsupportedError
from . import operators
from .operators import Plan
from .parameters import spec_of, stand_in

# Inference ---------------------------------------------------------------------------------------------------------


def _infer(plan: Plan, *operands: Any) -> Any:
    """`operators.forward` without a tape; vmap over inputs alone makes one call of all rows."""
    forward = functools.partial(operators.forward, plan, False)
    run = jax.custom_batching.custom_vmap(forward)

    @run.def_vmap
    def _(size: int, batched: list[Any], x: Any, lengths: Any, key: Any, state: Any, params: Any) -> Any:
        if any(batched[4]):  # other weights for each
            axes = jax.tree.map(lambda one: 0 if one else None, tuple(batched))
            results = jax.vmap(forward, axes)(x, lengths, key, state, params)
        else:
            x = _fold(x, batched[0], size, 0 if plan.batch_first else 1)
            lengths = _fold(lengths, batched[1], size, 0)
            state = tuple(_fold(part, one, size, 1) for part, one in zip(state, batched[3], strict=True))
            y, *state = _infer(plan, x, lengths, key, state, params)
            results = (
                _unfold(y, size, 0 if plan.batch_first else 1),
                *(_unfold(part, size, 1) for part in state),
            )
        return results, (True,) * len(results)

    return run(*operands)


def _fold(operand: Any, batched: bool, size: int, axis: int) -> Any:
    """The rows, along `axis`, of `size` calls as those of one."""
    if operand.shape[batched:] == (0,):  # nothing given
        return operand[0] if batched else operand
    operand = operand if batched else jnp.broadcast_to(operand, (size, *operand.shape))
    operand = jnp.moveaxis(operand, 0, axis)
    shape = operand.shape
    return operand.reshape(*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])


def _unfold(result: Any, size: int, axis: int) -> Any:
    """The result of each call."""
    shape = result.shape
    return jnp.moveaxis(result.reshape(*shape[:axis], size, shape[axis] // size, *shape[axis + 1 :]), axis, 0)


# Calls and their gradients -----------------------------------------------------------------------------------------


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _call(plan: Plan, x: Any, lengths: Any, key: Any, state: Any, params: Any) -> Any:
    """(y, h) or (y, h, c)."""
    if plan.draws:
        return operators.forward(plan, True, x, lengths, key, state, params)[:-2]
    return _infer(plan, x, lengths, key, state, params)


def _record(plan: Plan, x: Any, lengths: Any, key: Any, state: Any, params: Any) -> Any:
    if not plan.draws and (plan.spec.zoneout or plan.spec.zoneout_c):
        raise UnsupportedError("key", "a key where gradients are wanted with zoneout", "None")
    *results, packed, tape = operators.forward(plan, True, x, lengths, key, state, params)
    return tuple(results), (packed, tape, lengths, key)


def _reverse(plan: Plan, kept: Any, gradients: Any) -> Any:
    dx, *found = operators.backward(plan, *kept, *gradients)
    parts = len(gradients) - 1
    dstate = tuple(part if plan.given else jnp.zeros(0, part.dtype) for part in found[:parts])
    return dx, None, None, dstate, tuple(found[parts:])


_call.defvjp(_record, _reverse)
_compiled = jax.jit(_call, static_argnums=0)


def _run(
    cell: str,
    params: Mapping[str, Any],
    x: Any,
    state: Any,
    lengths: Any,
    key: Any,
    recurrent_dropout: float,
    checkpoint: Any,
    num_threads: int | None,
    **options: Any,
) -> Any:
    params = {name: jnp.asarray(array) for name, array in params.items()}
    spec, x = spec_of(cell, params, **options), jnp.asarray(x)
    state, lengths = jax.tree.map(jnp.asarray, state), None if lengths is None else jnp.asarray(lengths)
    if key is None:
        spec, recurrent_dropout = dataclasses.replace(spec, dropout=0.0), 0.0
    call = engine.Call(
        spec, stand_in(x), jax.tree.map(stand_in, state),
        lengths=None if lengths is None else stand_in(lengths), num_threads=num_threads,
    )  # fmt: skip
    training = engine.Training(call, checkpoint, recurrent_dropout)
    draws = key is not None and training.draws
    plan = Plan(
        spec, current_isa(), spec.batch_first and call.batched, state is not None, draws,
        threads_for(num_threads), training.segments, training.recurrent_dropout,
    )  # fmt: skip
    parts = state if isinstance(state, (tuple, list)) else (state,) * len(call.state)
    if not call.batched:
        x, parts = x[:, None], [part if part is None else part[:, None] for part in parts]
    none = jnp.zeros(0, spec.dtype)
    y, *final = _compiled(
        plan,
        x,
        jnp.zeros(0, "int32") if lengths is None else lengths,
        jax.random.bits(key, (2,), "uint32") if draws else jnp.zeros(0, "uint32"),
        tuple(none if part is None else part for part in parts),
        tuple(params[name] for name in spec.parameter_shapes()),
    )
    if not call.batched:
        y, final = y[:, 0], [part[:, 0] for part in final]
    return y, (tuple(final) if len(final) > 1 else final[0])


# The functions -----------------------------------------------------------------------------------------------------


def rnn(
    params: Mapping[str, Any], x: Any, state: Any = None, lengths: Any = None, *, key: Any = None,
    batch_first: bool = False, nonlinearity: str = "tanh", dropout: float = 0.0, recurrent_dropout: float = 0.0,
    zoneout: float = 0.0, clip: float | None = None, activations: Any = None, checkpoint: Any = None,
    num_threads: int | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """Run a basic RNN: arguments and result as `lstm`, but that the state is h alone; `nonlinearity` "tanh" or "relu".

    Examples
    --------
    >>> import jax, rnncore.jax
    >>> params = rnncore.jax.init(jax.random.key(0), "rnn", 3, 4, bidirectional=True)
    >>> y, h = rnncore.jax.rnn(params, jax.numpy.ones((5, 2, 3)))
    >>> y.shape, h.shape
    ((5, 2, 8), (2, 2, 4))
    """
    return _run(
        "rnn", params, x, state, lengths, key, recurrent_dropout, checkpoint, num_threads, batch_first=batch_first,
        nonlinearity=nonlinearity, dropout=dropout, zoneout=zoneout, clip=clip, activations=activations or (),
    )  # fmt: skip


def lstm(
    params: Mapping[str, Any], x: Any, state: Any = None, lengths: Any = None, *, key: Any = None,
    batch_first: bool = False, dropout: float = 0.0, recurrent_dropout: float = 0.0, zoneout: float = 0.0,
    zoneout_c: float = 0.0, clip: float | None = None, activations: Any = None, checkpoint: Any = None,
    num_threads: int | None = None,
) -> tuple[Any, tuple[Any, Any]]:  # fmt: skip
    """Run an LSTM.

    Parameters
    ----------
    params : dict of str to array
        Of `init`, or anybody's with torch.nn's names, shapes and order of gates, float32 or float64. They say how many
        layers and directions there are, and whether there are biases, a projection, peepholes, layer normalisation.
    x : array of the parameters' dtype, (T, N, I), with batch_first (N, T, I), or unbatched (T, I)
    state : pair (h, c), optional
        h (L*D, N, H or P), c (L*D, N, H), without N if unbatched; zeros if left out.
    lengths : ints (N,), optional
        Valid steps of each row, 0..T; outputs at padding are 0. Values, not shapes: other lengths compile nothing anew.
    key : jax.random.key, optional
        Of the masks of `dropout`, `recurrent_dropout` and zoneout; without it there are none, as in evaluation.
    batch_first : bool
    dropout, recurrent_dropout, zoneout, zoneout_c : float
        Probabilities, as those of `rnncore.LSTM` and its `forward`.
    clip : float, optional
    activations : optional
        As `rnncore.LSTM` takes them; hashable.
    checkpoint : None, "gates" or int, optional
        What backward computes again to save memory, as in `rnncore.LSTM.forward`.
    num_threads : int, optional
        `get_num_threads()` when the call is traced, if left out.

    Returns
    -------
    y : (T, N, D*H or D*P), in x's layout
    state : (h, c)

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, UnsupportedError
        When the call is traced.
    jax.errors.JaxRuntimeError
        When it runs: a length outside 0..T, or no memory.

    Notes
    -----
    Gradients are of first order, in params, x and state. On CPUs. Under vmap, calls that share their parameters and are
    not differentiated run as one batch; others one after the other. The tape of a differentiated call has room for all
    T*N steps, whatever the lengths. `use_backend` has no effect, and `use_isa` where a call is traced.

    Examples
    --------
    >>> import jax, rnncore.jax
    >>> params = rnncore.jax.init(jax.random.key(0), "lstm", 3, 4)
    >>> def loss(params, x, lengths):
    ...     y, _ = rnncore.jax.lstm(params, x, lengths=lengths)
    ...     return (y**2).sum()
    >>> x, lengths = jax.numpy.ones((5, 2, 3)), jax.numpy.array([5, 2])
    >>> grads = jax.jit(jax.grad(loss))(params, x, lengths)
    >>> grads["weight_hh_l0"].shape
    (16, 4)
    """
    return _run(
        "lstm", params, x, state, lengths, key, recurrent_dropout, checkpoint, num_threads, batch_first=batch_first,
        dropout=dropout, zoneout=zoneout, zoneout_c=zoneout_c, clip=clip, activations=activations or (),
    )  # fmt: skip


def gru(
    params: Mapping[str, Any], x: Any, state: Any = None, lengths: Any = None, *, key: Any = None,
    batch_first: bool = False, reset_after: bool = True, dropout: float = 0.0, recurrent_dropout: float = 0.0,
    zoneout: float = 0.0, clip: float | None = None, activations: Any = None, checkpoint: Any = None,
    num_threads: int | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """Run a GRU: arguments and result as `lstm`, but that the state is h alone; `reset_after` as `rnncore.GRU`.

    Examples
    --------
    >>> import jax, rnncore.jax
    >>> params = rnncore.jax.init(jax.random.key(0), "gru", 3, 4, num_layers=2)
    >>> y, h = rnncore.jax.gru(params, jax.numpy.ones((5, 2, 3)), lengths=[5, 2])
    >>> y.shape, h.shape, bool(y[2:, 1].any())
    ((5, 2, 4), (2, 2, 4), False)
    """
    return _run(
        "gru", params, x, state, lengths, key, recurrent_dropout, checkpoint, num_threads, batch_first=batch_first,
        reset_after=reset_after, dropout=dropout, zoneout=zoneout, clip=clip, activations=activations or (),
    )  # fmt: skip


def min_gru(
    params: Mapping[str, Any], x: Any, state: Any = None, lengths: Any = None, *, key: Any = None,
    batch_first: bool = False, dropout: float = 0.0, recurrent_dropout: float = 0.0, zoneout: float = 0.0,
    clip: float | None = None, activations: Any = None, checkpoint: Any = None, num_threads: int | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """Run a minGRU, which has no recurrent matrix: arguments and result as `lstm`, but that the state is h alone.

    Examples
    --------
    >>> import jax, rnncore.jax
    >>> params = rnncore.jax.init(jax.random.key(0), "min_gru", 3, 4)
    >>> y, h = rnncore.jax.min_gru(params, jax.numpy.ones((5, 2, 3)), lengths=[5, 2])
    >>> sorted(params), y.shape
    (['bias_ih_l0', 'weight_ih_l0'], (5, 2, 4))
    """
    return _run(
        "min_gru", params, x, state, lengths, key, recurrent_dropout, checkpoint, num_threads,
        batch_first=batch_first, dropout=dropout, zoneout=zoneout, clip=clip, activations=activations or (),
    )  # fmt: skip


def min_lstm(
    params: Mapping[str, Any], x: Any, state: Any = None, lengths: Any = None, *, key: Any = None,
    batch_first: bool = False, dropout: float = 0.0, recurrent_dropout: float = 0.0, zoneout: float = 0.0,
    clip: float | None = None, activations: Any = None, checkpoint: Any = None, num_threads: int | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """Run a minLSTM, which has no recurrent matrix: arguments and result as `lstm`, but that the state is h alone.

    Examples
    --------
    >>> import jax, rnncore.jax
    >>> params = rnncore.jax.init(jax.random.key(0), "min_lstm", 3, 4)
    >>> y, h = rnncore.jax.min_lstm(params, jax.numpy.ones((5, 2, 3)), lengths=[5, 2])
    >>> sorted(params), y.shape
    (['bias_ih_l0', 'weight_ih_l0'], (5, 2, 4))
    """
    return _run(
        "min_lstm", params, x, state, lengths, key, recurrent_dropout, checkpoint, num_threads,
        batch_first=batch_first, dropout=dropout, zoneout=zoneout, clip=clip, activations=activations or (),
    )  # fmt: skip
