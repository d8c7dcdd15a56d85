# SPDX-License-Identifier: MIT
"""Work on many machines: workers that train one model together, scoring, and a model for each of many groups.

``rnncore.nn.fit(..., comm=rnncore.cluster.connect())`` in a script that ``mpiexec -n 4 python script.py`` or
``torchrun --nproc-per-node 4 script.py`` starts, through mpi4py or PyTorch's gloo. A `Comm` of one's own needs `rank`,
`size`, `exchange`, `barrier` and `abort`.

A `Scorer` is a model file as a function of Arrow's record batches; `ray.score`, `spark.score` and `dask.score`, of the
modules of these names, score their engines' tables with it.

`fit_groups` trains one small model for each group of a table, `score_groups` applies them.
"""

from __future__ import annotations

import os

from ..errors import ArgumentError, UnsupportedError, shown
from ..nn.workers import Alone, Comm, WorkerError
from .files import Part, score_files
from .gloo import Gloo
from .groups import fit_groups, score_groups
from .groups_parts import GroupRun
from .groups_windows import Windows
from .mpi import MPI
from .scorer import Scorer

__all__ = [
    "MPI",
    "Alone",
    "Comm",
    "Gloo",
    "GroupRun",
    "Part",
    "Scorer",
    "Windows",
    "WorkerError",
    "connect",
    "fit_groups",
    "score_files",
    "score_groups",
]

STARTED_BY: dict[str, tuple[str, ...]] = {
    "gloo": ("MASTER_ADDR", "RANK", "WORLD_SIZE"),
    "mpi": ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"),
}
"""Variables by which torchrun (all of them) and mpiexec (any of them) tell that they started a process."""


def connect(engine: str | None = None, *, timeout: float = 30.0) -> Comm:
    """Connect with the workers that were started together with this one.

    Parameters
    ----------
    engine : {None, "mpi", "gloo"}
        None: what started this process says; a process that was started alone is `Alone`.
    timeout : float
        Seconds that a worker may be silent.

    Returns
    -------
    Comm

    Raises
    ------
    ArgumentError
        Another name.
    UnsupportedError
        mpi4py or PyTorch is not installed.
    WorkerError
        The others do not come.

    Examples
    --------
    >>> from rnncore import cluster
    >>> cluster.connect().size
    1
    """
    if engine is None:
        if all(name in os.environ for name in STARTED_BY["gloo"]):
            engine = "gloo"
        elif any(name in os.environ for name in STARTED_BY["mpi"]):
            engine = "mpi"
        else:
            return Alone()
    if engine not in ("gloo", "mpi"):
        raise ArgumentError("engine", "None, 'mpi' or 'gloo'", shown(engine))
    try:
        return Gloo(timeout=timeout) if engine == "gloo" else MPI(timeout=timeout)
    except ModuleNotFoundError as error:
        extra = "torch" if engine == "gloo" else "mpi"
        hint = f'pip install "rnncore[{extra}]"'
        raise UnsupportedError("engine", f"the package {error.name}", "none", hint) from error
