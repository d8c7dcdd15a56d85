# SPDX-License-Identifier: MIT
"""The compiled layers: RNN, LSTM, GRU on the C core.

A call goes straight down: checks (spec), views, one C call. Packed weights are made when first needed, per
instruction set, and thrown away when the parameters change.
"""

import numpy as np

from .. import spec
from ..engine import _core, backends
from ..engine.blas import scipy_blas
from ..engine.memory import empty, recycled
from ..engine.threads import team_for, threads_for
from ..errors import SizeError
from ..spec import initializers, masks
from ..spec.arguments import GRUArguments, LSTMArguments, RNNArguments
from ..spec.parameters import flat_views
from ..spec.tapes import Grads, TapeBase, claimed
from .module import Module
from .stream import Stream


class Tape(TapeBase):
    """What one training call leaves for its backward pass; used once.

    Attributes
    ----------
    call_key : int or None
        Key of the dropout masks; None if the call drew none.
    nbytes : int
        Memory it holds until `backward` has used it.
    """

    def __init__(self, owner, size, lengths, call_key, weights, segments, blas, threads, drops):
        # The parameters may have changed since these weights were packed.
        super().__init__(owner, weights.version)
        self.size, self.lengths, self.call_key = size, lengths, call_key  # size: (T, N, batched)
        T, N, _ = size
        valid = _valid_steps(T, N, lengths)
        self.memory = _core.Tape(weights.plan, T, N, valid, segments, owner._spare["tape"])
        self.weights, self.blas, self.threads = weights, blas, threads
        self.drops = drops  # (recurrent_dropout, weight_dropout)
        self.nbytes = self.memory.nbytes


def _valid_steps(T, N, lengths):
    return T * N if lengths is None else int(lengths.sum())


def _usable(array):
    """The array itself, or a copy if its elements do not lie on element boundaries."""
    return array if array is None or array.flags.aligned else np.array(array)


def _dense(parts):
    return tuple(None if part is None else np.ascontiguousarray(part) for part in parts)


class Layer(Module):
    """What the three layers share; see `RNN`, `LSTM`, `GRU`. May be called from many threads at once."""

    _made_anew = Module._made_anew | {"_version", "_packed", "_spare"}

    def __init__(self, layer_spec, seed):
        self.spec = layer_spec
        parameter_rng, self._dropout_rng = initializers.seed_streams(seed)
        super().__init__(**initializers.uniform(layer_spec, parameter_rng))
        self._start_cache()

    def __setstate__(self, state):
        super().__setstate__(state)
        self._start_cache()

    def _start_cache(self):
        self._version = _core.Version()
        self._packed = {}
        self._spare = {name: _core.Spare() for name in ("weights", "tape", "y", "dx", "grads")}

    def __repr__(self):
        return f"rnncore.{self.kind}({self.spec.arguments()})"

    # Parameters

    @property
    def version(self):
        """How often the parameters have changed."""
        return self._version.value

    def _changed(self):
        self._packed.clear()
        self._version.value += 1

    def _plan(self, uses=0):
        """For weights packed for these uses on the current instruction set."""
        return _core.Plan(self.spec, backends.current_isa(), scipy_blas() if uses & _core.BLAS else None)

    def _weights(self, uses):
        """The present parameters packed for these uses on the current instruction set."""
        isa = backends.current_isa()
        weights = self._packed.get(isa)
        if weights is not None and weights.uses & uses == uses:
            return weights
        with self._lock:
            old = self._packed.get(isa)
            uses |= old.uses if old else 0
            weights = _core.Weights(
                self._plan(uses), self._parameters, uses, self.version, self._spare["weights"]
            )
            self._packed[isa] = weights
        return weights

    def _dropped_weights(self, uses, key, p):
        """Packed for one call, with elements of weight_hh dropped."""
        with self._lock:
            values = dict(self._parameters)
            for name, number in self._recurrent_weights():
                values[name] = np.empty_like(self._parameters[name])
                _core.dropout(values[name], self._parameters[name], masks.layer_key(key, number), p)
            return _core.Weights(self._plan(uses), values, uses, self.version, self._spare["weights"])

    def _recurrent_weights(self):
        """Names of the recurrent matrices, and the numbers of their mask streams."""
        return [("weight_hh" + s, masks.WEIGHT + k) for k, s in enumerate(self.spec.suffixes())]

    # Calls

    def __call__(self, x, state=None, *, lengths=None, out=None, num_threads=None):
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
        """
        x, parts, lengths, size = spec.check_call(self.spec, x, state, lengths, num_threads)
        shape = spec.y_shape(self.spec, *size)
        if out is not None:
            spec.check_out(out, shape, self.spec.dtype, (x, lengths, *parts))
        y = out if out is not None and out.flags.aligned else empty("x", shape, self.spec.dtype)
        final = self._empty_state(size[1])
        threads = threads_for(num_threads)
        backend = backends.current_backend()
        arrays = (self._view(x, size), self._view(y, size), _dense(parts), final, lengths)
        if backend == "naive":
            with self._lock:
                _core.forward_naive(self._plan(), self._parameters, *arrays)
        else:
            weights = self._weights(_core.BLAS if backend == "blas" else _core.FORWARD)
            weights.forward(*arrays, None, 0, backend == "blas", threads, team_for(threads))
        if out is not None and y is not out:
            out[...] = y
        return (y if out is None else out), spec.as_state(final, size[2])

    def forward(
        self,
        x,
        state=None,
        *,
        lengths=None,
        num_threads=None,
        checkpoint=None,
        recurrent_dropout=0.0,
        weight_dropout=0.0,
    ):
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
            For one call of `backward`. About 6*H values per token and direction for LSTM, 5*H for GRU, 2*H for RNN,
            with a checkpoint H for all of them, plus the input; see `tape_bytes`. The layer keeps the memory of one
            tape that was thrown away for the next one of its size, and so that of large results.

        Raises
        ------
        As `__call__`.
        """
        x, parts, lengths, size = spec.check_call(self.spec, x, state, lengths, num_threads)
        segments = spec.check_checkpoint(checkpoint, size[0])
        recurrent_dropout = spec.check_probability("recurrent_dropout", recurrent_dropout)
        weight_dropout = spec.check_probability("weight_dropout", weight_dropout)
        threads = threads_for(num_threads)
        drops = self.spec.drops or recurrent_dropout or weight_dropout
        key = masks.draw_call_key(self._dropout_rng) if drops else None
        blas = backends.current_backend() == "blas"
        uses = (_core.BLAS if blas else _core.FORWARD) | _core.BACKWARD
        weights = self._dropped_weights(uses, key, weight_dropout) if weight_dropout else self._weights(uses)
        tape = Tape(
            self, size, lengths, key, weights, segments, blas, threads, (recurrent_dropout, weight_dropout)
        )
        y = recycled("x", spec.y_shape(self.spec, *size), self.spec.dtype, self._spare["y"])
        final = self._empty_state(size[1])
        arrays = (self._view(x, size), self._view(y, size), _dense(parts), final, lengths)
        weights.forward(*arrays, tape.memory, key or 0, blas, threads, team_for(threads), recurrent_dropout)
        return y, spec.as_state(final, size[2]), tape

    def tape_bytes(self, T, N, *, lengths=None, checkpoint=None):
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
        """
        T, N = spec.check_int("T", T, 0), spec.check_int("N", N, 0)
        lengths, segments = spec.check_lengths(lengths, T, N), spec.check_checkpoint(checkpoint, T)
        size = self._plan().tape_bytes(T, N, _valid_steps(T, N, lengths), segments)
        if not size:
            raise SizeError("T", "sizes whose tape fits 2**63 - 1 bytes", f"T = {T}, N = {N}")
        return size

    def backward(self, tape, dy, dstate=None):
        """Gradients of a training call.

        Parameters
        ----------
        tape : Tape
            From `forward` of this layer with the parameters it has now; used up by this call.
        dy : array of the layer's dtype, like y, or None for zeros
            Any strides; ignored at padding.
        dstate : like the state, or None for zeros
            Either part of an LSTM's pair may be None.

        Returns
        -------
        Grads
            `x` (0 at padding), `state`, and `params`, views of one array in the order of `parameters()`.

        Raises
        ------
        TapeError, ArgumentError, ShapeError, DTypeError, UnsupportedError
            The tape stays usable.
        MemoryExhaustedError

        Notes
        -----
        About twice the operations of `forward`, on as many threads. The same call gives the same bits; another
        number of threads may change the last ones.
        """
        with claimed(tape, Tape, self, self.version):
            dy, parts = spec.check_upstream(self.spec, tape.size, dy, dstate)
        size, dtype = tape.size, self.spec.dtype
        shape = spec.y_shape(self.spec, *size)
        dx = recycled("x", (*shape[:-1], self.spec.input_size), dtype, self._spare["dx"])
        dstate = self._empty_state(size[1])
        shapes = self.spec.parameter_shapes()
        params = flat_views(shapes, recycled("parameters", self._flat.shape, dtype, self._spare["grads"]))
        dy = None if dy is None else self._view(dy, size)
        tape.weights.backward(
            tape.memory, size[0], size[1], tape.lengths, dy, _dense(parts), self._view(dx, size), dstate, params,
            tape.call_key or 0, tape.blas, tape.threads, team_for(tape.threads), tape.drops[0],
        )  # fmt: skip
        for name, number in self._recurrent_weights() if tape.drops[1] else ():
            _core.dropout(params[name], params[name], masks.layer_key(tape.call_key, number), tape.drops[1])
        tape.memory = tape.weights = (
            None  # for the next tape, also while the caller's variable still names this one
        )
        return Grads(dx, spec.as_state(dstate, size[2]), params)

    def stream(self, batch_size=1):
        """A `Stream` of `batch_size` rows that starts from zero state."""
        return Stream(self, batch_size)

    def _view(self, array, size):
        return spec.time_major(self.spec, _usable(array), size[2])

    def _empty_state(self, N):
        return tuple(empty("state", shape, self.spec.dtype) for shape in self.spec.state_shapes(N))


class RNN(RNNArguments, Layer):
    __doc__ = RNNArguments.__doc__


class LSTM(LSTMArguments, Layer):
    __doc__ = LSTMArguments.__doc__


class GRU(GRUArguments, Layer):
    __doc__ = GRUArguments.__doc__
