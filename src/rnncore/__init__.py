# SPDX-License-Identifier: MIT
"""Recurrent neural networks (basic RNN, LSTM, GRU, minGRU, minLSTM) on CPUs, to the last bit the same everywhere.

>>> import numpy as np, rnncore
>>> layer = rnncore.LSTM(8, 32, seed=0)
>>> y, (h, c) = layer(np.zeros((100, 1, 8), np.float32))
>>> y.shape
(100, 1, 32)
"""

import importlib
from typing import TYPE_CHECKING, Any

from .engine.backends import isas, use_backend, use_isa
from .engine.config import show_config
from .engine.threads import get_num_threads, set_num_threads
from .errors import RnncoreError
from .layers import GRU, LSTM, RNN, Fleet, MinGRU, MinLSTM, Stream
from .spec.parameters import set_writer
from .version import __version__ as __version__

if TYPE_CHECKING:
    from . import formats as formats
    from . import nn as nn
    from . import ragged as ragged
    from . import reference as reference
    from .engine.development import get_include, get_library_dir
    from .forecast import Forecaster
    from .formats.doors import load, save
    from .nn import SGD, Adam, Linear, SessionPool, cross_entropy, mixture_loss, mixture_sample, mse_loss

# Loaded when first asked for, so that who only runs layers does not pay for the rest. A name maps to its module.
_LATER = {
    "Adam": "nn",
    "Forecaster": "forecast",
    "Linear": "nn",
    "SGD": "nn",
    "SessionPool": "nn",
    "cross_entropy": "nn",
    "get_include": "engine.development",
    "get_library_dir": "engine.development",
    "load": "formats.doors",
    "mixture_loss": "nn",
    "mixture_sample": "nn",
    "mse_loss": "nn",
    "save": "formats.doors",
}
_LATER_MODULES = ("formats", "nn", "ragged", "reference")


@set_writer
def _write(module: Any, path: Any, compact: bool) -> None:
    importlib.import_module(".formats.doors", __name__).save(module, path, compact=compact)


def __getattr__(name: str) -> Any:
    if name in _LATER_MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _LATER:
        value = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "Adam",
    "Fleet",
    "Forecaster",
    "Linear",
    "MinGRU",
    "MinLSTM",
    "RnncoreError",
    "SessionPool",
    "Stream",
    "cross_entropy",
    "formats",
    "get_include",
    "get_library_dir",
    "get_num_threads",
    "isas",
    "load",
    "mixture_loss",
    "mixture_sample",
    "mse_loss",
    "nn",
    "ragged",
    "reference",
    "save",
    "set_num_threads",
    "show_config",
    "use_backend",
    "use_isa",
]
