# SPDX-License-Identifier: MIT
"""Which kernels calls run: the instruction set and the backend.

`use_isa` and `use_backend` hold for the code inside their block in the present thread or task (a context variable).
"""

from __future__ import annotations

import contextlib
import contextvars
import os
from typing import TYPE_CHECKING

from ..errors import ArgumentError, shown
from . import _core
from .blas import scipy_blas

if TYPE_CHECKING:
    from collections.abc import Iterator

BACKENDS = ("fused", "blas", "naive")


def isas() -> list[str]:
    """Instruction sets that this machine can run, fastest first; the environment variable RNNCORE_ISA caps them.

    Returns
    -------
    list of str
        For example ``["avx512", "avx2", "scalar"]``. Results are the same to the last bit on all of them.

    Examples
    --------
    >>> import rnncore
    >>> rnncore.isas()[-1]
    'scalar'
    """
    names = _core.isas()
    cap = os.environ.get("RNNCORE_ISA")
    if not cap:
        return names
    if cap not in names:
        raise ArgumentError("RNNCORE_ISA", "one of " + ", ".join(names), shown(cap))
    return names[names.index(cap) :]


_isa = contextvars.ContextVar("rnncore_isa", default=isas()[0])
_backend = contextvars.ContextVar("rnncore_backend", default="fused")


def current_isa() -> str:
    """The instruction set that calls use now."""
    return _isa.get()


def current_backend() -> str:
    """The backend that calls use now."""
    return _backend.get()


@contextlib.contextmanager
def _using(variable: contextvars.ContextVar[str], value: str) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def use_isa(name: str) -> contextlib.AbstractContextManager[None]:
    """Context manager: calls inside it run on the instruction set `name`.

    Raises
    ------
    ArgumentError
        Not one of `isas()`.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> layer, x = rnncore.GRU(3, 4, seed=0), np.ones((5, 2, 3), np.float32)
    >>> with rnncore.use_isa("scalar"):
    ...     y, _ = layer(x)
    >>> bool((y == layer(x)[0]).all())  # the same bits
    True
    """
    if not isinstance(name, str) or name not in isas():
        raise ArgumentError("isa", "one of " + ", ".join(isas()), shown(name))
    return _using(_isa, name)


def use_backend(name: str) -> contextlib.AbstractContextManager[None]:
    """Context manager: calls inside it run "fused", "blas" or "naive".

    "fused" is the packed kernels. "blas" is the textbook way, one product per time step by SciPy's BLAS, for
    comparison; its last bits depend on the BLAS. "naive" is the plain loop that defines the last bit of "fused"; it
    is slow. Training with "blas" runs forward and the products over all tokens of backward through BLAS, a tape keeping
    the backend it was made with; the time loop of backward and streams always run fused, and "naive" trains fused.

    Raises
    ------
    ArgumentError
        Another name.
    UnsupportedError
        "blas" without SciPy: ``pip install "rnncore[blas]"``.

    Notes
    -----
    Every thread of a "blas" call makes one product at a time, and SciPy's BLAS may share each of them among threads of
    its own. How many is your choice: ``OPENBLAS_NUM_THREADS=1`` in the environment, or
    ``with threadpoolctl.threadpool_limits(1):`` around the calls, holds it to the calling one.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> layer, x = rnncore.GRU(3, 4, seed=0), np.ones((5, 2, 3), np.float32)
    >>> with rnncore.use_backend("naive"):
    ...     y, _ = layer(x)
    >>> bool((y == layer(x)[0]).all())  # it defines the bits
    True
    """
    if not isinstance(name, str) or name not in BACKENDS:
        raise ArgumentError("backend", "one of " + ", ".join(BACKENDS), shown(name))
    if name == "blas":
        scipy_blas()
    return _using(_backend, name)
