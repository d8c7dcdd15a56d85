# SPDX-License-Identifier: MIT
"""Functions as modules: elementwise ones by name, and softmax over the last axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import spec
from ..engine import sums
from ..errors import ArgumentError, shown
from ..layers.module import Module, Tape
from ..spec.checks import finite
from ..spec.tapes import Grads, claimed
from .functions import ACTIVATIONS, softmax

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def _upstream(dy: ArrayLike, y: np.ndarray) -> np.ndarray:
    """`dy` checked against the result it is the gradient of."""
    dy = spec.as_array("dy", dy, (y.dtype,))
    spec.check_shape("dy", dy, y.shape)
    return dy


class Activation(Module):
    """An elementwise function by name.

    Parameters
    ----------
    name : str
        One of ACTIVATIONS: linear, silu, and the functions that cells take.
    alpha, beta : float, optional
        Of a function that has them; what is left out is as in a cell.

    Raises
    ------
    ArgumentError

    Examples
    --------
    >>> import numpy as np
    >>> rnncore.nn.Activation("leaky_relu", 0.5)(np.array([-1.0, 2.0])).tolist()
    [-0.5, 2.0]
    """

    arguments: tuple[str, ...] = ("name", "alpha", "beta")
    optional: tuple[str, ...] = ("alpha", "beta")

    def __init__(self, name: str, alpha: float | None = None, beta: float | None = None) -> None:
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise ArgumentError("name", "one of " + ", ".join(ACTIVATIONS), shown(name))
        given, defaults = (alpha, beta), ACTIVATIONS[name].defaults
        for field, value, known in zip(
            self.optional, given, (len(defaults) > 0, len(defaults) > 1), strict=True
        ):
            if value is not None and (not known or finite(value) is None):
                expected = "a finite number" if known else f"nothing for {name}"
                raise ArgumentError(field, expected, shown(value))
        self.name: str = name
        self.alpha: float | None = alpha
        self.beta: float | None = beta
        pairs = zip(given, defaults, strict=False)
        self._own_parameters = tuple(default if value is None else float(value) for value, default in pairs)
        super().__init__()

    def __repr__(self) -> str:
        given = [repr(value) for value in (self.name, self.alpha, self.beta) if value is not None]
        return f"Activation({', '.join(given)})"

    def config(self) -> dict[str, Any]:
        """What `build_module` needs; what was left out is not there."""
        return {name: value for name, value in super().config().items() if value is not None}

    @staticmethod
    def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters that this description demands."""
        return {}

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """x (...), float32 or float64, of any shape; DTypeError."""
        x = spec.as_array("x", x, spec.DTYPES)
        return ACTIVATIONS[self.name].value(x, *self._own_parameters)

    def forward(self, x: ArrayLike) -> tuple[np.ndarray, Tape]:
        """Return ``(y, tape)``; the tape keeps `x` itself, which must not change before `backward`."""
        x = spec.as_array("x", x, spec.DTYPES)
        return self(x), Tape(self, self.version, x)

    def backward(self, tape: Tape, dy: ArrayLike) -> Grads:
        """Gradients of one forward call: `x`; at a kink of the function its slope is the one below.

        Raises
        ------
        TapeError, ShapeError, DTypeError
        """
        with claimed(tape, Tape, self, self.version):
            dy = _upstream(dy, tape.saved)
        return Grads(dy * ACTIVATIONS[self.name].slope(tape.saved, *self._own_parameters), None, {})


class Softmax(Module):
    """Softmax over the last axis.

    `cross_entropy` takes what comes before one: a model that is trained with it ends without.

    Examples
    --------
    >>> import numpy as np
    >>> rnncore.nn.Softmax()(np.zeros((1, 2), np.float32)).tolist()
    [[0.5, 0.5]]
    """

    def __init__(self) -> None:
        super().__init__()

    @staticmethod
    def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters that this description demands."""
        return {}

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """x (..., features), float32 or float64, gives the same shape; ShapeError, DTypeError."""
        return softmax(x)

    def forward(self, x: ArrayLike) -> tuple[np.ndarray, Tape]:
        """Return ``(y, tape)``; the tape keeps `y` itself, which must not change before `backward`."""
        y = self(x)
        return y, Tape(self, self.version, y)

    def backward(self, tape: Tape, dy: ArrayLike) -> Grads:
        """Gradients of one forward call: `x`.

        Raises
        ------
        TapeError, ShapeError, DTypeError
        """
        with claimed(tape, Tape, self, self.version):
            y, dy = tape.saved, _upstream(dy, tape.saved)
        return Grads(y * (dy - sums.dot_rows(y, dy)), None, {})
