# SPDX-License-Identifier: MIT
"""Modules made of modules: their parameters are those of their parts, behind a prefix."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..layers.module import Module
from ..spec import check_named, claiming
from ..spec.parameters import ParameterOwner


class Container(Module):
    """A module made of modules. A subclass has `parts`.

    Examples
    --------
    >>> model = rnncore.nn.Sequential(rnncore.GRU(3, 4, seed=0), rnncore.Linear(4, 2, seed=1))
    >>> list(model.parameters())[-2:]
    ['1.weight', '1.bias']
    """

    def parts(self) -> dict[str, ParameterOwner]:
        """The modules that it is made of, each by the prefix of its parameters."""
        raise NotImplementedError

    def leaves(self) -> dict[str, ParameterOwner]:
        """The modules that own parameters, through all levels, by prefix."""
        found = {}
        for prefix, part in self.parts().items():
            found |= {prefix + inner: leaf for inner, leaf in leaves_of(part).items()}
        return found

    @property
    def version(self) -> int:
        """How often the parameters have changed."""
        return sum(leaf.version for leaf in self.leaves().values())

    def parameters(self) -> dict[str, np.ndarray]:
        """The parts' parameters: read-only views that follow later changes."""
        return {
            prefix + name: array
            for prefix, leaf in self.leaves().items()
            for name, array in leaf.parameters().items()
        }

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the parameters."""
        own = self.parameters()
        with claiming("parameters", (sum(array.size for array in own.values()),)):
            return {name: array.copy() for name, array in own.items()}

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Copy in all parameters; nothing changes if one of them is wrong.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
        """
        self._put(values, partial=False)

    def update_parameters(self, values: Mapping[str, Any]) -> None:
        """Copy in some parameters; otherwise like `load_state_dict`."""
        self._put(values, partial=True)

    def _put(self, values: Mapping[str, Any], partial: bool) -> None:
        leaves = [(prefix, leaf, leaf.parameters()) for prefix, leaf in self.leaves().items()]
        known = {prefix + name for prefix, _, own in leaves for name in own}
        if not hasattr(values, "keys"):
            raise ArgumentError("parameters", "a mapping of names to arrays", type(values).__name__)
        for name in values:
            if name not in known:
                raise ArgumentError(str(name), "one of " + ", ".join(sorted(known)), "an unknown name")
        checked = []
        for prefix, leaf, own in leaves:
            shapes = {prefix + name: array.shape for name, array in own.items()}
            dtype = next((array.dtype for array in own.values()), None)
            given = {name: values[name] for name in shapes if name in values}
            found = check_named(shapes, dtype, given, partial)
            checked.append((leaf, {name.removeprefix(prefix): array for name, array in found.items()}))
        for leaf, own in checked:
            if own:
                leaf.update_parameters(own)

    @contextlib.contextmanager
    def writing(self) -> Iterator[dict[str, np.ndarray]]:
        """Context manager for optimisers: the parameters as arrays that may be written; they count as changed."""
        leaves = self.leaves()
        with contextlib.ExitStack() as stack:
            # Always in the same order: two that share modules do not wait for each other.
            order = sorted(leaves, key=lambda prefix: id(leaves[prefix]))
            values = {prefix: stack.enter_context(leaves[prefix].writing()) for prefix in order}
            yield {prefix + name: array for prefix in leaves for name, array in values[prefix].items()}


def leaves_of(module: Any) -> dict[str, Any]:
    """The modules that own a module's parameters, by prefix: itself, unless it is made of others."""
    return module.leaves() if isinstance(module, Container) else {"": module}
