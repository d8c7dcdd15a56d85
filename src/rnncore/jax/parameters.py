# SPDX-License-Identifier: MIT
"""Parameters as a dict of arrays: made, and read for what layer they are of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ..engine import Spec
from ..errors import ArgumentError, DTypeError
from ..spec import CELLS, check_parameters


def init(
    key: Any,
    cell: str,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    *,
    bias: bool = True,
    bidirectional: bool = False,
    proj_size: int = 0,
    peepholes: bool = False,
    coupled: bool = False,
    layer_norm: bool = False,
    dtype: Any = "float32",
) -> dict[str, Any]:
    """New parameters: uniform in (-1/sqrt(H), 1/sqrt(H)), gains one, an LSTM's bias_c zero.

    Parameters
    ----------
    key : jax.random.key
    cell : {"rnn", "lstm", "gru", "min_gru", "min_lstm"}
    input_size, hidden_size, num_layers : int
        I, H, L.
    bias, bidirectional : bool
    proj_size : int
        P of an LSTM with projection; 0: none.
    peepholes, coupled : bool
        Of the LSTM.
    layer_norm : bool
        Of the LSTM and the GRU.
    dtype : {"float32", "float64"}
        float64 needs ``jax.config.update("jax_enable_x64", True)``.

    Returns
    -------
    dict of str to jax.Array
        Names and shapes of torch.nn: weight_ih_l0 (G*H, I), weight_hh_l0 (G*H, H or P), bias_ih_l0 (G*H,), ...

    Raises
    ------
    ArgumentError, DTypeError, SizeError

    Examples
    --------
    >>> import jax, rnncore.jax
    >>> params = rnncore.jax.init(jax.random.key(0), "gru", 3, 4)
    >>> {name: array.shape for name, array in params.items()}
    {'weight_ih_l0': (12, 3), 'weight_hh_l0': (12, 4), 'bias_ih_l0': (12,), 'bias_hh_l0': (12,)}
    """
    spec = Spec(
        cell, input_size, hidden_size, num_layers, bias=bias, bidirectional=bidirectional, proj_size=proj_size,
        peepholes=peepholes, coupled=coupled, layer_norm=layer_norm, dtype=dtype,
    )  # fmt: skip
    if jax.dtypes.canonicalize_dtype(spec.dtype) != spec.dtype:
        raise DTypeError("dtype", "float32 without jax_enable_x64", spec.dtype)
    bound = 1 / math.sqrt(hidden_size)
    keys = jax.random.split(key, spec.parameter_count)
    return {
        name: jax.random.uniform(k, shape, spec.dtype, -bound, bound)
        if row.initial is None
        else jax.numpy.full(shape, row.initial, spec.dtype)
        for k, (name, row, shape) in zip(keys, spec.each_parameter(), strict=True)
    }


def stand_in(array: Any) -> np.ndarray:
    """A NumPy array of the shape and dtype of one whose values may not be known yet; takes no memory."""
    return np.broadcast_to(np.zeros((), array.dtype), array.shape)


def spec_of(cell: str, params: Mapping[str, Any], **options: Any) -> Spec:
    """The layer whose parameters these are.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        They are none of a layer's.
    """
    table = CELLS[cell]
    matrices = [f"{row.name}_l0" for row in table.parameters if row.name in ("weight_ih", "weight_hh")]
    for name in matrices:
        if getattr(params.get(name), "ndim", None) != 2:
            raise ArgumentError("params", f"a dict with the matrix {name}", sorted(params))
    weight_ih, *recurrent = (params[name] for name in matrices)
    projection = params.get("weight_hr_l0")
    H = recurrent[0].shape[1] if recurrent else len(weight_ih) // len(table.gates)
    P, H = (0, H) if projection is None else projection.shape
    if cell == "lstm":
        options |= {
            "proj_size": P,
            "peepholes": "weight_peephole_l0" in params,
            "coupled": weight_ih.shape[0] == 3 * H,
        }
    if "layer_norm" in table.options:
        options["layer_norm"] = "gain_ih_l0" in params
    spec = Spec(
        cell, weight_ih.shape[1], H, sum(f"weight_ih_l{k}" in params for k in range(len(params))),
        bias="bias_ih_l0" in params, bidirectional="weight_ih_l0_reverse" in params, dtype=weight_ih.dtype,
        **options,
    )  # fmt: skip
    check_parameters(spec, {name: stand_in(array) for name, array in params.items()})
    return spec
