# SPDX-License-Identifier: MIT
"""What stands around recurrent layers: modules, losses, optimisers."""

from .losses import cross_entropy, mse_loss, quantile_loss
from .mixture import mixture_loss, mixture_sample
from .optimisers import SGD, Adam
from .sequential import (
    ACTIVATIONS,
    KINDS,
    MERGES,
    Activation,
    Attention,
    Embedding,
    LayerNorm,
    Linear,
    Module,
    Recurrent,
    Sequential,
    SequentialStream,
    Softmax,
    build_module,
    reverse_valid,
    sigmoid,
    softmax,
)

__all__ = [
    "ACTIVATIONS",
    "KINDS",
    "MERGES",
    "SGD",
    "Activation",
    "Adam",
    "Attention",
    "Embedding",
    "LayerNorm",
    "Linear",
    "Module",
    "Recurrent",
    "Sequential",
    "SequentialStream",
    "Softmax",
    "build_module",
    "cross_entropy",
    "mixture_loss",
    "mixture_sample",
    "mse_loss",
    "quantile_loss",
    "reverse_valid",
    "sigmoid",
    "softmax",
]
