# SPDX-License-Identifier: MIT
"""Packed weights: parameters laid out for the kernels of one instruction set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, UnsupportedError
from ..spec import Call, Spec, check_bool, check_int, check_parameters, check_probability, check_type, masks
from ..spec.stores import OPERANDS
from . import _core
from .backends import current_backend, current_isa
from .blas import scipy_blas

if TYPE_CHECKING:
    from collections.abc import Mapping

# Beside the core's own bits: plain copies, for the naive loop.
_NAIVE = 1 << 8
_ALL = _NAIVE | _core.FORWARD | _core.BACKWARD | _core.BLAS


def needed(training: bool = False) -> int:
    """What weights must be packed for, to serve calls of the present backend.

    Parameters
    ----------
    training : bool
        Whether the calls are recorded for backward.

    Returns
    -------
    int
        Bits, for `pack` and to compare with `Weights.uses`.
    """
    backend, training = current_backend(), check_bool("training", training)
    if backend == "naive" and not training:
        return _NAIVE
    forward = _core.BLAS if backend == "blas" else _core.FORWARD
    return forward | _core.BACKWARD if training else forward


class Weights:
    """Parameters packed for one instruction set; immutable, may be used by many threads.

    `pack` makes them of anybody's arrays; who knows that its arrays are contiguous and fit may make them directly, for
    the kernels alone also of a list of addresses, in the order of `Spec.parameter_shapes`.

    Attributes
    ----------
    spec : Spec
    isa : str
    uses : int
        What they are packed for; see `needed`.
    version : int
        Of the parameters, as who packed them counts.
    dropped : None or (int, float)
        Key and probability of weight dropout.
    """

    __slots__ = ("dropped", "isa", "packed", "plain", "plan", "spec", "uses", "version")

    def __init__(
        self,
        spec: Spec,
        parameters: dict[str, Any] | list[Any],
        uses: int,
        *,
        version: int = 0,
        drop: tuple[int, float] | None = None,
        spare: _core.Spare | None = None,
        plan: _core.Plan | None = None,
    ) -> None:
        self.spec: Spec = spec
        self.isa: str = current_isa()
        self.uses: int = uses
        self.version: int = version
        self.dropped: tuple[int, float] | None = drop
        if drop is not None:
            parameters = _dropped(spec, parameters, *drop)
        if uses & _core.BLAS and spec.store in OPERANDS:
            raise UnsupportedError(
                "backend", "'fused' or 'naive' for integers", "'blas'", "a BLAS multiplies floats"
            )
        blas = scipy_blas() if uses & _core.BLAS else None
        self.plan: _core.Plan = plan or _core.Plan(spec, self.isa, blas)
        # Only what is asked for: copies for the naive loop, or packed for the kernels.
        self.plain: dict[str, np.ndarray] | None = None
        self.packed: _core.Weights | None = None
        if uses & _NAIVE:
            self.plain = {name: array.copy() for name, array in parameters.items()}
        if uses & ~_NAIVE:
            self.packed = _core.Weights(self.plan, parameters, uses & ~_NAIVE, version, spare)


def pack(
    spec: Spec,
    parameters: Mapping[str, Any],
    uses: int | None = None,
    *,
    version: int = 0,
    drop: tuple[int, float] | None = None,
    spare: _core.Spare | None = None,
) -> Weights:
    """Lay parameters out for the kernels of the present instruction set.

    Parameters
    ----------
    spec : Spec
    parameters : mapping of str to array of spec.dtype
        Names and shapes of `Spec.parameter_shapes`; read, not kept.
    uses : int, optional
        From `needed`; `needed()` if left out.
    version : int
        Whatever tells one state of the parameters from another; kept.
    drop : (int, float), optional
        Weight dropout of one call: its key, and the probability with which elements of each weight_hh become 0.
    spare : Spare, optional
        Where the memory goes when nobody holds the weights any more, and where it comes from.

    Returns
    -------
    Weights

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, SizeError, MemoryExhaustedError

    Notes
    -----
    Reads and writes every parameter once for inference, twice with training.

    Examples
    --------
    >>> import numpy as np
    >>> from rnncore import engine
    >>> spec = engine.Spec("gru", 3, 4)
    >>> zeros = {name: np.zeros(shape, "float32") for name, shape in spec.parameter_shapes().items()}
    >>> weights = engine.pack(spec, zeros)
    >>> y, h = engine.forward(weights, engine.Call(spec, np.ones((5, 2, 3), "float32")))
    >>> y.shape
    (5, 2, 4)
    """
    check_type("spec", spec, Spec, "a Spec")
    check_type("spare", spare, (_core.Spare, type(None)), "a Spare or None")
    check_int("version", version, 0)
    if drop is not None:
        drop = _checked_drop(drop)
    dense = {
        name: array if array.flags.c_contiguous and array.flags.aligned else np.array(array, order="C")
        for name, array in check_parameters(spec, parameters).items()
    }
    uses = needed() if uses is None else check_int("uses", uses, 1) & _ALL
    return Weights(spec, dense, uses, version=version, drop=drop, spare=spare)


def _checked_drop(drop: Any) -> tuple[int, float]:
    """Key and probability of weight dropout."""
    check_type("drop", drop, tuple, "a pair (key, p)")
    if len(drop) != 2:
        raise ArgumentError("drop", "a pair (key, p)", f"{len(drop)} values")
    check_type("drop[0]", drop[0], (int, np.integer), "an integer, the key")
    return int(drop[0]) % 2**64, check_probability("drop[1]", drop[1])


def recurrent_masks(spec: Spec, key: int, p: float) -> list[tuple[str, int, float]]:
    """Names of the recurrent matrices, if there are any, and the key and probability of each one's mask."""
    suffixes = spec.suffixes() if spec.is_recurrent else ()
    return [("weight_hh" + s, masks.layer_key(key, masks.WEIGHT + k), p) for k, s in enumerate(suffixes)]


def _dropped(spec, parameters, key, p):
    """The parameters with elements of each weight_hh dropped."""
    values = dict(parameters)
    for name, own_key, q in recurrent_masks(spec, key, p):
        values[name] = np.empty_like(parameters[name])
        _core.dropout(values[name], parameters[name], own_key, q)
    return values


def check_uses(weights: Weights, call: Call, uses: int) -> None:
    """ArgumentError unless these weights are of the call's Spec and serve these uses."""
    check_type("weights", weights, Weights, "Weights of pack")
    check_type("call", call, Call, "a Call")
    if weights.spec is not call.spec and weights.spec != call.spec:
        raise ArgumentError("weights", f"those of {call.spec}", f"those of {weights.spec}")
    if weights.uses & uses != uses:
        raise ArgumentError("weights", "packed for such calls", "packed for others", "pack(..., needed(...))")
