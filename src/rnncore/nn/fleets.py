# SPDX-License-Identifier: MIT
"""What trains beside a fleet: linear heads and optimisers, for each model its own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import spec
from ..engine import _core, sums
from ..engine.backends import current_isa
from ..engine.threads import team_for, threads_for
from ..errors import ArgumentError, ShapeError, shown
from ..layers.module import Module, Tape
from ..spec.fleets import check_active
from ..spec.initializers import seeds_of, uniform_draws
from ..spec.tapes import Grads, claimed
from .linear import Linear
from .optimisers import SGD, Adam, _Optimizer, _writing_all

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class FleetLinear(Module):
    """A linear head for each model of a fleet, ``y[m] = x[m] W[m]^T + b[m]``.

    Each has what `Linear` alone would give, outputs and gradients, to the last bit.

    Parameters
    ----------
    in_features, out_features : int
    models : int
        M.
    bias : bool
    dtype : "float32" or "float64"
    seed : int, sequence of ints, SeedSequence or None
        Head m is the `Linear` with the seed ``(seed, m)``.

    Raises
    ------
    ArgumentError, DTypeError

    Examples
    --------
    >>> import numpy as np
    >>> heads = rnncore.nn.FleetLinear(3, 2, models=10, seed=0)
    >>> y, tape = heads.forward(np.ones((10, 5, 1, 3), np.float32))
    >>> grads = heads.backward(tape, np.ones_like(y))
    >>> y.shape, grads.x.shape, grads.params["weight"].shape
    ((10, 5, 1, 2), (10, 5, 1, 3), (10, 2, 3))
    """

    arguments: tuple[str, ...] = ("in_features", "out_features", "models", "bias", "dtype")

    def __init__(
        self,
        in_features: int,
        out_features: int,
        models: int,
        bias: bool = True,
        dtype: str = "float32",
        seed: Any = None,
    ) -> None:
        self.in_features: int = spec.check_int("in_features", in_features, 1)
        self.out_features: int = spec.check_int("out_features", out_features, 1)
        self.models: int = spec.check_int("models", models, 1)
        self.bias: bool = spec.check_bool("bias", bias)
        self.dtype: str = spec.check_dtype("dtype", dtype).name
        shapes, bound = self.shapes(self.config()), 1.0 / math.sqrt(self.in_features)
        with spec.claiming("in_features", shapes["weight"]):
            parameters = {name: np.empty(shape, self.dtype) for name, shape in shapes.items()}
        for m, own in enumerate(seeds_of(seed, self.models)):
            rng = np.random.default_rng(own)
            for array in parameters.values():
                array[m] = uniform_draws(rng, bound, array.shape[1:])
        super().__init__(**parameters)

    @staticmethod
    def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters that this description demands."""
        shapes = {"weight": (config["models"], config["out_features"], config["in_features"])}
        return shapes | ({"bias": (config["models"], config["out_features"])} if config["bias"] else {})

    @classmethod
    def stack(cls, heads: Iterable[Linear]) -> FleetLinear:
        """A fleet of copies of heads of one shape.

        Parameters
        ----------
        heads : iterable of Linear

        Raises
        ------
        ArgumentError

        Examples
        --------
        >>> rnncore.nn.FleetLinear.stack([rnncore.Linear(3, 2, seed=seed) for seed in range(5)])
        FleetLinear(in_features=3, out_features=2, models=5, bias=True, dtype='float32')
        """
        sound = isinstance(heads, Iterable) and not isinstance(heads, (str, np.ndarray, Module))
        found = list(heads) if sound else []
        for k, head in enumerate(found):
            spec.check_type(f"heads[{k}]", head, Linear, "a Linear")
            if head.config() != found[0].config():
                raise ArgumentError(f"heads[{k}]", f"a head like {found[0]!r}", shown(head))
        if not found:
            raise ArgumentError("heads", "at least one Linear", shown(heads))
        options = {name: getattr(found[0], name) for name in Linear.arguments}
        fleet = cls(**options, models=len(found), seed=0)
        values = {name: np.stack([head.parameters()[name] for head in found]) for name in fleet.parameters()}
        fleet.load_state_dict(values)
        return fleet

    def __len__(self) -> int:
        return self.models

    def __getitem__(self, m: int) -> Linear:
        """Head m: a copy."""
        spec.check_type("m", m, (int, np.integer), "an integer")
        if not -self.models <= m < self.models:
            raise IndexError(f"model {m} of {self.models}")
        head = Linear(**{name: getattr(self, name) for name in Linear.arguments}, seed=0)
        head.load_state_dict({name: array[m] for name, array in self._parameters.items()})
        return head

    def _rows(self, name: str, x: Any, size: int) -> np.ndarray:
        """(M, ..., size) as it came, checked."""
        x = self._features(x, size, name)
        if x.ndim < 2 or len(x) != self.models:
            raise ShapeError(name, f"shape ({self.models}, ..., {size})", str(x.shape))
        return x

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """Apply the heads to `x` (M, ..., in_features); return (M, ..., out_features)."""
        x = self._rows("x", x, self.in_features)
        rows = x.reshape(self.models, -1, self.in_features)
        y = sums.multiply("nt", rows, self._parameters["weight"], self._parameters.get("bias"))
        return y.reshape(*x.shape[:-1], self.out_features)

    def forward(self, x: ArrayLike) -> tuple[np.ndarray, Tape]:
        """Return ``(y, tape)``; the tape keeps `x` itself, which must not change before `backward`."""
        y = self(x)
        return y, Tape(self, self.version, np.asarray(x))

    def backward(self, tape: Tape, dy: ArrayLike, *, input_grad: bool = True) -> Grads:
        """Gradients of one forward call, as `Linear.backward`, of all models.

        Raises
        ------
        TapeError, ShapeError, DTypeError, ArgumentError
        """
        with claimed(tape, Tape, self, self.version):
            x = tape.saved
            dy = self._rows("dy", dy, self.out_features)
            spec.check_shape("dy", dy, (*x.shape[:-1], self.out_features))
            spec.check_bool("input_grad", input_grad)
        rows = x.reshape(self.models, -1, self.in_features)
        drows = dy.reshape(self.models, -1, self.out_features)
        params = {"weight": sums.multiply("tn", drows, rows)}
        if self.bias:
            model = np.repeat(np.arange(self.models), rows.shape[1])
            params["bias"] = sums.add_rows(drows.reshape(-1, self.out_features), model, self.models)
        if not input_grad:
            return Grads(None, None, params)
        dx = sums.multiply("nn", drows, self._parameters["weight"])
        return Grads(dx.reshape(x.shape), None, params)


class FleetOptimizer(_Optimizer):
    """What the two optimisers of fleets share: a rate, a norm and a count of steps for each model."""

    lr: Any
    step_count: Any

    def _start(self, lr: Any) -> None:
        found = {
            len(a) if a.ndim else 0 for group in self._groups for a in group.module.parameters().values()
        }
        if len(found) != 1 or 0 in found:
            raise ArgumentError("modules", "fleets of as many models", shown(sorted(found)))
        self.models: int = found.pop()
        self.lr = self._rates(lr)
        self.step_count = np.zeros(self.models, np.int64)

    def _rates(self, lr: Any) -> np.ndarray:
        rates = self._of_models("lr", lr)
        if not (rates >= 0).all():
            raise ArgumentError("lr", "finite numbers >= 0", shown(lr))
        return rates

    def _of_models(self, name: str, value: Any) -> np.ndarray:
        """A finite number for each model, of one or (M,)."""
        found = spec.numbers(name, value, np.float64)
        if found.shape not in ((), (self.models,)):
            raise ShapeError(name, f"a number or ({self.models},)", str(found.shape))
        if not np.isfinite(found).all():
            raise ArgumentError(name, "finite numbers", shown(value))
        return np.array(np.broadcast_to(found, (self.models,)))

    def __repr__(self) -> str:
        names = ", ".join(type(group.module).__name__ for group in self._groups)
        return f"{type(self).__name__}([{names}], models={self.models})"

    def step(
        self,
        grads: Any,
        *,
        active: ArrayLike | None = None,
        grad_scale: Any = 1.0,
        num_threads: int | None = None,
    ) -> np.ndarray:
        """Update the parameters of all models once, each as its own optimiser would.

        Parameters
        ----------
        grads : what `backward` gave, or a list of it
            Of one fleet, or of each in the order in which they were given.
        active : bools (M,), optional
            False: the model rests; its parameters, moments and count of steps stay.
        grad_scale : float, or floats (M,)
            Gradients are multiplied by this first; of each model by its own.
        num_threads : int, optional
            At most this many threads, which share the models; `get_num_threads()` if left out.

        Returns
        -------
        float64 (M,)
            The L2 norm of each model's gradients before clipping, 0 where it rests. A model whose norm is not finite
            has diverged, and is as it was.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            Nothing has changed.
        """
        dense = self._check(grads)
        scale = self._of_models("grad_scale", grad_scale)
        spec.check_num_threads(num_threads)
        threads = threads_for(num_threads)
        given, rates = check_active(active, self.models), self._rates(self.lr)
        runs = np.ones(self.models, bool) if given is None else given
        norms = np.zeros(self.models)
        with _writing_all([group.module for group in self._groups]) as values:
            tensors = [
                tensor
                for group, own, some in zip(self._groups, values, dense, strict=True)
                for tensor in group.tensors(own, some)
            ]
            _core.update_fleet(
                self._method, self.models, tensors, rates, self.step_count + 1, runs, scale, norms,
                weight_decay=self.weight_decay, decoupled=self.decoupled, clip_norm=self.clip_norm or 0.0,
                isa=current_isa(), threads=threads, team=team_for(threads), **self._options(),
            )  # fmt: skip
        self.step_count += runs & np.isfinite(norms)
        return norms

    def _progress(self, state: Mapping[str, Any]) -> tuple[Any, Any]:
        steps = spec.as_array("step", state["step"], (np.dtype(np.int64),))
        spec.check_shape("step", steps, (self.models,))
        if (steps < 0).any():
            raise ArgumentError("step", "integers >= 0", shown(steps))
        return steps.copy(), self._rates(state["lr"])


class FleetAdam(FleetOptimizer, Adam):
    """Adam for each model of fleets, which gives the weights that an `Adam` for each would give, to the last bit.

    Parameters
    ----------
    modules : a fleet, or a sequence of them
        `Fleet` and `FleetLinear`, all of as many models.
    lr : float, or floats (M,)
        Of each model; the attribute `lr` may be changed between steps.
    betas, eps, weight_decay, clip_norm, decoupled
        As of `Adam`; `clip_norm` is of each model's norm.

    Examples
    --------
    >>> import numpy as np
    >>> fleet = rnncore.Fleet("gru", 3, 4, models=10, seed=0)
    >>> optimizer = rnncore.nn.FleetAdam(fleet, lr=np.geomspace(1e-3, 1e-1, 10))
    >>> y, _, tape = fleet.forward(np.ones((5, 2, 3), np.float32))
    >>> optimizer.step(fleet.backward(tape, y)).shape
    (10,)
    """

    def __init__(
        self,
        modules: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        *,
        decoupled: bool = True,
    ) -> None:
        super().__init__(modules, 0.0, betas, eps, weight_decay, clip_norm, decoupled=decoupled)
        self._start(lr)


class FleetSGD(FleetOptimizer, SGD):
    """Stochastic gradient descent for each model of fleets; arguments as of `SGD` and `FleetAdam`.

    Examples
    --------
    >>> heads = rnncore.nn.FleetLinear(2, 1, models=3, seed=0)
    >>> optimizer = rnncore.nn.FleetSGD(heads, lr=0.1, momentum=0.9)
    >>> optimizer.step({name: array * 0 for name, array in heads.parameters().items()})
    array([0., 0., 0.])
    """

    def __init__(
        self,
        modules: Any,
        lr: Any = 1e-2,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        *,
        decoupled: bool = True,
    ) -> None:
        super().__init__(modules, 0.0, momentum, nesterov, weight_decay, clip_norm, decoupled=decoupled)
        self._start(lr)
