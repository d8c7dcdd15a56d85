# SPDX-License-Identifier: MIT
"""What modules around the layers share: parameters by name, a description for files, tapes."""

import contextlib

from .. import spec
from ..errors import ArgumentError, ShapeError
from .tape import TapeBase


class Tape(TapeBase):
    """What one training call leaves for its backward pass; used once.

    `version` is that of the owner's parameters, `saved` what the owner's `backward` needs.
    """

    def __init__(self, owner, version, saved):
        super().__init__(owner, version)
        self.saved = saved


class Module:
    """What the modules share: parameters by name, copies in and out, a description for files.

    `arguments` names the constructor's arguments that describe the module; each is an attribute.
    """

    arguments = ()

    def __init__(self, **parameters):
        self._parameters = parameters
        self._version = 0

    @property
    def kind(self):
        """The module's row in KINDS."""
        return type(self).__name__

    def __repr__(self):
        return f"{self.kind}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.arguments)})"

    def config(self):
        """What `build_module` needs beside the parameters, ready for JSON."""
        return {"kind": self.kind} | {name: getattr(self, name) for name in self.arguments}

    def parameters(self):
        """Read-only views by name."""
        views = {name: array.view() for name, array in self._parameters.items()}
        for view in views.values():
            view.flags.writeable = False
        return views

    def state_dict(self):
        """Copies by name."""
        return {name: array.copy() for name, array in self._parameters.items()}

    def update_parameters(self, values):
        """Copy in some parameters; nothing changes if one is wrong.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
        """
        for name, value in values.items():
            if name not in self._parameters:
                raise ArgumentError(name, "one of " + ", ".join(self._parameters), "an unknown name")
            own = self._parameters[name]
            spec.check_shape(name, spec.as_array(name, value, (own.dtype,)), own.shape)
        for name, value in values.items():
            self._parameters[name][...] = value
        self._version += 1

    def load_state_dict(self, values):
        """Copy in all parameters; see `update_parameters`."""
        for name in self._parameters:
            if name not in values:
                raise ArgumentError(name, "an array", "nothing", "missing")
        self.update_parameters(values)

    @contextlib.contextmanager
    def writing(self):
        """Context manager for optimisers: the parameters as arrays that may be written; they count as changed."""
        yield self._parameters
        self._version += 1

    def _features(self, x, size, name="x"):
        """`x` with `size` features in its last axis and the parameters' dtype."""
        (own, *_) = self._parameters.values()
        x = spec.as_array(name, x, (own.dtype,))
        if x.ndim < 1 or x.shape[-1] != size:
            raise ShapeError(name, f"shape (..., {size})", str(x.shape))
        return x
