# SPDX-License-Identifier: MIT
"""The named sets of rows, each with its source: what `rnncore bench` and `rnncore bench study` measure."""

import dataclasses
from collections.abc import Callable, Iterable

from . import deepbench
from .cases import GATES, Case

CELLS = ("lstm", "gru", "rnn")
SMALL = (4, 8, 16, 32, 64)
"""Hidden units of small models."""
_DEEPCPU = (
    "sizes in the range of DeepCPU (Zhang et al., USENIX ATC 2018): short batches, dimensions 64 to 1024"
)
_TRADING = "public latency models for trading (STAC-ML Markets inference: 2x100, 3x200, 4x1000 units)"


def _stream() -> list[Case]:
    source = "one sample at a time from Python, state kept inside"
    rows = [
        Case(cell, 1, 1, h, h, mode="step", source=source) for cell in CELLS for h in (16, 32, 64, 128, 256)
    ]
    rows += [Case("lstm", 1, n, 64, 64, mode="step", source="many streams at once") for n in (8, 64)]
    return rows


def _latency() -> list[Case]:
    source = "sequences at batch 1"
    rows = [Case(cell, 100, 1, h, h, source=source) for cell in CELLS for h in (64, 128, 256, 512)]
    return [*rows, Case("lstm", 100, 1, 1024, 1024, source="weights larger than two L2 caches")]


def _deepcpu() -> list[Case]:
    sizes = [
        (64, 64, 1),
        (256, 64, 1),
        (1024, 64, 1),
        (64, 256, 1),
        (64, 1024, 1),
        (1024, 256, 1),
        (64, 64, 10),
        (256, 256, 10),
    ]
    return [Case(cell, 100, n, i, h, source=_DEEPCPU) for cell in ("lstm", "gru") for i, h, n in sizes]


def _trading() -> list[Case]:
    rows = []
    for layers, units, steps, inputs in ((2, 100, 50, 100), (3, 200, 100, 250), (4, 1000, 100, 500)):
        rows.append(Case("lstm", steps, 1, inputs, units, L=layers, source=f"{_TRADING}: a whole window"))
        rows.append(
            Case("lstm", 1, 1, inputs, units, L=layers, mode="step", source=f"{_TRADING}: a sliding step")
        )
    return rows


def _throughput() -> list[Case]:
    source = "batched inference"
    rows = [Case("lstm", 25, n, 512, 512, source=source) for n in (16, 32, 64, 128)]
    rows += [Case("gru", 50, n, 512, 512, source=source) for n in (16, 32, 64)]
    rows += [Case("rnn", 50, n, 1024, 1024, source=source) for n in (16, 64)]
    rows += [Case(cell, 50, 32, h, h, source=source) for cell in CELLS for h in (64, 128, 256)]
    return [*rows, Case("lstm", 25, 32, 256, 256, dtype="float64", source="double precision")]


def _ragged() -> list[Case]:
    source = "lengths from 1 to T; the row before it is the same batch with all of them T"
    sizes = [(cell, 50, 32, h) for cell in CELLS for h in (64, 128, 256)] + [("lstm", 100, 24, 200)]
    return [
        Case(cell, t, n, h, h, ragged=ragged, source=source)
        for cell, t, n, h in sizes
        for ragged in (False, True)
    ]


def _odd() -> list[Case]:
    source = "sizes that no kernel was made for"
    rows = [Case(cell, 50, 1, h, h, source=source) for cell in CELLS for h in (96, 200, 320, 650)]
    rows += [Case("lstm", 50, n, 128, 200, source=source) for n in (3, 5, 7, 24, 100)]
    rows += [Case("gru", 50, n, 40, 96, source=source) for n in (3, 7, 24)]
    rows += [Case(cell, 50, 1, 13, 128, source="I far from H") for cell in CELLS]
    rows += [Case(cell, 50, n, 96, 200, L=2, source="two layers") for cell in CELLS for n in (1, 24)]
    rows += [Case(cell, 50, n, 96, 128, D=2, source="both directions") for cell in CELLS for n in (1, 24)]
    return [*rows, Case("lstm", 50, 7, 40, 96, L=2, D=2, source="two layers, both directions")]


def _train() -> list[Case]:
    rows = [
        Case(cell, 50, 32, h, h, mode="train", source="training step, small sequence models")
        for cell in CELLS
        for h in (64, 128, 256)
    ]
    rows += [Case(cell, 50, 24, 13, 96, mode="train", source="odd sizes") for cell in CELLS]
    rows.append(Case("lstm", 30, 7, 40, 96, L=2, D=2, mode="train", source="two layers, both directions"))
    source = "a whole iteration: linear head, mean squared error, Adam"
    rows += [Case(cell, 50, 32, 64, 64, mode="fit", source=source) for cell in CELLS]
    return rows


def _small() -> list[Case]:
    source = "small models: sensors, audio, embedded uses"
    rows = [Case(cell, 1, 1, h, h, mode="step", source=source) for cell in CELLS for h in SMALL]
    rows += [Case(cell, 50, 1, h, h, source=source) for cell in CELLS for h in SMALL]
    return rows + [Case(cell, 50, 32, h, h, source=source) for cell in CELLS for h in (8, 32)]


def _real() -> list[Case]:
    g2p = "shape of the published model g2p_en, random weights"
    rows = [
        Case("gru", 8, 1, 256, 256, source=f"{g2p}: encoder, a word of 8 letters"),
        Case("gru", 1, 1, 256, 256, mode="step", source=f"{g2p}: decoder"),
        Case("lstm", 40, 1, 100, 128, L=2, source="shape of the published model textgenrnn, random weights"),
        Case("lstm", 1, 1, 128, 128, mode="step", source="shape of the published Silero VAD, random weights"),
    ]
    return rows + [
        dataclasses.replace(case, source=f"shape of examples/{example}, random weights")
        for case, example in (
            (Case("lstm", 40, 32, 17, 256, mode="train"), "handwriting: training the writer"),
            (Case("lstm", 1, 1, 17, 256, mode="step"), "handwriting: the writer, live"),
            (Case("gru", 40, 64, 5, 64, D=2, ragged=True), "handwriting: the reader"),
            (Case("gru", 16, 64, 256, 256, D=2, ragged=True), "translation: the encoder"),
            (Case("gru", 16, 64, 256, 256, mode="train"), "translation: training the decoder"),
            (Case("gru", 12, 64, 128, 128, mode="train"), "captioning: training the decoder"),
            (Case("gru", 29, 32, 24, 32, D=2, ragged=True), "forecasting: who speaks"),
            (Case("gru", 1, 1, 1, 32, mode="step"), "sessions: one session"),
        )
    ]


def _int8() -> list[Case]:
    source = "weights of 8 bits"
    rows = [
        Case(cell, 1, 1, h, h, mode="step", store="int8", source=source)
        for cell in ("lstm", "gru")
        for h in (64, 256, 512, 1024)
    ]
    rows += [Case(cell, 25, 1, 512, 512, store="int8", source=source) for cell in ("lstm", "gru")]
    return rows + [Case(cell, 25, 32, 256, 256, store="int8", source=source) for cell in ("gru", "lstm")]


SETS: dict[str, Callable[[], list[Case]]] = {
    "stream": _stream,
    "latency": _latency,
    "device": deepbench.device,
    "server": deepbench.server,
    "training": deepbench.training,
    "deepcpu": _deepcpu,
    "trading": _trading,
    "throughput": _throughput,
    "ragged": _ragged,
    "odd": _odd,
    "train": _train,
    "small": _small,
    "real": _real,
    "int8": _int8,
}


def select(
    sets: Iterable[str], threads: Iterable[int] = (1,), *, cells: Iterable[str] = (), match: str = ""
) -> list[tuple[str, Case]]:
    """Rows of some sets, each once per number of threads, ordered by threads; streams only with one thread.

    Parameters
    ----------
    sets : names in `SETS`
    threads : numbers of threads, each at least 1
    cells : keep only these; empty keeps all
    match : keep only rows whose name contains this

    Returns
    -------
    list of (set name, Case)
        A row that stands in two sets is kept in the first.

    Raises
    ------
    ValueError
        Unknown set or cell.
    """
    cells = tuple(cells)
    for cell in cells:
        if cell not in GATES:
            raise ValueError(f"cell: expected one of {sorted(GATES)}, got {cell!r}")
    chosen: dict[Case, str] = {}
    sets = list(sets)
    for count in sorted(set(threads)):
        for name in sets:
            if name not in SETS:
                raise ValueError(f"set: expected one of {list(SETS)}, got {name!r}")
            for row in SETS[name]():
                case = dataclasses.replace(row, threads=count)
                wanted = (not cells or case.cell in cells) and match in case.name
                if wanted and not (case.mode == "step" and count != 1):
                    chosen.setdefault(case, name)
    return [(name, case) for case, name in chosen.items()]
