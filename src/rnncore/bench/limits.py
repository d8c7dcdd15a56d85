# SPDX-License-Identifier: MIT
"""What the machine can do at best, and from it the shortest possible time of a case.

The rates are measured by the extension `_limits` (C); the table they give is plain data that travels in the
JSON.
"""

import dataclasses
import importlib
import importlib.util
import itertools
import math
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .cases import GATES, Case

SIZES = tuple(
    kb * 1024 for kb in (32, 64, 128, 256, 512, 768, 1024, 1536, 2048, 4096, 8192, 16384, 32768, 65536)
)
"""Bytes of weights at which the read bandwidth is measured; closer together round the usual L2 sizes."""


SCALING = 0.85
"""Least part of n times one thread's peak that n free cores reach; a clock lower by 10 % is usual."""
TRIES = 9
"""Short measurements of a rate beside a row."""
DRIFT = 0.1
"""Largest change of the peak during a run that passes without a word."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Measured rates.

    Attributes
    ----------
    isa : str
        Instruction set with the highest peak; the bandwidths are measured with it.
    peaks : dict
        ``"<isa>/<dtype>/<threads>"`` to FLOP/s.
    bandwidth : dict
        ``"<threads>"`` to a list of (bytes, bytes/s) with rising sizes.
    flag_latency : float or None
        Seconds from one core's store to the other's load; None on one core.
    tail : tuple of float or None
        Seconds of a loop in registers of about 1 us: median, and what one in a thousand exceeds. How long the
        tail of any call of that length must be here.
    drift : dict
        The peak measured again at the end of the run, over the first, by threads: 1.0 when the clock held.
    """

    isa: str
    peaks: dict[str, float]
    bandwidth: dict[str, list[tuple[float, float]]]
    flag_latency: float | None = None
    tail: tuple[float, float] | None = None
    drift: dict[str, float] = dataclasses.field(default_factory=dict)

    def peak(self, dtype: str, threads: int) -> float:
        """FLOP/s of the best instruction set. KeyError when that number of threads was not measured."""
        return self.peaks[f"{self.isa}/{dtype}/{threads}"]

    def read_rate(self, size: float, threads: int) -> float:
        """Bytes/s for weights of `size` bytes, interpolated in log(size); the ends of the table beyond it."""
        table = self.bandwidth[str(threads)]
        if size <= table[0][0]:
            return table[0][1]
        for (low, low_rate), (high, high_rate) in itertools.pairwise(table):
            if size <= high:
                part = math.log(size / low) / math.log(high / low)
                return low_rate + part * (high_rate - low_rate)
        return table[-1][1]

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` gives an equal object back."""
        data = dataclasses.asdict(self)
        for count, rows in self.bandwidth.items():
            data["bandwidth"][count] = [[int(size), rate] for size, rate in rows]
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Limits":
        """Read what `to_json` wrote, also after a round trip through text."""
        bandwidth = {
            key: [(float(size), float(rate)) for size, rate in rows]
            for key, rows in data["bandwidth"].items()
        }
        tail = tuple(data["tail"]) if data.get("tail") else None  # reports of before have none
        return cls(
            data["isa"], dict(data["peaks"]), bandwidth, data["flag_latency"], tail, dict(data["drift"])
        )


def extension() -> Any:
    """The compiled module, or None where it was not built (no POSIX threads, no vector extensions)."""
    if importlib.util.find_spec("rnncore.bench._limits") is None:
        return None
    return importlib.import_module("rnncore.bench._limits")


def measure(
    threads: tuple[int, ...] = (1,), *, seconds: float = 0.05, sizes: tuple[int, ...] = SIZES
) -> Limits | None:
    """Measure this machine; None where the extension is missing.

    Cost: `seconds` for each instruction set, dtype, size and number of threads; about 2 s per number of
    threads. Keep the machine idle: each figure is the best of its trials, which hides short disturbances
    only.
    """
    core = extension()
    if core is None:
        return None
    peaks = {}
    for isa in core.isas():
        for dtype in ("float32", "float64"):
            for count in threads:
                peaks[f"{isa}/{dtype}/{count}"] = 1e9 * core.fma_peak(isa, dtype, count, seconds)
    best = max(core.isas(), key=lambda isa: peaks[f"{isa}/float32/{threads[0]}"])
    bandwidth = {}
    for count in threads:
        rates = [
            (float(size), 1e9 * core.read_bandwidth(best, size, "float32", count, seconds)) for size in sizes
        ]
        bandwidth[str(count)] = rates
    latency = 1e-9 * core.flag_latency(4 * seconds) if (os.cpu_count() or 1) > 1 else None
    median, p999 = core.tail(20 * seconds)
    return Limits(best, peaks, bandwidth, latency, (1e-9 * median, 1e-9 * p999))


def typical(measure_once: Callable[..., float], *arguments: Any) -> float:
    """Median of `TRIES` measurements by a function of the extension, in FLOP/s or bytes/s; the last argument is how
    many seconds they take together."""
    *how, seconds = arguments
    return 1e9 * statistics.median(measure_once(*how, seconds / TRIES) for _ in range(TRIES))


def measure_for(case: Case, isa: str, *, seconds: float = 0.005) -> Limits:
    """The few rates that bound one case, measured now by the extension.

    On a shared machine the clock and the caches change from minute to minute. Measured beside each round of
    a row, the limit changes with them, and a fraction of it does not. As a row's figure is the median of its
    calls, a rate here is the median of `TRIES` short measurements, not the best one.

    Cost: about `seconds` for the peak and for each size of weights that the case reads.
    """
    core = extension()
    how = (case.dtype, case.threads, seconds)
    peak = typical(core.fma_peak, isa, *how)
    rates = [
        (float(size), typical(core.read_bandwidth, isa, size, *how))
        for size in sorted(set(_read_sizes(case)))
    ]
    return Limits(isa, {f"{isa}/{case.dtype}/{case.threads}": peak}, {str(case.threads): rates})


def limit_now(case: Case, limits: Limits) -> float:
    """`limit_seconds` with rates measured now; with those of `limits` where this machine cannot measure them."""
    core = extension()
    here = core is not None and limits.isa in core.isas()
    return limit_seconds(case, measure_for(case, limits.isa) if here else limits)


def _read_sizes(case: Case) -> list[int]:
    rows = GATES[case.cell] * case.H * case.weight_itemsize
    return [case.weight_bytes(), rows * case.H, *(rows * case.layer_input(layer) for layer in range(case.L))]


def with_drift(limits: Limits, *, seconds: float = 0.05) -> Limits:
    """Measure the float32 peaks again, at the end of a run, and note them as fractions of the first ones."""
    core = extension()
    drift = {}
    for count in limits.bandwidth:
        time.sleep(seconds)
        again = 1e9 * core.fma_peak(limits.isa, "float32", int(count), seconds)
        drift[count] = again / limits.peak("float32", int(count))
    return dataclasses.replace(limits, drift=drift)


def doubts(limits: Limits, cores: int) -> list[str]:
    """Reasons not to trust a run's figures, as sentences: the cores were not free, or the clock moved."""
    found = []
    one = limits.peaks.get(f"{limits.isa}/float32/1")
    for count in limits.bandwidth:
        reached = limits.peak("float32", int(count)) / (int(count) * one) if one else 1.0
        if int(count) <= cores and reached < SCALING:
            found.append(
                f"{count} threads reached {reached:.0%} of {count} times one thread's peak: the cores were "
                f"not free, or share units; limits and times of {count} threads are doubtful"
            )
        if abs(limits.drift.get(count, 1.0) - 1) > DRIFT:
            found.append(f"the peak of {count} threads ended at {limits.drift[count]:.0%} of its start")
    return found


def limit_seconds(case: Case, limits: Limits) -> float:
    """Shortest possible time of one call, from the measured rates of the case's number of threads.

    Input product at the FMA peak, plus every recurrent step at the slower of the FMA peak and reading its
    weights from the cache level they fit in, per layer and direction. Training is three times the FLOPs: the
    backward step reads the recurrent weights once more, the weight gradients run at the peak. Reading the
    input weights once is counted where it takes longer than their FLOPs (few rows). In a stream all weights
    compete for the caches, as each is read once a call.

    Weights larger than a cache can beat this figure: walking them back and forth finds the last ones still
    there.
    """
    peak = limits.peak(case.dtype, case.threads)
    rows = GATES[case.cell] * case.H
    stream = case.T == 1
    total = 0.0
    for layer, _ in case.directions():
        input_bytes = rows * case.layer_input(layer) * case.weight_itemsize
        step_bytes = rows * case.H * case.weight_itemsize
        resident = case.weight_bytes()
        input_flops = 2.0 * case.tokens() * rows * case.layer_input(layer)
        active = case.active()
        step_flops = 2.0 * rows * case.H * active
        input_read = input_bytes / limits.read_rate(resident if stream else input_bytes, case.threads)
        step_read = step_bytes / limits.read_rate(resident if stream else step_bytes, case.threads)
        input_time = max(input_flops / peak, input_read)
        step_time = float(np.maximum(step_flops / peak, step_read).sum())
        if case.trains:
            total += 3 * input_time + 2 * step_time + float(step_flops.sum()) / peak
        else:
            total += input_time + step_time
    return total
