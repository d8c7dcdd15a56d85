# SPDX-License-Identifier: MIT
"""Weights in and out: PyTorch, Keras, ONNX, safetensors, and other systems' layouts through one table.

``rnncore.load(path)`` gives the layer or model that a file is, ``rnncore.save(layer, path)`` writes one. `load` here
shows all that a file holds:

    found = rnncore.formats.load("model.onnx")          # its content says the format
    layer = found.layer("encoder")                      # one recurrent layer, by its name in the file
    model = found.model()                               # the whole file, if it is a chain of known modules

Each format is a module here; the packages they need are imported when a file of theirs is used. What would
lose something is refused with the reason.
"""

from ..errors import FormatError
from .commands import convert, inspect
from .doors import contents as load
from .doors import save
from .layouts import SYSTEMS
from .native import from_bytes, to_bytes
from .records import Contents, Record
from .systems import Foreign, from_system, to_system

__all__ = [
    "SYSTEMS",
    "Contents",
    "Foreign",
    "FormatError",
    "Record",
    "convert",
    "from_bytes",
    "from_system",
    "inspect",
    "load",
    "save",
    "to_bytes",
    "to_system",
]
