# SPDX-License-Identifier: MIT
"""What stands around recurrent layers: modules, losses, optimisers.

A module runs by ``module(x)``, trains by ``module.forward(x)``, which gives a result and a tape, and
``module.backward(tape, dy)``, which gives gradients; an optimiser's ``step`` takes those.
"""

from ..layers.module import Module
from .activation import Activation, Softmax
from .attention import Attention
from .batches import Batch
from .callbacks import Progress, Run
from .container import Container
from .dropout import Dropout
from .embedding import Embedding
from .fleet_losses import fleet_cross_entropy, fleet_mse_loss
from .fleet_run import FleetRun
from .fleets import FleetAdam, FleetLinear, FleetSGD
from .functions import ACTIVATIONS, sigmoid, softmax
from .kinds import KINDS, build_module
from .layer_norm import LayerNorm
from .linear import Linear
from .losses import cross_entropy, mse_loss, quantile_loss
from .mixture import mixture_loss, mixture_sample
from .optimisers import SGD, Adam
from .recurrent import MERGES, Recurrent, reverse_valid
from .schedules import Cosine
from .sequential import Sequential
from .sessions import SessionPool
from .stacks import stack, unstack
from .stream import SequentialStream
from .training import fit
from .workers import Comm, WorkerError

__all__ = [
    "ACTIVATIONS",
    "KINDS",
    "MERGES",
    "SGD",
    "Activation",
    "Adam",
    "Attention",
    "Batch",
    "Comm",
    "Container",
    "Cosine",
    "Dropout",
    "Embedding",
    "FleetAdam",
    "FleetLinear",
    "FleetRun",
    "FleetSGD",
    "LayerNorm",
    "Linear",
    "Module",
    "Progress",
    "Recurrent",
    "Run",
    "Sequential",
    "SequentialStream",
    "SessionPool",
    "Softmax",
    "WorkerError",
    "build_module",
    "cross_entropy",
    "fit",
    "fleet_cross_entropy",
    "fleet_mse_loss",
    "mixture_loss",
    "mixture_sample",
    "mse_loss",
    "quantile_loss",
    "reverse_valid",
    "sigmoid",
    "softmax",
    "stack",
    "unstack",
]
