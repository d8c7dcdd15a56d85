# SPDX-License-Identifier: MIT
"""What stands around recurrent layers in Keras models, as modules. A new kind of layer in a chain is a row in CHAIN."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ArgumentError, UnsupportedError
from ..nn import build_module
from . import keras_functions
from .keras_functions import Function, function_of
from .records import narrow

Stages = list[Callable[..., Any]]
"""Makers of modules, each taking an implementation."""


def _make(kind: str, parameters: dict[str, np.ndarray], **fields: Any) -> Stages:
    config = {"kind": kind} | fields
    return [functools.partial(build_module, config, parameters)]


def function_stages(function: Function) -> Stages:
    """A function as modules: none for the one that changes nothing."""
    name, *parameters = function
    if function == keras_functions.FUNCTIONS["linear"]:
        return []
    if name == "softmax":
        return _make("Softmax", {})
    return _make("Activation", {}, name=name, **dict(zip(("alpha", "beta"), parameters, strict=False)))


def _expect(name: str, weights: list[np.ndarray], *ranks: int) -> None:
    """ArgumentError unless there are so many arrays, of these ranks."""
    got = tuple(array.ndim for array in weights)
    if got != ranks:
        raise ArgumentError(name, f"arrays of ranks {ranks}", f"{got}")


def _dense(name: str, config: dict[str, Any], weights: list[np.ndarray], version: int) -> Stages:
    bias = bool(config.get("use_bias", True))
    _expect(name, weights, *((2, 1) if bias else (2,)))
    weight = narrow(weights[0].T, name)
    if config.get("units", len(weight)) != len(weight):
        raise ArgumentError(name, f"a kernel of {config['units']} units", f"shape {weights[0].shape}")
    parameters = {"weight": weight} | ({"bias": narrow(weights[1], name)} if bias else {})
    rows, columns = weight.shape
    linear = _make(
        "Linear", parameters, in_features=columns, out_features=rows, bias=bias, dtype=weight.dtype.name
    )
    return linear + function_stages(function_of(config.get("activation"), version))


def _embedding(name: str, config: dict[str, Any], weights: list[np.ndarray], version: int) -> Stages:
    if config.get("mask_zero"):
        raise UnsupportedError(name, "mask_zero False", True, "pass lengths instead of masks")
    _expect(name, weights, 2)
    weight = narrow(weights[0], name)
    rows, features = weight.shape
    return _make(
        "Embedding", {"weight": weight}, num_embeddings=rows, embedding_dim=features, dtype=weight.dtype.name
    )


def _layer_norm(name: str, config: dict[str, Any], weights: list[np.ndarray], version: int) -> Stages:
    axis = config.get("axis", -1)
    if axis not in (-1, [-1], 2, [2]) or config.get("rms_scaling"):
        raise UnsupportedError(name, "normalization over the last axis", f"axis {axis}")
    scale, center = bool(config.get("scale", True)), bool(config.get("center", True))
    if not (scale or center):
        raise UnsupportedError(name, "a learnt scale or centre", "neither", "its size is not known")
    _expect(name, weights, *[1] * (scale + center))
    own, dtype = list(weights), narrow(weights[0], name).dtype
    weight = own.pop(0) if scale else np.ones(len(weights[0]), dtype)
    bias = own.pop(0) if center else np.zeros(len(weights[0]), dtype)
    parameters = {"weight": narrow(weight, name), "bias": narrow(bias, name)}
    eps = float(config.get("epsilon", 1e-3))
    return _make("LayerNorm", parameters, features=len(weight), eps=eps, dtype=dtype.name)


def _dropout(name: str, config: dict[str, Any], weights: list[np.ndarray], version: int) -> Stages:
    """Elements dropped one by one are a module; other noise of training is left out."""
    rate = config.get("rate", 0)
    alone = isinstance(rate, (int, float)) and 0 < rate < 1 and config.get("noise_shape") is None
    return _make("Dropout", {}, p=float(rate)) if alone else []


def _time_distributed(name: str, config: dict[str, Any], weights: list[np.ndarray], version: int) -> Stages:
    inner = config["layer"]
    if inner["class_name"] not in ("Dense", "LayerNormalization", "Dropout", *keras_functions.LAYERS):
        raise UnsupportedError(name, "TimeDistributed around Dense", inner["class_name"])
    return CHAIN[inner["class_name"]](name, inner["config"], weights, version)


def _masking(name: str, config: dict[str, Any], weights: list[np.ndarray], version: int) -> Stages:
    raise UnsupportedError(name, "no mask", "Masking", "pass lengths instead of masks")


def _nothing(name: str, config: dict[str, Any], weights: list[np.ndarray], version: int) -> Stages:
    return []


def _function(kind: str) -> Callable[..., Stages]:
    def stages(name: str, config: dict[str, Any], weights: list[np.ndarray], version: int) -> Stages:
        return function_stages(keras_functions.LAYERS[kind](config, version))

    return stages


CHAIN: dict[str, Callable[..., Stages]] = {
    "InputLayer": _nothing,
    "Dropout": _dropout,
    "SpatialDropout1D": _nothing,
    "GaussianNoise": _nothing,
    "Dense": _dense,
    "Embedding": _embedding,
    "LayerNormalization": _layer_norm,
    "TimeDistributed": _time_distributed,
    "Masking": _masking,
} | {kind: _function(kind) for kind in keras_functions.LAYERS}


def masks(kind: str, config: dict[str, Any]) -> bool:
    """Whether a layer tells those after it to leave out steps."""
    return kind == "Masking" or (kind == "Embedding" and bool(config.get("mask_zero")))
