# SPDX-License-Identifier: MIT
"""Layers of descriptions and parameters, both of which may come from an untrusted file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError, shown
from ..spec import Spec, check_int, check_named, check_parameters
from . import layers
from .fleet import Fleet


def spec_of(fields: Any, parameters: Mapping[str, np.ndarray]) -> Spec:
    """The Spec that these fields describe, if there are as many arrays as it has parameters.

    Raises
    ------
    ArgumentError, DTypeError, SizeError
    """
    spec = Spec.from_dict(fields)
    # Counted before it is listed: a file may claim any number of layers.
    if len(parameters) != spec.parameter_count:
        raise ArgumentError("tensors", f"those of {spec}", f"{len(parameters)} arrays")
    return spec


def build_layer(
    spec: Spec, parameters: Mapping[str, Any], implementation: Any = None, *, seed: Any = 0
) -> Any:
    """A layer with these parameters.

    Parameters
    ----------
    spec : Spec
    parameters : mapping of str to array of spec.dtype
        PyTorch's names; checked before the layer is made, copied into it.
    implementation : module with RNN, LSTM, GRU, optional
        `rnncore.layers` if left out; `rnncore.reference` gives the float64 twin.
    seed : int or sequence of ints
        Of its dropout.

    Raises
    ------
    RnncoreError
    """
    checked = check_parameters(spec, parameters)
    make = getattr(layers if implementation is None else implementation, spec.table.title, None)
    if not callable(make):
        raise ArgumentError("implementation", "a module with RNN, LSTM and GRU", shown(implementation))
    layer = make(**spec.keywords(), seed=seed)
    layer.load_state_dict(checked)
    return layer


def build_fleet(fields: Any, models: Any, parameters: Mapping[str, Any]) -> Fleet:
    """A fleet of the architecture that these fields describe, with parameters (M, ...).

    Raises
    ------
    RnncoreError
        Before anything of the described size is made.
    """
    spec, models = spec_of(fields, parameters), check_int("models", models, 1)
    shapes = {name: (models, *shape) for name, shape in spec.parameter_shapes().items()}
    return Fleet._with_parameters(spec, check_named(shapes, spec.dtype, parameters))
