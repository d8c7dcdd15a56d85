# SPDX-License-Identifier: MIT
"""Chains of modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .. import spec
from ..errors import ArgumentError, shown
from ..layers import Fleet
from ..layers.module import Module, Tape
from ..spec.parameters import ParameterOwner
from ..spec.tapes import Grads, claimed
from .attention import Attention
from .container import Container, leaves_of
from .fleets import FleetLinear
from .linear import Linear
from .recurrent import Recurrent
from .stream import SequentialStream

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MAX_DEPTH = 16
"""How deep chains may stand in chains: a file of more could exhaust the stack."""


class Sequential(Container):
    """Modules one after the other; a list-like.

    Parameters
    ----------
    *modules : Module or recurrent layer
        Each once. A layer stands for Recurrent(layer). Lengths reach the recurrent ones; the others also compute at
        padding, and their gradients count it: a loss gives padding no gradient. A chain of `Fleet` and `FleetLinear`
        of as many models is a fleet of chains, see `stack`.

    Raises
    ------
    ArgumentError

    Examples
    --------
    >>> import numpy as np
    >>> model = rnncore.nn.Sequential(rnncore.GRU(3, 4, seed=0), rnncore.nn.Dropout(0.1), rnncore.Linear(4, 2, seed=1))
    >>> optimizer = rnncore.Adam(model)
    >>> y, tape = model.forward(np.ones((5, 2, 3), np.float32), lengths=[5, 3])
    >>> loss, dy = rnncore.mse_loss(y, np.zeros_like(y))
    >>> norm = optimizer.step(model.backward(tape, dy))
    """

    def __init__(self, *modules: Any) -> None:
        self._modules: list[Any] = [
            Recurrent(m) if hasattr(m, "spec") or isinstance(m, Fleet) else m for m in modules
        ]
        for k, module in enumerate(self._modules):
            if not isinstance(module, Module):
                raise ArgumentError(f"modules[{k}]", "a module or a recurrent layer", type(module).__name__)
            if isinstance(module, Attention):
                hint = "its memory is a second input: call it beside the chain"
                raise ArgumentError(f"modules[{k}]", "a module of one input", shown(module), hint)
        super().__init__()
        self._check_chain()

    def _check_chain(self) -> None:
        if self.depth > MAX_DEPTH:
            raise ArgumentError("modules", f"chains within at most {MAX_DEPTH} chains", self.depth)
        counts = models_of(self)
        if len(counts) > 1:
            raise ArgumentError("modules", "fleets of as many models", ", ".join(map(str, sorted(counts))))
        seen, ended = set(), None
        for k, module in enumerate(self._flat_modules()):
            if ended is not None and isinstance(module, Recurrent):
                raise ArgumentError(f"modules[{k}]", "a module that reads no steps", shown(module), ended)
            if isinstance(module, Recurrent) and not module.return_sequences:
                ended = "a layer before it gives its last step only"
            for leaf in leaves_of(module).values():
                if id(leaf) in seen and leaf.parameters():
                    raise ArgumentError(
                        f"modules[{k}]", "each module once", shown(module), "it was there before"
                    )
                seen.add(id(leaf))

    def _flat_modules(self) -> Iterator[Any]:
        """The modules, and in place of a chain its own."""
        for module in self:
            if isinstance(module, Sequential):
                yield from module._flat_modules()
            else:
                yield module

    @property
    def depth(self) -> int:
        """1, and one more for each level of chains within chains."""
        return 1 + max((module.depth for module in self if isinstance(module, Sequential)), default=0)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __getitem__(self, k: int) -> Any:
        return self._modules[k]

    def __repr__(self) -> str:
        lines = "".join(f"{module!r},\n" for module in self).splitlines()
        return "Sequential(\n" + "".join(f"  {line}\n" for line in lines) + ")"

    def config(self) -> dict[str, Any]:
        """What `build_module` needs beside the parameters."""
        return {"kind": self.kind, "modules": [module.config() for module in self]}

    def parts(self) -> dict[str, ParameterOwner]:
        """The modules, by ``0.``, ``1.`` and so on."""
        return {f"{k}.": module for k, module in enumerate(self)}

    def quantize(self, store: str | None) -> Sequential:
        """The same chain with the matrices of recurrent layers packed in another store; see `Module.quantize`."""
        return Sequential(*(module.quantize(store) for module in self))

    def __call__(self, x: ArrayLike, lengths: ArrayLike | None = None, **options: Any) -> Any:
        """Run all modules.

        Parameters
        ----------
        x : what the first module takes
        lengths : ints (N,), optional
            Valid steps of each row.
        **options
            What recurrent modules take besides, such as `active` of fleets.

        Returns
        -------
        numpy.ndarray
            Or what else the last module gives.
        """
        for module in self:
            takes_steps = isinstance(module, (Recurrent, Sequential))
            x = module(x, lengths, **options) if takes_steps else module(x)
        return x

    def forward(self, x: ArrayLike, lengths: ArrayLike | None = None, **options: Any) -> tuple[Any, Tape]:
        """As `__call__` with dropout, giving ``(y, tape)``.

        The tape keeps what goes into the modules, which must not change before `backward`.
        """
        tapes = []
        for module in self:
            takes_steps = isinstance(module, (Recurrent, Sequential))
            x, tape = module.forward(x, lengths, **options) if takes_steps else module.forward(x)
            tapes.append(tape)
        return x, Tape(self, self.version, tapes)

    def backward(self, tape: Tape, dy: Any, *, input_grad: bool = True) -> Grads:
        """Gradients of one forward call.

        Parameters
        ----------
        tape : Tape
            Used up by this call.
        dy : like y
            0 at padding.
        input_grad : bool
            Whether the gradient of x is wanted: where x are data it is not, and the first module saves the time.

        Returns
        -------
        Grads
            `x`, or None where numbers went in or without `input_grad`, and `params` by the names of `parameters()`.

        Raises
        ------
        TapeError, ArgumentError, ShapeError, DTypeError
        """
        found = []
        with claimed(tape, Tape, self, self.version):
            spec.check_bool("input_grad", input_grad)
            for k in reversed(range(len(self))):
                module, inner = self[k], tape.saved[k]
                # Those for which it is work of its own may leave it out.
                spares = k == 0 and not input_grad and isinstance(module, _SPARING)
                grads = module.backward(inner, dy, input_grad=False) if spares else module.backward(inner, dy)
                dy = grads.x
                found.append(grads.params)
        params = {f"{k}.{name}": grad for k, own in enumerate(reversed(found)) for name, grad in own.items()}
        return Grads(dy if input_grad else None, None, params)

    def stream(self, batch_size: int = 1) -> SequentialStream:
        """The chain as running sequences.

        Raises
        ------
        UnsupportedError
            A module needs the whole sequence.
        """
        return SequentialStream(self, spec.check_int("batch_size", batch_size, 1))


_SPARING = (Recurrent, Sequential, Linear, FleetLinear)


def models_of(module: Any) -> set[int]:
    """How many models the fleets among a module's leaves have; empty where there is none."""
    return {leaf.models for leaf in leaves_of(module).values() if isinstance(leaf, (Fleet, FleetLinear))}
