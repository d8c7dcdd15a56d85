# SPDX-License-Identifier: MIT
"""Right answers in float64, to check every system's outputs against: the package's own twin, else PyTorch."""

import dataclasses
import importlib.util
from typing import Any

import numpy as np

from .cases import LEARNING_RATE, Case, Problem

FLOP_BUDGET = 4e9
"""A check costs at most about this many FLOPs (a second in NumPy). Later steps and further rows of larger
cases go unchecked: the first ones do not depend on them where there is one direction."""
FIT_CHECK = 20
"""Iterations of a fit whose losses are checked."""
STEP_CHECK = 16
"""Steps of a stream that are checked."""
BOUNDS = {
    ("float32", False): 1e-4,
    ("float64", False): 1e-11,
    ("float32", True): 1e-3,
    ("float64", True): 1e-9,
}
"""Largest error allowed, as a fraction of the largest right value, by (dtype, training). Rounding alone gives
about sqrt(I + H) units in the last place a step (3e-6 in float32 at I + H = 2000), fed back over the sequence
with a gain below 1; gradients sum over T*N rows. A wrong gate order or bias is off by more than 1e-2."""

STORE_BOUND = 0.06
"""The same for weights in int8 and other small stores, against the unrounded ones. In int8 a weight is off by up to
1/254 of the largest in its row, and so is an operand: a system rounds as it likes, and none is wrong for it. Those
compared are off by up to 0.04 in the set int8, gates in a wrong order by 0.4 and more. A bias left out, 0.04 to 0.16,
may pass: the rows in float32 see it."""


def checked_part(case: Case) -> tuple[int, int]:
    """Steps and batch rows that are checked; both full where later steps flow back (two directions,
    training)."""
    if case.mode == "step":
        return STEP_CHECK, case.N
    if case.trains or case.D == 2 or case.ragged:
        return case.T, case.N
    share = FLOP_BUDGET / case.flops()
    steps = max(1, min(case.T, int(case.T * share * case.N)))
    return steps, max(1, min(case.N, int(share * case.N * case.T / steps)))


def expected(case: Case, problem: Problem) -> dict[str, np.ndarray]:
    """Right outputs: ``y`` of the checked steps and rows, in training every gradient, of a fit its first losses."""
    steps, rows = checked_part(case)
    wide = Problem(
        {name: value.astype(np.float64) for name, value in problem.params.items()},
        problem.x[:steps, :rows].astype(np.float64),
        problem.dy[:steps, :rows].astype(np.float64),
        problem.head.astype(np.float64),
    )
    if importlib.util.find_spec("rnncore.reference") is not None:
        return _from_twin(case, wide)
    return _from_torch(case, wide)


def _from_twin(case: Case, problem: Problem) -> dict[str, np.ndarray]:
    from rnncore import reference

    make = {"rnn": reference.RNN, "lstm": reference.LSTM, "gru": reference.GRU}[case.cell]
    layer = make(case.I, case.H, case.L, bidirectional=case.D == 2, dtype="float64")
    layer.load_state_dict(problem.params)
    if case.mode == "fit":
        return {"losses": _fit(layer, problem)}
    if not case.trains:
        return {"y": layer(problem.x, lengths=case.lengths() if case.ragged else None)[0]}
    _, _, tape = layer.forward(problem.x)
    grads = layer.backward(tape, problem.dy)
    return {**grads.params, "x": grads.x}


def _fit(layer: Any, problem: Problem) -> np.ndarray:
    """Losses of the first iterations: head and Adam from their formulas."""
    values = {**layer.state_dict(), "head": problem.head.copy(), "bias": np.zeros(1)}
    first, second = ({name: np.zeros_like(value) for name, value in values.items()} for _ in range(2))
    losses = []
    for step in range(1, FIT_CHECK + 1):
        y, _, tape = layer.forward(problem.x)
        error = y @ values["head"].T + values["bias"] - problem.target
        losses.append(np.mean(error**2))
        dpred = 2 * error / error.size
        grads = {**layer.backward(tape, dpred @ values["head"]).params}
        grads["head"] = np.einsum("tno,tnh->oh", dpred, y)
        grads["bias"] = dpred.sum((0, 1))
        for name, grad in grads.items():
            first[name] += 0.1 * (grad - first[name])
            second[name] += 0.001 * (grad**2 - second[name])
            root = np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8
            values[name] -= LEARNING_RATE * first[name] / (1 - 0.9**step) / root
        layer.update_parameters({name: values[name] for name in layer.parameters()})
    return np.array(losses)


def _from_torch(case: Case, problem: Problem) -> dict[str, np.ndarray]:
    from .peers.torch_peer import Torch

    steps, rows = problem.x.shape[:2]
    mode = case.mode if case.trains else "sequence"
    peer = Torch(dataclasses.replace(case, dtype="float64", mode=mode, T=steps, N=rows), problem)
    if mode == "fit":
        return {"losses": np.array([peer.fit() for _ in range(FIT_CHECK)])}
    if mode == "train":
        peer.train()
        return peer.gradients()
    return {"y": peer.result(peer.forward())}


def largest_error(got: dict[str, Any], right: dict[str, np.ndarray]) -> float:
    """Largest difference over all arrays, each relative to its largest right value; infinite for a wrong
    shape or NaN.

    Raises
    ------
    KeyError
        An output is missing.
    """
    worst = 0.0
    for name, value in right.items():
        if np.shape(got[name]) != value.shape or not np.isfinite(got[name]).all():
            return float("inf")
        size = float(np.abs(value).max()) or 1.0  # of one step, gradients of recurrent weights are zero
        worst = max(worst, float(np.abs(got[name] - value).max()) / size)
    return worst


def bound(case: Case) -> float:
    """Largest error with which a system counts as correct."""
    if case.store:
        return STORE_BOUND
    return BOUNDS[case.dtype, case.trains]
