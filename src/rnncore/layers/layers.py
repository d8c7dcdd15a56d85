# SPDX-License-Identifier: MIT
"""The compiled layers: RNN, LSTM, GRU, MinGRU, MinLSTM.

A layer owns parameters and their packed weights, which are made when first needed, per instruction set, and thrown away
when the parameters change. What it does with them is the engine's.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import numpy as np

from .. import engine
from ..engine import _core, backends
from ..errors import ArgumentError
from ..spec import initializers, masks
from ..spec.arguments import (
    GRUArguments,
    LayerArguments,
    LSTMArguments,
    MinGRUArguments,
    MinLSTMArguments,
    RNNArguments,
)
from .module import Module

if TYPE_CHECKING:
    from ..spec import Spec
    from ..spec.tapes import Grads
    from ..spec.types import ArrayLike, Checkpoint, Lengths, Seed, StateLike

StateT = TypeVar("StateT")


class Layer(Module, LayerArguments, Generic[StateT]):
    """What the layers share; see `RNN`, `LSTM`, `GRU`, `MinGRU`, `MinLSTM`. May be called from many threads at once."""

    _made_anew = Module._made_anew | {"counter", "_packed", "_plans", "_spares"}

    def _start(self, spec: Spec, seed: Seed) -> None:
        self.spec = spec
        parameter_rng, self._dropout_rng = initializers.seed_streams(seed)
        Module.__init__(self, **initializers.uniform(spec, parameter_rng))
        self._start_cache()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._start_cache()

    def _start_cache(self) -> None:
        self.counter: _core.Version = _core.Version()
        self._packed: dict[str, engine.Weights] = {}
        self._plans: dict[tuple[str, int], _core.Plan] = {}
        self._spares = engine.Spares()

    def __repr__(self) -> str:
        return f"rnncore.{self.kind}({self.spec.arguments()})"

    # Parameters

    @property
    def version(self) -> int:  # type: ignore[override]
        """How often the parameters have changed."""
        return self.counter.value

    def _changed(self) -> None:
        self._packed.clear()
        self.counter.value += 1

    def packed(self, uses: int) -> engine.Weights:
        """The present parameters packed for these uses (see `engine.needed`) on the present instruction set."""
        isa = backends.current_isa()
        weights = self._packed.get(isa)
        if weights is not None and weights.uses & uses == uses:
            return weights
        with self._lock:
            old = self._packed.get(isa)
            weights = self._pack(uses | (old.uses if old else 0))
            self._packed[isa] = weights
        return weights

    def _pack(self, uses: int, drop: tuple[int, float] | None = None) -> engine.Weights:
        kind = (backends.current_isa(), uses & _core.BLAS)
        options = {"version": self.version, "drop": drop, "spare": self._spares.weights}
        plan = self._plans.get(kind)
        weights = engine.Weights(self.spec, self._parameters, uses, plan=plan, **options)
        self._plans[kind] = weights.plan
        return weights

    def quantize(self, store: str | None) -> Self:
        """The same layer with matrices packed in another store.

        Parameters
        ----------
        store : {"int8", "int8x16", "bfloat16", "float16", None}
            What packed matrices hold their values in; None: float32 again. With the first two a matrix is integers of 8
            bits with a scale for each row, and what it is multiplied with becomes integers, too, of 8 or 16 bits, row
            by row; a weight_ih of fewer than 32 columns stays in floats.

        Returns
        -------
        layer
            A new one, with copies of the parameters, which stay float32 and may be trained further: gradients are those
            at the rounded values, for the parameters (straight through).

        Raises
        ------
        ArgumentError
            The layer is float64, or a weight is more than a float16 holds, 65504.

        Notes
        -----
        Packed forward weights take a quarter of the bytes, or half, and one row, which is bound by them, that much less
        time; integers are faster in batches, too. Results of bfloat16 and float16 are those of float32 arithmetic with
        the rounded weights, bit for bit. Integer sums are exact, so integers give the same bits in every batch, on
        every instruction set and with any number of threads, too. Gradients leave out the rounding of operands.

        Examples
        --------
        >>> import numpy as np, rnncore
        >>> layer = rnncore.GRU(3, 4, seed=0)
        >>> small = layer.quantize("bfloat16")
        >>> x = np.ones((5, 2, 3), np.float32)
        >>> bool(abs(small(x)[0] - layer(x)[0]).max() < 0.01), small
        (True, rnncore.GRU(3, 4, store='bfloat16'))
        """
        other = copy.copy(self)
        other.spec = dataclasses.replace(self.spec, store=store)
        for name, value in self.parameters().items():
            if store == "float16" and np.abs(value[np.isfinite(value)]).max(initial=0) >= 65520:
                raise ArgumentError(name, "values of at most 65504 for float16", f"{np.abs(value).max():g}")
        return other

    # Calls

    def __call__(
        self,
        x: ArrayLike,
        state: StateLike = None,
        *,
        lengths: Lengths = None,
        out: np.ndarray | None = None,
        num_threads: int | None = None,
    ) -> tuple[np.ndarray, StateT]:
        """Run without dropout.

        Parameters
        ----------
        x : array of the layer's dtype, (T, N, I), with batch_first (N, T, I), or unbatched (T, I)
            Any strides; not copied.
        state : array h or pair (h, c), optional
            h (L*D, N, H or P), c (L*D, N, H), without N if unbatched; zeros if left out.
        lengths : ints (N,), optional
            Valid steps of each row, 0..T; outputs at padding are 0, a row of length 0 keeps its state. No time is
            spent on padding.
        out : array of the layer's dtype, optional
            Receives y and is returned in its place; any strides, apart from the inputs in memory.
        num_threads : int, optional
            At most this many threads; `get_num_threads()` if left out. Results do not depend on it.

        Returns
        -------
        y : (T, N, D*H or D*P), in x's layout
        state : like the argument; new arrays

        Raises
        ------
        ShapeError, DTypeError, ArgumentError, LengthsError, OverlapError, SizeError, UnsupportedError,
        MemoryExhaustedError
            Nothing has been written.

        Notes
        -----
        2*T*N*G*H*(I+H) floating-point operations per layer and direction. The GIL is released.

        Examples
        --------
        >>> import numpy as np, rnncore
        >>> layer = rnncore.LSTM(3, 4, seed=0)
        >>> y, (h, c) = layer(np.ones((5, 2, 3), np.float32), lengths=[5, 2])
        >>> y.shape, h.shape, c.shape
        ((5, 2, 4), (1, 2, 4), (1, 2, 4))
        """
        call = engine.Call(self.spec, x, state, lengths=lengths, out=out, num_threads=num_threads)
        return engine.forward(self.packed(engine.needed()), call)

    def forward(
        self,
        x: ArrayLike,
        state: StateLike = None,
        *,
        lengths: Lengths = None,
        num_threads: int | None = None,
        checkpoint: Checkpoint = None,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
    ) -> tuple[np.ndarray, StateT, engine.Tape]:
        """Run with dropout and record.

        Parameters
        ----------
        x, state, lengths, num_threads
            As in `__call__`. x is copied to the tape.
        checkpoint : None, "gates" or int, optional
            What `backward` computes again instead of reading it from the tape, for about half as much time more: None,
            nothing; else all gate values, segment by segment of the steps: in so many segments, or with "gates" in
            about sqrt(T). More segments take less memory in `backward`. Gradients are the same to the last bit.
        recurrent_dropout : float, optional
            Probability, 0 <= p < 1, of dropping a unit of h from what the recurrent products read (the equations' other
            uses of h see all of it): one mask per row, layer and direction for all steps of the call, kept units times
            1 / (1 - p). Variational dropout (Gal and Ghahramani 2016), Keras' `recurrent_dropout`.
        weight_dropout : float, optional
            Probability, 0 <= p < 1, of dropping an element of a weight_hh, for all rows and steps of the call, the
            others times 1 / (1 - p); DropConnect as in AWD-LSTM (Merity et al. 2018). Costs packing the weights once.

        Returns
        -------
        y, state
            As from `__call__`; without dropout the same to the last bit.
        tape : Tape
            For one call of `backward`. About 6*H values per token and direction for LSTM, 5*H for GRU, 4*H for
            minLSTM, 3*H for minGRU, 2*H for RNN, with a checkpoint H for all of them, plus the input; see `tape_bytes`.
            The layer keeps the memory of one tape that was thrown away for the next one of its size, and so that of
            large results.

        Raises
        ------
        As `__call__`.

        Examples
        --------
        >>> import numpy as np, rnncore
        >>> layer = rnncore.GRU(3, 4, seed=0)
        >>> y, h, tape = layer.forward(np.ones((5, 2, 3), np.float32), recurrent_dropout=0.2)
        >>> grads = layer.backward(tape, np.ones_like(y))
        >>> grads.x.shape, list(grads.params)
        ((5, 2, 3), ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0'])
        """
        call = engine.Call(self.spec, x, state, lengths=lengths, num_threads=num_threads)
        training = engine.Training(call, checkpoint, recurrent_dropout, weight_dropout)
        key = masks.draw_call_key(self._dropout_rng) if training.draws else None
        uses = engine.needed(training=True)
        if training.weight_dropout:
            with self._lock:
                weights = self._pack(uses, drop=(key, training.weight_dropout))
        else:
            weights = self.packed(uses)
        # A training run draws a key for each of its samples.
        rows = getattr(self._dropout_rng, "row_keys", None) if training.draws else None
        return engine.record(weights, call, training, key=key, row_keys=rows, owner=self, spares=self._spares)

    def tape_bytes(self, T: int, N: int, *, lengths: Lengths = None, checkpoint: Checkpoint = None) -> int:
        """Bytes of the tape that `forward` would make.

        Parameters
        ----------
        T, N : int
            Steps and rows of the input; N is 1 for an unbatched one.
        lengths, checkpoint
            As in `forward`.

        Returns
        -------
        int
            What `Tape.nbytes` will be. `backward` takes about as much again as one segment of one layer on top.

        Raises
        ------
        ArgumentError, LengthsError, ShapeError, SizeError

        Examples
        --------
        >>> import numpy as np, rnncore
        >>> layer = rnncore.RNN(3, 4)
        >>> layer.forward(np.ones((5, 2, 3), np.float32))[2].nbytes == layer.tape_bytes(T=5, N=2)
        True
        """
        return engine.tape_bytes(self.spec, T, N, lengths=lengths, checkpoint=checkpoint)

    def backward(
        self, tape: engine.Tape, dy: ArrayLike | None, dstate: StateLike = None, *, input_grad: bool = True
    ) -> Grads:
        """Gradients of a training call.

        Parameters
        ----------
        tape : Tape
            From `forward` of this layer with the parameters it has now; used up by this call.
        dy : array of the layer's dtype, like y, or None for zeros
            Any strides; ignored at padding.
        dstate : like the state, or None for zeros
            Either part of an LSTM's pair may be None.
        input_grad : bool
            Whether the gradient of x is wanted. Where x are data it is not, and a training step with as many inputs as
            units has a sixth of its operations less.

        Returns
        -------
        Grads
            `x` (0 at padding; None without `input_grad`), `state`, and `params`, views of one array in the order of
            `parameters()`.

        Raises
        ------
        TapeError, ArgumentError, ShapeError, DTypeError, UnsupportedError
            The tape stays usable.
        MemoryExhaustedError

        Notes
        -----
        About twice the operations of `forward`, on as many threads. The same bits on any
        number of threads and every instruction set.

        Examples
        --------
        See `forward`.
        """
        return engine.backward(tape, dy, dstate, owner=self, version=self.version, input_grad=input_grad)

    def stream(self, batch_size: int = 1) -> engine.Stream:
        """A `Stream` of `batch_size` rows that starts from zero state.

        Examples
        --------
        >>> import numpy as np, rnncore
        >>> stream = rnncore.GRU(3, 4, seed=0).stream()
        >>> stream.step(np.ones(3, np.float32)).shape
        (4,)
        """
        return engine.Stream(self, batch_size)


class RNN(RNNArguments, Layer["np.ndarray"]):
    __doc__ = RNNArguments.__doc__


class LSTM(LSTMArguments, Layer["tuple[np.ndarray, np.ndarray]"]):
    __doc__ = LSTMArguments.__doc__


class GRU(GRUArguments, Layer["np.ndarray"]):
    __doc__ = GRUArguments.__doc__


class MinGRU(MinGRUArguments, Layer["np.ndarray"]):
    __doc__ = MinGRUArguments.__doc__


class MinLSTM(MinLSTMArguments, Layer["np.ndarray"]):
    __doc__ = MinLSTMArguments.__doc__
