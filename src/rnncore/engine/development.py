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
    """Return the folder of the static library ``rnncore``.

    What is linked with it needs this package to be built, and nothing of it to run. CMake finds the same by
    ``find_package(rnncore)`` with this folder's ``cmake/rnncore`` as ``rnncore_DIR``, and links ``rnncore::static``.

    Returns
    -------
    str
        For the library path of a linker, beside the library's name, ``rnncore``.

    Examples
    --------
    An extension in Cython, whose source says ``cimport rnncore``:

    >>> import rnncore
    >>> from setuptools import Extension  # doctest: +SKIP
    >>> Extension(
    ...     "fast",
    ...     ["fast.pyx"],
    ...     include_dirs=[rnncore.get_include()],
    ...     library_dirs=[rnncore.get_library_dir()],
    ...     libraries=["rnncore", "m"],
    ... )  # doctest: +SKIP
    """
    return str(_ROOT / "lib")
