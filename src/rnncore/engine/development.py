# SPDX-License-Identifier: MIT
"""Where the C library is, for builds of programs and extensions that use it."""

from pathlib import Path

from . import _core

# An editable build has its compiled parts elsewhere than its Python files.
_ROOT = Path(_core.__file__).parents[1]


def get_include() -> str:
    """Return the folder of ``rnncore.h``.

    Returns
    -------
    str
        For the include path of a compiler. The header is C11 and C++.

    See Also
    --------
    get_library_dir : The library to link.

    Examples
    --------
    >>> import pathlib, rnncore
    >>> (pathlib.Path(rnncore.get_include()) / "rnncore.h").is_file()
    True
    """
    return str(_ROOT / "include")


def get_library_dir() -> str:
    """Return the folder of the shared library ``rnncore``, the one that this package itself runs.

    What is linked with it needs this package to be built and to run: it finds the library by a run path, or because
    ``rnncore`` was imported before. Packages with such extensions require the release that they were built with, for
    example ``rnncore~=0.1.0``. CMake finds the same by ``find_package(rnncore)`` with this folder's ``cmake/rnncore``
    as ``rnncore_DIR``, and links ``rnncore::rnncore``.

    Returns
    -------
    str
        For the library path and the run path of a linker, beside the library's name, ``rnncore``.

    Examples
    --------
    An extension in Cython, whose source says ``cimport rnncore``, for this machine. In a package that others install
    the run path is relative, ``extra_link_args=["-Wl,-rpath,$ORIGIN/../rnncore/lib"]`` on Linux.

    >>> import rnncore
    >>> from setuptools import Extension  # doctest: +SKIP
    >>> Extension(
    ...     "fast",
    ...     ["fast.pyx"],
    ...     include_dirs=[rnncore.get_include()],
    ...     library_dirs=[rnncore.get_library_dir()],
    ...     runtime_library_dirs=[rnncore.get_library_dir()],
    ...     libraries=["rnncore"],
    ... )  # doctest: +SKIP
    """
    return str(_ROOT / "lib")
