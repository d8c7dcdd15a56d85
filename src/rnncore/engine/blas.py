# SPDX-License-Identifier: MIT
"""SciPy's BLAS as C functions, which `use_backend("blas")` needs; imported when it is first asked for."""

from __future__ import annotations

import functools
import re

from ..errors import UnsupportedError
from . import _core

_HINT = 'pip install "rnncore[blas]"'


def _function(capsules, name):
    """The capsule of a product, if its six sizes are of C's int."""
    signature = str(capsules[name])
    if len(re.findall(r"\bint \*", signature)) != 6:
        raise UnsupportedError("backend", f"a SciPy whose {name} counts in int", signature)
    return capsules[name]


@functools.cache
def scipy_blas() -> _core.Blas:
    """SciPy's products, for plans.

    Returns
    -------
    _core.Blas

    Raises
    ------
    UnsupportedError
        SciPy is not installed, or its BLAS counts in other integers.
    """
    try:
        from scipy.linalg import cython_blas
    except ImportError as error:
        raise UnsupportedError(
            "backend", "fused or naive where there is no SciPy", "'blas'", _HINT
        ) from error
    capsules = cython_blas.__pyx_capi__
    return _core.Blas(_function(capsules, "sgemm"), _function(capsules, "dgemm"))


def blas_name() -> str:
    """What `use_backend("blas")` would call, without importing it."""
    from importlib import metadata  # takes longer to import than rnncore

    try:
        return "SciPy " + metadata.version("scipy")
    except metadata.PackageNotFoundError:
        return f"none ({_HINT})"
