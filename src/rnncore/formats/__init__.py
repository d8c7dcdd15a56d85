# SPDX-License-Identifier: MIT
"""Weights in and out: PyTorch, Keras, ONNX, safetensors, and other systems' layouts through one table.

>>> found = rnncore.formats.load("model.onnx")          # .onnx .pt .pth .bin .safetensors .keras .h5
>>> layer = found.layer("encoder")                      # one recurrent layer, by its name in the file
>>> model = found.model()                               # the whole file, if it is a chain of known modules
>>> rnncore.formats.save(layer, "layer.onnx")

Each format is a module here; the packages they need are imported when a file of theirs is used. What would
lose something is refused with the reason.
"""

from .commands import convert, inspect, load, save
from .records import Contents, FormatError, Record
from .spec import SYSTEMS, from_system, to_system

__all__ = [
    "SYSTEMS",
    "Contents",
    "FormatError",
    "Record",
    "convert",
    "from_system",
    "inspect",
    "load",
    "save",
    "to_system",
]
