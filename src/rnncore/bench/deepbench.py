# SPDX-License-Identifier: MIT
"""The recurrent problems of DeepBench (Baidu Research), all of them.

The lists are those of ``code/kernels/rnn_problems.h``: hidden units, rows of a batch, steps. Inputs are as wide as
the hidden state.
"""

import dataclasses
import itertools

from .cases import Case

SOURCE = "DeepBench (Baidu), code/kernels/rnn_problems.h"
_BATCHES = (16, 32, 64, 128)
_LENGTHS = (1500, 750, 375, 187)
_LARGE = (2816, 2048, 1536, 2560)
"""Hidden units of the large GRUs, in the order of the lists."""


def _rows(cell: str, hidden: tuple[int, ...], batches: tuple[int, ...], steps: tuple[int, ...]) -> list[Case]:
    return [Case(cell, T, N, H, H) for H, N, T in itertools.product(hidden, batches, steps)]


def device() -> list[Case]:
    """``inference_device_set``: 3 rows."""
    rows = [Case("rnn", 672, 1, 32, 32), Case("rnn", 96, 1, 64, 64), Case("lstm", 150, 1, 256, 256)]
    return [_from(row, "inference_device_set") for row in rows]


def server() -> list[Case]:
    """``inference_server_set``: 69 rows."""
    few = (1, 2, 4)
    rows = [
        *_rows("lstm", (512, 1024, 2048), few, (25,)),
        *_rows("lstm", (1536,), few, (50,)),
        *_rows("lstm", (256,), few, (150,)),
        *_rows("gru", _LARGE, few, _LENGTHS),
        *_rows("gru", (512,), few, (1,)),
        *_rows("gru", (1024,), few, (1500,)),
    ]
    return [_from(row, "inference_server_set") for row in rows]


def training() -> list[Case]:
    """``training_set``: 52 rows, forward and backward."""
    rows = [
        *_rows("rnn", (1760, 2048, 2560), _BATCHES, (50,)),
        *_rows("lstm", (512, 1024, 2048, 4096), _BATCHES, (25,)),
        *_rows("lstm", (1536,), (8, 16, 32), (50,)),
        *_rows("lstm", (256,), (16, 32, 64), (150,)),
        *_rows("gru", _LARGE[:1], (32,), _LENGTHS[1:]),
        *_rows("gru", _LARGE[1:], (32,), _LENGTHS),
        *_rows("gru", (512,), (32,), (1,)),
        *_rows("gru", (1024,), (32, 64), (1500,)),
    ]
    return [_from(row, "training_set", mode="train") for row in rows]


def _from(case: Case, name: str, **changes: str) -> Case:
    return dataclasses.replace(case, source=f"{SOURCE}, {name}", **changes)
