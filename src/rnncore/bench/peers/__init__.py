# SPDX-License-Identifier: MIT
"""The systems that are compared, one small file each.

To add one here: a class like `Peer`, and a line in `BUILT_IN`. Another distribution adds one as an entry point of the
group `GROUP`: ``[project.entry-points."rnncore.bench.peers"]``, ``name = "module:Class"``.
"""

import warnings
from importlib.metadata import EntryPoint, entry_points

from .base import HELD, Peer

__all__ = [
    "BUILT_IN",
    "GROUP",
    "HELD",
    "PEERS",
    "Peer",
    "environment",
    "find",
    "installed",
    "load",
    "missing",
]

GROUP = "rnncore.bench.peers"
BUILT_IN = {
    "rnncore": "rnncore_fused:RnncoreFused",
    "rnncore-again": "rnncore_fused:RnncoreAgain",
    "rnncore-blas": "rnncore_fused:RnncoreBlas",
    "rnncore-torch": "torch_peer:RnncoreTorch",
    "torch": "torch_peer:Torch",
    "torch-compile": "torch_compiled:TorchCompiled",
    "onnxruntime": "onnxruntime_peer:OnnxRuntime",
    "onnxruntime-bound": "onnxruntime_peer:OnnxRuntimeBound",
    "openvino": "openvino_peer:OpenVino",
    "onednn": "onednn_peer:OneDnn",
    "jax": "jax_peer:Jax",
    "keras": "keras_peer:Keras",
    "numpy": "numpy_peer:Numpy",
}
"""Name to ``module:class`` in this package. Importing the module never imports the system it speaks to."""


def find() -> dict[str, EntryPoint]:
    """Peers by name: those of this package, then those of other distributions, which cannot take a name twice."""
    found = {name: EntryPoint(name, f"{__name__}.{place}", GROUP) for name, place in BUILT_IN.items()}
    for point in entry_points(group=GROUP):
        if found.setdefault(point.name, point).value != point.value:
            warnings.warn(f"the peer {point.name!r} of {point.value} is left out: the name is taken")
    return found


PEERS = find()


def load(name: str) -> type[Peer]:
    """Class of a peer. KeyError for an unknown name, ImportError for one of another distribution that is broken."""
    return PEERS[name].load()


def missing(name: str) -> str:
    """What a peer lacks to run here, or an empty string."""
    try:
        return load(name).missing()
    except (ImportError, AttributeError) as error:
        return f"{PEERS[name].value} ({error})"


def installed() -> list[str]:
    """Names of the peers that run here and are not only for who asks for them."""
    return [name for name in PEERS if not missing(name) and not load(name).asked_for]


def environment(name: str, threads: int, isa: str = "") -> dict[str, str]:
    """Environment variables for the process of a peer: its threads, and an instruction set of `HELD` it is held to."""
    found = dict(load(name).environment(threads))
    for variable, value in HELD[isa].items():
        # First, for XLA stops at a word that is no flag.
        found[variable] = f"{value} {found[variable]}" if variable in found else value
    return found
