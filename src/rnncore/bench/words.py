# SPDX-License-Identifier: MIT
"""Words that pages and pictures use for sets, cells, rows, threads and machines."""

import re
from typing import Any

from .cases import Case

SETS = {
    "stream": "single steps of a stream",
    "latency": "sequences of one row",
    "throughput": "batches",
    "ragged": "batches with lengths of their own",
    "odd": "sizes that no kernel was made for",
    "deepcpu": "DeepCPU's shapes",
    "trading": "trading models",
    "train": "training",
    "device": "DeepBench, devices",
    "server": "DeepBench, servers",
    "training": "DeepBench, training",
    "small": "small models",
    "real": "models in use",
    "int8": "weights of 8 bits",
}
"""Words for the sets of `shapes.SETS`, in the order of the page."""
CELLS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}


def machine(described: dict[str, Any]) -> str:
    """The hardware that `machine.describe` described: ``AMD EPYC (family 25/17/1), 2 cores, AVX-512``."""
    name = re.sub(r"\s*\(R\)|\s+Processor\b", "", described["cpu"])
    widest = "AVX-512" if "avx512f" in described["isa"] else "AVX2" if "avx2" in described["isa"] else "NEON"
    return f"{name} (family {described['family']}), {described['cores']} cores, {widest}"


def words(case: Case) -> str:
    """A case for people: ``LSTM, T = 25, N = 32, I = H = 512``."""
    parts = {
        f"T = {case.T}": case.mode != "step",
        f"N = {case.N}": True,
        f"I = H = {case.H}" if case.I == case.H else f"I = {case.I}, H = {case.H}": True,
        f"L = {case.L}": case.L > 1,
        "both directions": case.D == 2,
        "ragged": case.ragged,
        "float64": case.dtype == "float64",
        case.store: bool(case.store),
        "a whole iteration": case.mode == "fit",
    }
    return ", ".join([CELLS[case.cell], *(part for part, shown in parts.items() if shown)])


def thread_words(count: int) -> str:
    """``1 thread``, ``2 threads``."""
    return "1 thread" if count == 1 else f"{count} threads"
