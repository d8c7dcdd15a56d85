# SPDX-License-Identifier: MIT
"""Fleets of layers: many models of one architecture, each with parameters of its own, in one call."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine import Spares, _core, backends, fleets, needed
from ..errors import ArgumentError, shown
from ..spec import FleetCall, Spec, Training, check_int, check_type, claiming, initializers, masks
from . import layers as layers_of_one
from .fleet_stream import FleetStream
from .module import Module

if TYPE_CHECKING:
    from ..spec.tapes import Grads
    from ..spec.types import ArrayLike, Checkpoint, Lengths, Seed, StateLike


class Fleet(Module):
    """Many recurrent layers of one architecture, each with parameters of its own: one per series, sensor or seed.

    A call runs all of them, on all threads. Every model gets what its layer alone would give, outputs and gradients, to
    the last bit.

    Parameters
    ----------
    cell : {"rnn", "lstm", "gru", "min_gru", "min_lstm"}
    input_size, hidden_size, num_layers : int
        I, H, L; each at least 1.
    models : int
        M, at least 1.
    seed : int or sequence of ints, optional
        Model i is the layer with the seed ``(seed, i)``.
    **options
        What the layers' constructors take: bias, batch_first, dropout, bidirectional, dtype, zoneout, clip and so on.

    Attributes
    ----------
    models : int
    layer_spec : Spec
        Of each layer.

    Raises
    ------
    ArgumentError, DTypeError, SizeError, MemoryExhaustedError

    Notes
    -----
    Small layers (up to 24 units with one or two rows each, 16 with more) run side by side, one in each lane of the
    vectors, several times as fast as one after the other: where lengths are alike in all models, and without
    dropout between layers, recurrent dropout, zoneout, layer normalisation and stores.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> fleet = rnncore.Fleet("gru", 3, 4, models=100, seed=0)
    >>> x = np.ones((100, 5, 2, 3), np.float32)
    >>> y, h = fleet(x)
    >>> y.shape, h.shape
    ((100, 5, 2, 4), (100, 1, 2, 4))
    >>> bool((y[7] == rnncore.GRU(3, 4, seed=(0, 7))(x[7])[0]).all())
    True
    """

    _made_anew = Module._made_anew | {"_packed", "_plans", "_spares"}

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        models: int,
        seed: Seed = None,
        **options: Any,
    ) -> None:
        for name in options:
            if name not in Spec.__dataclass_fields__:
                raise ArgumentError(str(name), "an argument of the layers", "an unknown name")
        spec = Spec(cell, input_size, hidden_size, num_layers, **options)
        models = check_int("models", models, 1)
        with claiming("models", (models, spec.parameter_size)):
            zeros = {name: np.zeros(shape, spec.dtype) for name, shape in _shapes(spec, models).items()}
        self._start(spec, models, zeros, [])
        for m, own in enumerate(initializers.seeds_of(seed, models)):
            rng, dropout_rng = initializers.seed_streams(own)
            self._dropout_rngs.append(dropout_rng)
            for name, value in initializers.uniform(spec, rng).items():
                self._parameters[name][m] = value

    def _start(
        self, spec: Spec, models: int, parameters: dict[str, np.ndarray], rngs: list[np.random.Generator]
    ) -> None:
        self.layer_spec: Spec = spec
        self.models: int = models
        self._dropout_rngs = rngs
        super().__init__(**parameters)
        self._start_cache()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._start_cache()

    def _start_cache(self) -> None:
        self._packed: dict[tuple[str, bool], fleets.FleetWeights] = {}
        self._plans: dict[tuple[str, bool, int], _core.Plan] = {}
        self._spares = Spares()

    def __repr__(self) -> str:
        spec = self.layer_spec
        return f"rnncore.Fleet({spec.cell!r}, {spec.arguments()}, models={self.models})"

    def config(self) -> dict[str, Any]:
        """The architecture and the number of models, ready for JSON."""
        return {"kind": self.kind, "models": self.models, "architecture": self.layer_spec.to_dict()}

    # Models

    @classmethod
    def _with_parameters(
        cls, spec: Spec, parameters: Mapping[str, np.ndarray], rngs: list[np.random.Generator] | None = None
    ) -> Fleet:
        """A fleet with copies of parameters (M, ...) that fit; dropout from `rngs`, or anew."""
        models = len(next(iter(parameters.values())))
        if rngs is None:
            rngs = [initializers.seed_streams(own)[1] for own in initializers.seeds_of(0, models)]
        fleet = cls.__new__(cls)
        fleet._start(spec, models, dict(parameters), rngs)
        return fleet

    @classmethod
    def stack(cls, layers: Iterable[Any]) -> Fleet:
        """A fleet of copies of layers of one architecture.

        Parameters
        ----------
        layers : iterable of recurrent layers

        Raises
        ------
        ArgumentError

        Examples
        --------
        >>> import rnncore
        >>> rnncore.Fleet.stack([rnncore.GRU(3, 4, seed=seed) for seed in range(5)])
        rnncore.Fleet('gru', 3, 4, models=5)
        """
        sound = isinstance(layers, Iterable) and not isinstance(layers, (str, np.ndarray))
        found = list(layers) if sound else []
        for k, layer in enumerate(found):
            check_type(f"layers[{k}]", layer, layers_of_one.Layer, "a recurrent layer")
            if layer.spec != found[0].spec:
                raise ArgumentError(f"layers[{k}]", f"a layer like {found[0]!r}", shown(layer))
        if not found:
            raise ArgumentError("layers", "at least one recurrent layer", shown(layers))
        names = found[0].parameters()
        values = {name: np.stack([layer._parameters[name] for layer in found]) for name in names}
        rngs = [copy.deepcopy(layer._dropout_rng) for layer in found]
        return cls._with_parameters(found[0].spec, values, rngs)

    def unstack(self) -> list[Any]:
        """The layers, as `fleet[i]` gives them."""
        return list(self)

    def quantize(self, store: str | None) -> Fleet:
        """The same fleet with the layers' matrices packed in another store; see `LSTM.quantize`."""
        spec = dataclasses.replace(self.layer_spec, store=store)
        return Fleet._with_parameters(spec, self._parameters, copy.deepcopy(self._dropout_rngs))

    def __len__(self) -> int:
        return self.models

    def __getitem__(self, i: int) -> Any:
        """Layer i: a copy, RNN, LSTM or GRU.

        Examples
        --------
        >>> import rnncore
        >>> rnncore.Fleet("lstm", 3, 4, models=2, seed=0)[1]
        rnncore.LSTM(3, 4)
        """
        check_type("i", i, (int, np.integer), "an integer")
        if not -self.models <= i < self.models:
            raise IndexError(f"model {i} of {self.models}")
        spec = self.layer_spec
        layer = getattr(layers_of_one, spec.title)(**spec.keywords(), seed=0)
        layer.load_state_dict({name: array[i] for name, array in self._parameters.items()})
        layer._dropout_rng = copy.deepcopy(self._dropout_rngs[i])
        return layer

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self.models))

    # Parameters

    def _changed(self) -> None:
        self._packed.clear()
        super()._changed()

    def packed(self, uses: int, by_models: bool) -> fleets.FleetWeights:
        """The present parameters packed for these uses, for lanes that are models or units."""
        key = (backends.current_isa(), by_models)
        weights = self._packed.get(key)
        if weights is not None and weights.uses & uses == uses:
            return weights
        with self._lock:
            old = self._packed.get(key)
            weights = self._packed[key] = self._pack(uses | (old.uses if old else 0), by_models)
        return weights

    def _pack(
        self, uses: int, by_models: bool, keys: np.ndarray | None = None, p: float = 0.0
    ) -> fleets.FleetWeights:
        kind = (backends.current_isa(), by_models, uses & _core.BLAS)
        weights = fleets.FleetWeights(
            self.layer_spec, self.models, self._parameters, uses, by_models=by_models, version=self.version,
            keys=keys, p=p, plan=self._plans.get(kind), spare=self._spares.weights,
        )  # fmt: skip
        self._plans[kind] = weights.plan
        return weights

    # Calls

    def __call__(
        self,
        x: ArrayLike,
        state: StateLike = None,
        *,
        lengths: Lengths = None,
        out: np.ndarray | None = None,
        active: ArrayLike | None = None,
        num_threads: int | None = None,
    ) -> tuple[np.ndarray, Any]:
        """Run all models without dropout.

        Parameters
        ----------
        x : array of the fleet's dtype, (M, T, N, I), with batch_first (M, N, T, I), or without M one for all models
            Any strides; not copied.
        state : array h or pair (h, c), optional
            h (M, L*D, N, H or P), c (M, L*D, N, H); zeros if left out.
        lengths : ints (M, N), or (N,) for all models, optional
            Valid steps of each row, 0..T; outputs at padding are 0.
        out : array like y, optional
            Receives y and is returned in its place.
        active : bools (M,), optional
            False: the model rests, its outputs and its state are zeros, and where its neighbours rest, too, no time is
            spent on it.
        num_threads : int, optional
            At most this many threads, which share the models; `get_num_threads()` if left out.

        Returns
        -------
        y : (M, T, N, D*H or D*P), in x's layout
        state : like the argument; new arrays

        Raises
        ------
        ShapeError, DTypeError, ArgumentError, LengthsError, OverlapError, SizeError, UnsupportedError,
        MemoryExhaustedError
            Nothing has been written.

        Examples
        --------
        >>> import numpy as np, rnncore
        >>> fleet = rnncore.Fleet("lstm", 3, 4, models=10, seed=0)
        >>> y, (h, c) = fleet(np.ones((5, 1, 3), np.float32), active=np.arange(10) < 8)  # one x for all
        >>> y.shape, bool(y[7].any()), bool(y[8].any())
        ((10, 5, 1, 4), True, False)
        """
        call = FleetCall(
            self.layer_spec,
            self.models,
            x,
            state,
            lengths=lengths,
            out=out,
            active=active,
            num_threads=num_threads,
        )
        if backends.current_backend() == "naive":
            return fleets.forward_naive(self._parameters, call)
        return fleets.forward(self.packed(needed(), fleets.by_models(call)), call)

    def forward(
        self,
        x: ArrayLike,
        state: StateLike = None,
        *,
        lengths: Lengths = None,
        active: ArrayLike | None = None,
        num_threads: int | None = None,
        checkpoint: Checkpoint = None,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
    ) -> tuple[np.ndarray, Any, fleets.FleetTape]:
        """Run all models with dropout and record.

        Parameters
        ----------
        x, state, lengths, active, num_threads
            As in `__call__`.
        checkpoint, recurrent_dropout, weight_dropout
            As in `GRU.forward`; each model draws its own masks.

        Returns
        -------
        y, state
            As from `__call__`; without dropout the same to the last bit.
        tape : FleetTape
            For one call of `backward`.

        Raises
        ------
        As `__call__`.

        Examples
        --------
        >>> import numpy as np, rnncore
        >>> fleet = rnncore.Fleet("gru", 3, 4, models=10, seed=0)
        >>> y, h, tape = fleet.forward(np.ones((10, 5, 2, 3), np.float32))
        >>> grads = fleet.backward(tape, np.ones_like(y))
        >>> grads.x.shape, grads.params["weight_hh_l0"].shape
        ((10, 5, 2, 3), (10, 12, 4))
        """
        call = FleetCall(
            self.layer_spec, self.models, x, state, lengths=lengths, active=active, num_threads=num_threads
        )
        training = Training(call, checkpoint, recurrent_dropout, weight_dropout)
        keys, row_keys = masks.draw_call_keys(self._dropout_rngs) if training.draws else (None, None)
        uses = needed(training=True)
        if training.weight_dropout:
            with self._lock:
                weights = self._pack(uses, fleets.by_models(call, training), keys, training.weight_dropout)
        else:
            weights = self.packed(uses, fleets.by_models(call, training))
        return fleets.record(weights, call, training, keys, self, self._spares, row_keys)

    def backward(
        self,
        tape: fleets.FleetTape,
        dy: ArrayLike | None,
        dstate: StateLike = None,
        *,
        input_grad: bool = True,
    ) -> Grads:
        """Gradients of a training call.

        Parameters
        ----------
        tape : FleetTape
            From `forward` of this fleet with the parameters it has now; used up by this call.
        dy : array like y, or None for zeros
            Any strides; ignored at padding and of models that rested.
        dstate : like the state, or None for zeros
            Either part of an LSTM's pair may be None.
        input_grad : bool
            Whether the gradient of x is wanted.

        Returns
        -------
        Grads
            `x` (M, T, N, I), also where all models read one x; `state`, and `params` by the names of `parameters()`;
            zeros of models that rested.

        Raises
        ------
        TapeError, ArgumentError, ShapeError, DTypeError, UnsupportedError
            The tape stays usable.
        MemoryExhaustedError

        Examples
        --------
        See `forward`.
        """
        return fleets.backward(tape, dy, dstate, self, self.version, input_grad)

    def stream(self, batch_size: int = 1) -> FleetStream:
        """All models as running sequences of `batch_size` rows each that start from zero state.

        Examples
        --------
        >>> import numpy as np, rnncore
        >>> stream = rnncore.Fleet("gru", 3, 4, models=10, seed=0).stream()
        >>> stream.step(np.ones((10, 1, 3), np.float32)).shape
        (10, 1, 4)
        """
        return FleetStream(self, batch_size)


def _shapes(spec: Spec, models: int) -> dict[str, tuple[int, ...]]:
    return {name: (models, *shape) for name, shape in spec.parameter_shapes().items()}
