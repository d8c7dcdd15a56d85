# SPDX-License-Identifier: MIT
"""The NumPy float64 twins of the layers: same calls, same shapes, same errors, in readable Python.

They are the specification together with `cells`, which holds the equations; every fast kernel is tested
against them.  They compute in float64 whatever `dtype` says and return float64; `dtype` decides which arrays
they take and how initial parameters are rounded.  Speed is no goal: one Python iteration per step and layer.
"""

from __future__ import annotations

from types import SimpleNamespace as Weights
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import spec
from ..errors import UnsupportedError
from ..spec import initializers, masks, stores
from ..spec.arguments import (
    GRUArguments,
    LayerArguments,
    LSTMArguments,
    MinGRUArguments,
    MinLSTMArguments,
    RNNArguments,
)
from ..spec.parameters import ParameterOwner
from ..spec.tapes import Grads, TapeBase, claimed
from .cells import steps_of
from .integers import coded, dropped, least_range
from .loop import Zone, run_backward, run_forward

if TYPE_CHECKING:
    from ..spec.types import ArrayLike, Checkpoint, Lengths, Seed, StateLike


FLOAT64 = np.dtype(np.float64)
ALL_NAMES = {row.name for cell in spec.CELLS.values() for row in cell.parameters}


class Tape(TapeBase):
    """What one training call leaves for its backward pass; used once."""

    def __init__(
        self,
        owner: Layer,
        layout: spec.Layout,
        training: spec.Training,
        call_key: int | None,
        records: list[Any],
    ) -> None:
        super().__init__(owner, owner.version)
        self.layout: spec.Layout = layout
        self.training: spec.Training = training
        self.call_key: int | None = call_key
        # Of each layer and direction, and with recurrent dropout of each row.
        self.records: list[Any] = records


class Layer(ParameterOwner, LayerArguments):
    """What the twins share; see `RNN`, `LSTM`, `GRU`, `MinGRU`, `MinLSTM`."""

    def _start(self, layer_spec: spec.Spec, seed: Seed) -> None:
        self.spec = layer_spec
        parameter_rng, self._dropout_rng = initializers.seed_streams(seed)
        self._own(initializers.uniform(layer_spec, parameter_rng))
        # States and gradients may be what the twin gives, float64 whatever it takes.
        self._result_dtypes = tuple({layer_spec.dtype: 0, FLOAT64: 0})

    def __repr__(self) -> str:
        return f"rnncore.reference.{type(self).__name__}({self.spec.arguments()})"

    def _weights(self, suffix, values):
        """One layer's and direction's arrays as attributes; absent biases are zero, other weights None."""
        zero_bias = np.zeros(self.spec.gates * self.spec.hidden_size)
        absent = dict.fromkeys(ALL_NAMES) | {"bias_ih": zero_bias, "bias_hh": zero_bias}
        present = {row.name: np.asarray(values[row.name + suffix], FLOAT64) for row in self.spec.kinds}
        return Weights(**absent | present)

    # Calls

    def __call__(
        self,
        x: ArrayLike,
        state: StateLike = None,
        *,
        lengths: Lengths = None,
        out: np.ndarray | None = None,
        num_threads: int | None = None,
    ) -> tuple[np.ndarray, Any]:
        """Run without dropout.

        Parameters
        ----------
        x : array of spec.dtype, (T, N, I), with batch_first (N, T, I), or unbatched (T, I)
        state : array h or pair (h, c), optional
            h (L*D, N, H or P), c (L*D, N, H), without N if unbatched; zeros if left out.
        lengths : ints (N,), optional
            Valid steps of each row, 0..T; outputs at padding are 0, a row of length 0 keeps its state.
        out : array of spec.dtype, optional
            Receives y, rounded, and is returned in its place; any strides.
        num_threads : int, optional
            Checked and ignored: the call is that of the compiled layers.

        Returns
        -------
        y : float64 (T, N, D*H or D*P), in x's layout
        state : float64, like the argument

        Raises
        ------
        ShapeError, DTypeError, ArgumentError, LengthsError, OverlapError, SizeError, UnsupportedError
        """
        options = {"lengths": lengths, "out": out, "num_threads": num_threads, "dtypes": self._result_dtypes}
        call = spec.Call(self.spec, x, state, **options)
        y, state, _ = self._run(call, None)
        y = self._from_time_major(y, call)
        if out is not None:
            out[...] = y
        return (y if out is None else out), call.as_state(state)

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
    ) -> tuple[np.ndarray, Any, Tape]:
        """Run with dropout and record: like `__call__`, giving (y, state, tape); `checkpoint` changes nothing here.

        `recurrent_dropout` and `weight_dropout` are those of the compiled layers. Dropping units of h from what the
        recurrent products of a row read is dropping columns of the row's weight_hh, and so it is computed: row by row;
        but where h is coded, what is left of it is.
        """
        options = {"lengths": lengths, "num_threads": num_threads, "dtypes": self._result_dtypes}
        call = spec.Call(self.spec, x, state, **options)
        training = spec.Training(call, checkpoint, recurrent_dropout, weight_dropout)
        key = masks.draw_call_key(self._dropout_rng) if training.draws else None
        y, state, records = self._run(call, key, training)
        tape = Tape(self, call.layout(), training, key, records)
        return self._from_time_major(y, call), call.as_state(state), tape

    def backward(
        self, tape: Tape, dy: ArrayLike | None, dstate: StateLike = None, *, input_grad: bool = True
    ) -> Grads:
        """Gradients of a training call.

        Parameters
        ----------
        tape : Tape
            From `forward` of this layer with the parameters it has now; used up by this call.
        dy : array of spec.dtype or float64, like y, or None for zeros
            Ignored at padding.
        dstate : like the state, or None for zeros
            Either part of an LSTM's pair may be None.
        input_grad : bool
            Whether the gradient of x is wanted.

        Returns
        -------
        Grads
            float64; `x` is 0 at padding, or None without `input_grad`.

        Raises
        ------
        TapeError, ArgumentError, ShapeError, DTypeError
            The tape stays usable.
        """
        with claimed(tape, Tape, self, self.version):
            dy, parts = tape.layout.check_upstream(dy, dstate, self._result_dtypes)
            spec.check_bool("input_grad", input_grad)
        at, (T, N) = tape.layout, (tape.layout.T, tape.layout.N)
        L, D = self.spec.num_layers, self.spec.directions
        dy = np.zeros((T, N, self.spec.y_size)) if dy is None else at.time_major(dy.astype(FLOAT64))
        dstate = self._fresh_state(parts, N)
        params = {name: np.zeros(shape) for name, shape in self.spec.parameter_shapes().items()}
        for layer in reversed(range(L)):
            dx = 0.0
            for d, part_dy in enumerate(np.split(dy, D, axis=-1)):
                k = layer * D + d
                suffix = self.spec.suffixes()[k]
                _, step = steps_of(self.spec, d)
                sums = self._weights(suffix, params)
                pieces, factors = self._pieces(k, N, tape.call_key, tape.training)
                zones = self._zones(k, T, N, tape.call_key)
                part_dx = np.zeros((T, N, self.spec.layer_input_size(layer)))
                for rows, w, factor, record in zip(*pieces, factors, tape.records[k], strict=True):
                    dw = self._weights(suffix, {name: np.zeros_like(p) for name, p in params.items()})
                    slot = tuple(part[k, rows] for part in dstate)
                    shape = part_dx[:, rows].shape
                    own = [zone.of(rows) for zone in zones]
                    part_dx[:, rows] = run_backward(step, w, dw, record, shape, part_dy[:, rows], slot, own)
                    if self.spec.is_recurrent:
                        dw.weight_hh *= factor
                    for name, total in vars(sums).items():
                        if total is not None:
                            total += getattr(dw, name)
                dx = dx + part_dx
            dy = dx if layer == 0 else dx * self._mask(tape.call_key, layer - 1, dx.shape)
        dx = self._from_time_major(dy, at) if input_grad else None
        return Grads(dx, at.as_state(dstate), params)

    def stream(self, batch_size: int = 1) -> Stream:
        """A `Stream` of `batch_size` rows that starts from zero state."""
        return Stream(self, batch_size)

    # Parts of a call

    def _run(self, call, call_key, training=None):
        """All layers and directions; gives time-major y, the final state and one record list each."""
        T, N, D = call.T, call.N, self.spec.directions
        lengths = np.full(N, T) if call.lengths is None else call.lengths
        state = self._fresh_state(call.state, N)
        records = []
        with spec.claiming("x", call.x.shape):
            y = call.time_major(call.x.astype(FLOAT64))
        for layer in range(self.spec.num_layers):
            if layer > 0:
                y = y * self._mask(call_key, layer - 1, y.shape)
            outputs = []
            for d in range(D):
                k = layer * D + d
                step, _ = steps_of(self.spec, d)
                pieces, _ = self._pieces(k, N, call_key, training)
                zones = self._zones(k, T, N, call_key)
                output, record = np.zeros((T, N, self.spec.output_size)), []
                for rows, w in zip(*pieces, strict=True):
                    slot = tuple(part[k, rows] for part in state)
                    own = [zone.of(rows) for zone in zones]
                    output[:, rows], saved = run_forward(
                        step, w, y[:, rows], slot, lengths[rows], d == 1, own
                    )
                    record.append(saved)
                outputs.append(output)
                records.append(record)
            y = np.concatenate(outputs, axis=-1)
        return y, state, records

    def _pieces(self, k, N, call_key, training):
        """Rows of the batch that share weights, as slices, with those weights, and factors of their weight_hh."""
        recurrent, weight = (training.recurrent_dropout, training.weight_dropout) if training else (0.0, 0.0)
        w = self._weights(self.spec.suffixes()[k], self._parameters)
        factor = self._factors(call_key, masks.WEIGHT + k, np.shape(w.weight_hh), weight)
        if weight:
            w.weight_hh = w.weight_hh * factor
        self._store(w)
        if not recurrent:
            return ([slice(0, N)], [w]), [factor]
        columns = self._factors(call_key, masks.RECURRENT + k, (N, w.weight_hh.shape[1]), recurrent)
        factors = [factor * row for row in columns]
        own = [Weights(**{**vars(w), "weight_hh": dropped(w.weight_hh, row)}) for row in columns]
        return ([slice(n, n + 1) for n in range(N)], own), factors

    def _store(self, w):
        """Matrices as the spec's store holds them; those of integers code what they are multiplied with."""
        store = self.spec.store
        for row in self.spec.kinds if store else ():
            value = getattr(w, row.name)
            held = stores.rounded(store, row.name, value).astype(FLOAT64)
            if value.ndim == 2 and stores.is_coded(store, row.name, value.shape[1]):
                held = coded(store, held, least_range(self.spec, row.name))
            setattr(w, row.name, held)

    def _factors(self, call_key, number, shape, p):
        """What is multiplied with an array of this shape; 1 without dropout."""
        if not p:
            return np.ones(shape)
        return masks.keep_mask(call_key, number, shape, p) * float(masks.scale(p, self.spec.dtype))

    def _zones(self, k, T, N, call_key):
        """Zoneout of the parts of the state in layer and direction k: with a key by masks, else the expectation.

        That is `keep * old + take * new`, with keep and take rounded to the dtype, and then each product and the sum.
        """
        zones, number = [], np.dtype(self.spec.dtype).type
        streams = (masks.ZONEOUT, masks.ZONEOUT_C)
        for part, stream, shape in zip(
            self.spec.table.state, streams, self.spec.state_shapes(N), strict=False
        ):
            p = getattr(self.spec, part.zoneout)
            if call_key is None or not p:
                zones.append(Zone(float(number(p)), float(number(1.0 - p))))
            else:
                take = masks.keep_mask(call_key, stream + k, (T, N, shape[2]), p)
                zones.append(Zone(1.0 - take, 1.0 * take))
        return zones

    def _mask(self, call_key, layer, shape):
        """What the output of `layer` is multiplied by; 1 without dropout."""
        return 1.0 if call_key is None else self._factors(call_key, layer, shape, self.spec.dropout)

    def _fresh_state(self, parts, N):
        """New float64 arrays (L*D, N, features) from checked parts; None is zeros."""
        return tuple(
            np.zeros(shape) if part is None else part.astype(FLOAT64)
            for part, shape in zip(parts, self.spec.state_shapes(N), strict=True)
        )

    @staticmethod
    def _from_time_major(array, at):
        """Back to the caller's layout."""
        if not at.batched:
            return array[:, 0]
        return array.swapaxes(0, 1) if at.spec.batch_first else array


class RNN(RNNArguments, Layer):
    """Basic RNN; arguments as `rnncore.RNN`."""


class LSTM(LSTMArguments, Layer):
    """LSTM with optional projection of the output; arguments as `rnncore.LSTM`."""


class GRU(GRUArguments, Layer):
    """GRU, resetting after (PyTorch's) or before the recurrent product; arguments as `rnncore.GRU`."""


class Stream:
    """One or more running sequences that keep their state between calls; no dropout.

    Parameters
    ----------
    layer : Layer
        Not bidirectional: the reverse direction would need the end first.  Its parameters are read anew
        in each call.
    batch_size : int
        N.

    Raises
    ------
    UnsupportedError, ArgumentError
    """

    def __init__(self, layer: Layer, batch_size: int = 1) -> None:
        if layer.spec.bidirectional:
            raise UnsupportedError("bidirectional", "False for a stream", True, "it needs the end first")
        self._layer = layer
        self._N = spec.check_int("batch_size", batch_size, 1)
        self.reset()

    def reset(self) -> None:
        """Set the state to zero."""
        shapes = self._layer.spec.state_shapes(self._N)
        with spec.claiming("batch_size", shapes[0]):
            self._parts = tuple(np.zeros(shape) for shape in shapes)

    @property
    def state(self) -> Any:
        """A copy of the state, as `layer(x)` returns it; may be assigned."""
        return spec.as_state(tuple(part.copy() for part in self._parts))

    @state.setter
    def state(self, value: StateLike) -> None:
        layer = self._layer
        parts = spec.check_state(layer.spec, value, self._N, True, dtypes=layer._result_dtypes)
        self._parts = layer._fresh_state(parts, self._N)

    def step(self, x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        """One step: x (N, I) gives y (N, H or P); with batch_size 1 also (I,) gives (H or P,)."""
        layer = self._layer
        x, batched = spec.check_step(layer.spec, x, self._N)
        if out is not None:
            shape = (self._N, layer.spec.output_size)[0 if batched else 1 :]
            spec.check_out(out, shape, layer.spec.dtype, (x,))
        x = x.reshape(self._N, layer.spec.input_size)
        x = x[:, np.newaxis] if layer.spec.batch_first else x[np.newaxis]
        y = self._advance(spec.Call(layer.spec, x))
        y = y[0] if batched else y[0, 0]
        if out is None:
            return y
        out[...] = y
        return out

    def run(self, chunk: ArrayLike) -> np.ndarray:
        """Many steps: a chunk in the layer's layout, as `layer(chunk)` takes it, gives its y."""
        layer = self._layer
        call = spec.Call(layer.spec, chunk)
        spec.check_batch_size(layer.spec, call.x, call.N, self._N)
        return layer._from_time_major(self._advance(call), call)

    def _advance(self, call):
        """Time-major y of a call that goes on from the state."""
        call.state = self._parts
        y, self._parts, _ = self._layer._run(call, None)
        return y


class MinGRU(MinGRUArguments, Layer):
    """minGRU; arguments as `rnncore.MinGRU`."""


class MinLSTM(MinLSTMArguments, Layer):
    """minLSTM; arguments as `rnncore.MinLSTM`."""
