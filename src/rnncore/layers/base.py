# SPDX-License-Identifier: MIT
"""What the compiled layers and their NumPy twins have in common: constructors, parameters, tapes, checks.

A layer's parameters lie in one private array. Everyone else sees read-only views, and new values are copied in
through `load_state_dict` or `update_parameters`, which count a version: packed weights and tapes of an older version
are never used.
"""

import contextlib
import dataclasses
import math

import numpy as np

from .. import spec
from ..errors import ArgumentError
from . import initializers
from .tape import TapeBase, claimed


@dataclasses.dataclass
class Grads:
    """Gradients: `x` like the input, `state` like the state, `params` by name."""

    x: np.ndarray
    state: object
    params: dict


class LayerTape(TapeBase):
    """What a layer's training call leaves for its backward pass; used once.

    Attributes
    ----------
    call_key : int or None
        Key of the dropout masks; None if the call drew none.
    """

    def __init__(self, owner, size, lengths, call_key):
        super().__init__(owner, owner.version)
        self.size = size  # (T, N, batched)
        self.lengths = lengths
        self.call_key = call_key


def flat_views(shapes, flat):
    """Views of consecutive pieces of a 1-D array, one per name and shape."""
    views, start = {}, 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        views[name] = flat[start : start + size].reshape(shape)
        start += size
    return views


class LayerBase:
    """Parameters and checks of a layer; see `RNN`, `LSTM`, `GRU` for the arguments.

    A subclass has `version`, an int, and `_changed()`, which raises it.
    """

    module = "rnncore"

    def __init__(self, layer_spec, seed):
        self.spec = layer_spec
        parameter_rng, self._dropout_rng = initializers.seed_streams(seed)
        drawn = initializers.uniform(layer_spec, parameter_rng)
        self._flat = np.concatenate([array.ravel() for array in drawn.values()])
        self._set_views()
        # Dtypes that states and gradients may have: the twin gives float64 whatever it takes.
        self._result_dtypes = (layer_spec.dtype,)

    def _set_views(self):
        shapes = self.spec.parameter_shapes()
        self._parameters = flat_views(shapes, self._flat)
        # A view of a read-only buffer: unlike a flag, it cannot be switched back.
        self._read_only = flat_views(shapes, np.asarray(memoryview(self._flat).toreadonly()))

    def __repr__(self):
        return f"{self.module}.{type(self).__name__}({self.spec.arguments()})"

    # Parameters

    def parameters(self):
        """The parameters.

        Returns
        -------
        dict of str to numpy.ndarray
            PyTorch's names and shapes in PyTorch's order; read-only views that follow later changes.
        """
        return dict(self._read_only)

    def state_dict(self):
        """Copies of the parameters, by PyTorch's names."""
        return {name: array.copy() for name, array in self._parameters.items()}

    def load_state_dict(self, values):
        """Copy in all parameters; nothing changes if one of them is wrong.

        Parameters
        ----------
        values : mapping of str to array of the layer's dtype
            Exactly the names and shapes of `parameters()`.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
        """
        self._assign(spec.check_parameters(self.spec, values))

    def update_parameters(self, values):
        """Copy in some parameters; otherwise like `load_state_dict`."""
        self._assign(spec.check_parameters(self.spec, values, partial=True))

    def save(self, path):
        """Write the architecture and the parameters to a safetensors file; `rnncore.load` reads it.

        Parameters
        ----------
        path : path-like
            Holds the old file or the whole new one, whenever the process dies.

        Raises
        ------
        OSError
        """
        from ..formats import native

        native.save_layer(self, path)

    def _assign(self, checked):
        # Values that are views of the parameters themselves are read before any of them is written.
        apart = {k: v.copy() if np.may_share_memory(v, self._flat) else v for k, v in checked.items()}
        for name, value in apart.items():
            self._parameters[name][...] = value
        self._changed()

    @contextlib.contextmanager
    def writing(self):
        """Context manager for optimisers: the parameters as arrays that may be written; they count as changed."""
        yield self._parameters
        self._changed()

    # Checks of calls

    def _check_call(self, x, state, lengths, num_threads):
        x, T, N, batched = spec.check_x(self.spec, x)
        parts = spec.check_state(self.spec, state, N, batched, dtypes=self._result_dtypes)
        lengths = spec.check_lengths(lengths, T, N)
        spec.check_num_threads(num_threads)
        return x, parts, lengths, (T, N, batched)

    def _check_backward(self, tape, dy, dstate, kind):
        """The checked (dy, dstate parts) of a backward call; the tape counts as used from here on."""
        with claimed(tape, kind, self, self.version):
            T, N, batched = tape.size
            dy = spec.check_dy(self.spec, dy, T, N, batched, self._result_dtypes)
            parts = spec.check_state(
                self.spec, dstate, N, batched, "dstate", self._result_dtypes, partial=True
            )
            if dy is None and all(part is None for part in parts):
                raise ArgumentError("dy", "dy or dstate", "neither")
        return dy, parts

    def _pack_state(self, state, batched):
        """The state as the caller sees it: h or (h, c), without the N axis if unbatched."""
        parts = state if batched else tuple(part[:, 0] for part in state)
        return parts if self.spec.cell == "lstm" else parts[0]

    def _time_major(self, array, batched):
        """A (T, N, features) view of x, y or a gradient of them."""
        if not batched:
            return array[:, np.newaxis]
        return array.swapaxes(0, 1) if self.spec.batch_first else array


_COMMON = """
    Parameters
    ----------
    input_size, hidden_size, num_layers : int
        I, H, L; each at least 1.
    bias : bool
        Whether there are bias_ih and bias_hh.
    batch_first : bool
        Whether x and y are (N, T, features) instead of (T, N, features); states never are.
    dropout : float
        Probability, 0 <= p < 1, of dropping an output of a layer before the next layer reads it, in `forward` only.
    bidirectional : bool
        Whether a second direction reads each row from its own end; D is 2 then.
    dtype : "float32" or "float64"
        Of parameters, inputs and outputs; nothing is cast silently.
    seed : int, optional
        For the initial parameters, uniform in +-1/sqrt(H) (PyTorch's), and the dropout masks.
    zoneout : float
        Probability, 0 <= p < 1, that a unit of h keeps its value of the step before (Krueger et al. 2017): in `forward`
        by a new mask at each step, else by the expectation p * h_(t-1) + (1 - p) * h_t.
    clip : float, optional
        Bounds the pre-activation of every gate to -clip ... clip.
    activations : mapping of place to function, or a pair of them for two directions, optional
        Places are {places}; those left out stay as they are. A function is a name or (name, alpha, beta), ONNX's:
        sigmoid, tanh, relu, affine, leaky_relu, thresholded_relu, scaled_tanh, hard_sigmoid, elu, softsign, softplus.
    {extra}
    Raises
    ------
    ArgumentError, DTypeError, SizeError, MemoryExhaustedError
"""


class RNNArguments:
    __doc__ = "Basic RNN, h' = tanh or relu(W_ih x + b_ih + W_hh h + b_hh)." + _COMMON.format(
        places="h alone", extra='nonlinearity : "tanh" or "relu"\n'
    )

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        *,
        nonlinearity="tanh",
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        dtype="float32",
        seed=None,
        zoneout=0.0,
        clip=None,
        activations=None,
    ):
        common = (bias, batch_first, dropout, bidirectional, dtype)
        options = dict(zoneout=zoneout, clip=clip, activations=activations)
        super().__init__(
            spec.Spec("rnn", input_size, hidden_size, num_layers, nonlinearity, *common, **options), seed
        )


class LSTMArguments:
    __doc__ = "LSTM with gates i f g o and optional projection of its output." + _COMMON.format(
        places="i f g o, and c on its way to h",
        extra="""proj_size : int
        P < H: h = W_hr (o * tanh(c)) has P features; 0: no projection.
    zoneout_c : float
        The same of c; what o and tanh(c) see is c before it.
    peepholes : bool
        Whether i and f see c before the step and o sees it after, by weight_peephole (3*H,), blocks i f o.
    coupled : bool
        Whether f = 1 - i: there is no gate f then, and matrices have the row blocks i g o, weight_peephole i o.
""",
    )

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        *,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        dtype="float32",
        seed=None,
        zoneout=0.0,
        zoneout_c=0.0,
        proj_size=0,
        peepholes=False,
        coupled=False,
        clip=None,
        activations=None,
    ):
        common = ("tanh", bias, batch_first, dropout, bidirectional, dtype, proj_size)
        options = dict(peepholes=peepholes, coupled=coupled, clip=clip, activations=activations)
        options.update(zoneout=zoneout, zoneout_c=zoneout_c)
        super().__init__(spec.Spec("lstm", input_size, hidden_size, num_layers, *common, **options), seed)


class GRUArguments:
    __doc__ = "GRU with gates r z n, h' = (1 - z) * n + z * h." + _COMMON.format(
        places="r z n",
        extra="reset_after : bool\n        Whether r multiplies W_hn h + b_hn (PyTorch) or h before the product.\n",
    )

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        *,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        dtype="float32",
        seed=None,
        zoneout=0.0,
        reset_after=True,
        clip=None,
        activations=None,
    ):
        common = ("tanh", bias, batch_first, dropout, bidirectional, dtype, 0, reset_after)
        options = dict(zoneout=zoneout, clip=clip, activations=activations)
        super().__init__(spec.Spec("gru", input_size, hidden_size, num_layers, *common, **options), seed)
