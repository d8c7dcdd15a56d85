# SPDX-License-Identifier: MIT
"""Named parameters in one private array.

Everyone else sees read-only views, and new values are copied in through `load_state_dict` or `update_parameters`, which
count a version: packed weights and tapes of an older version are never used.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from . import calls
from .checks import claiming

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping


def flat_views(shapes: Mapping[str, tuple[int, ...]], flat: np.ndarray) -> dict[str, np.ndarray]:
    """Views of consecutive pieces of a 1-D array, one per name and shape."""
    views, start = {}, 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        views[name] = flat[start : start + size].reshape(shape)
        start += size
    return views


class ParameterOwner:
    """What has parameters: layers, modules and the twins.

    Attributes
    ----------
    version : int
        How often the parameters have changed.
    """

    version: int = 0
    _writer: Callable[[Any, Any, bool], None]

    def _own(self, values: Mapping[str, np.ndarray]) -> None:
        """Copy arrays of one dtype, by name, into the private array."""
        self._shapes = {name: array.shape for name, array in values.items()}
        arrays = [array.ravel() for array in values.values()] or [np.empty(0, np.float32)]
        with claiming("parameters", (sum(map(len, arrays)),)):
            self._flat = np.concatenate(arrays)
        self._set_views()

    def _set_views(self) -> None:
        self._parameters = flat_views(self._shapes, self._flat)
        # A view of a read-only buffer: unlike a flag, it cannot be switched back.
        self._read_only = flat_views(self._shapes, np.asarray(memoryview(self._flat).toreadonly()))

    def parameters(self) -> dict[str, np.ndarray]:
        """The parameters.

        Returns
        -------
        dict of str to numpy.ndarray
            PyTorch's names and shapes in PyTorch's order; read-only views that follow later changes.

        Examples
        --------
        >>> import rnncore
        >>> {name: array.shape for name, array in rnncore.RNN(3, 4, bias=False).parameters().items()}
        {'weight_ih_l0': (4, 3), 'weight_hh_l0': (4, 4)}
        """
        return dict(self._read_only)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the parameters, by PyTorch's names."""
        with claiming("parameters", self._flat.shape):
            return {name: array.copy() for name, array in self._parameters.items()}

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Copy in all parameters; nothing changes if one of them is wrong.

        Parameters
        ----------
        values : mapping of str to array of the parameters' dtype
            Exactly the names and shapes of `parameters()`.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError, MemoryExhaustedError
        """
        self._assign(calls.check_named(self._shapes, self._flat.dtype, values))

    def update_parameters(self, values: Mapping[str, Any]) -> None:
        """Copy in some parameters; otherwise like `load_state_dict`."""
        self._assign(calls.check_named(self._shapes, self._flat.dtype, values, partial=True))

    def _assign(self, checked: Mapping[str, np.ndarray]) -> None:
        # Values that are views of the parameters themselves are read before any of them is written.
        with claiming("parameters", self._flat.shape):
            apart = {k: v.copy() if np.may_share_memory(v, self._flat) else v for k, v in checked.items()}
        for name, value in apart.items():
            self._parameters[name][...] = value
        self._changed()

    @contextlib.contextmanager
    def writing(self) -> Iterator[dict[str, np.ndarray]]:
        """Context manager for optimisers: the parameters as arrays that may be written; they count as changed."""
        yield self._parameters
        self._changed()

    def _changed(self) -> None:
        self.version += 1

    def save(self, path: str | os.PathLike[str], *, compact: bool = False) -> None:
        """Write the architecture and the parameters to a file; `rnncore.load` reads it. See `rnncore.save`.

        Parameters
        ----------
        path : path-like
            Holds the old file or the whole new one, whenever the process dies; its ending says the format.
        compact : bool
            Of matrices of layers with a store, write what is packed in place of the float32 parameters.

        Raises
        ------
        RnncoreError, OSError
        """
        ParameterOwner._writer(self, path, compact)


def set_writer(write: Callable[[Any, Any, bool], None]) -> Callable[[Any, Any, bool], None]:
    """What `save` calls with object, path and `compact`: file formats lie above everything that can be saved."""
    ParameterOwner._writer = staticmethod(write)
    return write
