# SPDX-License-Identifier: MIT
"""The systems that are compared, one small file each. To add one: a class like `base.Peer`, and a line in
`PEERS`."""

import importlib

from .base import Peer

PEERS = {
    "rnncore": "rnncore_fused:RnncoreFused",
    "rnncore-blas": "rnncore_fused:RnncoreBlas",
    "torch": "torch_peer:Torch",
    "onnxruntime": "onnxruntime_peer:OnnxRuntime",
    "onnxruntime-bound": "onnxruntime_peer:OnnxRuntimeBound",
    "openvino": "openvino_peer:OpenVino",
    "jax": "jax_peer:Jax",
    "keras": "keras_peer:Keras",
    "numpy": "numpy_peer:Numpy",
}
"""Name to ``module:class`` in this package. Importing the module never imports the system it speaks to."""


def load(name: str) -> type[Peer]:
    """Class of a peer. KeyError for an unknown name."""
    module, _, attribute = PEERS[name].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
