# SPDX-License-Identifier: MIT
"""The engine: runs networks whose parameters are anybody's arrays; it owns none.

Layers, and whatever else wants to be one, are front ends of these functions: `pack` lays parameters out for the
kernels, `forward` runs, `record` runs and keeps what `backward` needs, `stream` goes step by step, and `tape_bytes`
says what recording takes. A `Call` holds a call's arguments, checked; the choices of instruction set, backend and
number of threads are in `backends` and `threads`.
"""

from ..spec import Call, Spec, Training
from .calls import Tape, backward, forward, record, tape_bytes
from .memory import Spares
from .streams import Stream, stream
from .weights import Weights, needed, pack

__all__ = [
    "Call",
    "Spares",
    "Spec",
    "Stream",
    "Tape",
    "Training",
    "Weights",
    "backward",
    "forward",
    "needed",
    "pack",
    "record",
    "stream",
    "tape_bytes",
]
