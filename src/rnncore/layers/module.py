# SPDX-License-Identifier: MIT
"""Modules: what has parameters, runs, and can be trained: the recurrent layers, and what stands around them."""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING, Any, Self

from .. import spec
from ..errors import ShapeError, UnsupportedError
from ..spec.parameters import ParameterOwner
from ..spec.tapes import TapeBase
from . import forks

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping

    import numpy as np


class Tape(TapeBase):
    """What one training call leaves for its backward pass; used once.

    `version` is that of the owner's parameters, `saved` what the owner's `backward` needs.
    """

    def __init__(self, owner: object, version: int, saved: Any) -> None:
        super().__init__(owner, version)
        self.saved: Any = saved


class Module(ParameterOwner):
    """What has parameters, runs, and can be trained.

    A module has ``module(x)``, which runs it, ``module.forward(x)``, which gives the result and a tape, and
    ``module.backward(tape, dy)``, which gives the gradients of that call. Modules may be copied, pickled, saved,
    and used by several threads at once.

    `arguments` names the constructor's arguments that describe the module; each is an attribute.
    """

    arguments: tuple[str, ...] = ()
    _lock: threading._RLock
    # What is no part of a copy or a pickle: views and locks are made anew.
    _made_anew = frozenset({"_lock", "_parameters", "_read_only"})

    def __init__(self, **parameters: np.ndarray) -> None:
        self._own(parameters)
        forks.give_lock(self)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self._made_anew}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # copy.copy hands over the original's own objects: a copy shares neither parameters nor random numbers.
        vars(self).update(copy.deepcopy(state))
        self._set_views()
        forks.give_lock(self)

    @property
    def kind(self) -> str:
        """The module's row in KINDS."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"{self.kind}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.arguments)})"

    def config(self) -> dict[str, Any]:
        """What `build_module` needs beside the parameters, ready for JSON."""
        return {"kind": self.kind} | {name: getattr(self, name) for name in self.arguments}

    def _assign(self, checked: Mapping[str, np.ndarray]) -> None:
        with self._lock:
            super()._assign(checked)

    @contextlib.contextmanager
    def writing(self) -> Iterator[dict[str, np.ndarray]]:
        """Context manager for optimisers: the parameters as arrays that may be written; they count as changed."""
        with self._lock:
            yield self._parameters
            self._changed()

    def quantize(self, store: str | None) -> Self:
        """The same module with the matrices of recurrent layers packed in another store; all else stays.

        Parameters
        ----------
        store : {"int8", "int8x16", "bfloat16", "float16", None}
            See `LSTM.quantize`; None: the dtype itself again.

        Returns
        -------
        module
            A new one, with copies of all parameters.

        Raises
        ------
        ArgumentError
            See `LSTM.quantize`.

        Examples
        --------
        >>> import rnncore
        >>> model = rnncore.nn.Sequential(rnncore.GRU(3, 4, seed=0), rnncore.Linear(4, 2, seed=1))
        >>> model.quantize("bfloat16")[0].layer
        rnncore.GRU(3, 4, store='bfloat16')
        """
        spec.check_store("store", store)
        return copy.copy(self)

    def eval(self) -> Self:
        """Nothing to do: calling a module is inference, always. Gives the module, as in PyTorch."""
        return self

    def train(self, mode: bool = True) -> Self:
        """There is no training mode: `forward` is the training call, whatever was called before.

        Parameters
        ----------
        mode : bool
            False is `eval`.

        Raises
        ------
        UnsupportedError
            `mode` is True: code that expects a later ``module(x)`` to train would be wrong without a word.
        """
        if not spec.check_bool("mode", mode):
            return self.eval()
        hint = "y, *_, tape = module.forward(x) is the training call, module(x) is inference"
        raise UnsupportedError("mode", "False", True, hint)

    def _features(self, x: Any, size: int, name: str = "x") -> np.ndarray:
        """`x` with `size` features in its last axis and the parameters' dtype."""
        x = spec.as_array(name, x, (self._flat.dtype,))
        if x.ndim < 1 or x.shape[-1] != size:
            raise ShapeError(name, f"shape (..., {size})", str(x.shape))
        return x
