# SPDX-License-Identifier: MIT
"""The constructors of the layers and of their twins: what a user writes becomes a `Spec`."""

from __future__ import annotations

import typing

import numpy as np

from .architecture import Spec

if typing.TYPE_CHECKING:
    from .types import DTypeLike, Functions, Seed


class LayerArguments:
    """What every layer was made with, to be read only."""

    spec: Spec

    def _start(self, spec: Spec, seed: Seed) -> None:
        """What the constructors end with."""
        raise NotImplementedError

    @property
    def input_size(self) -> int:
        """I."""
        return self.spec.input_size

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.spec.hidden_size

    @property
    def num_layers(self) -> int:
        """L."""
        return self.spec.num_layers

    @property
    def bias(self) -> bool:
        """Whether there are bias_ih and bias_hh."""
        return self.spec.bias

    @property
    def batch_first(self) -> bool:
        """Whether x and y are (N, T, features)."""
        return self.spec.batch_first

    @property
    def dropout(self) -> float:
        """Probability of dropping an output of a layer before the next layer reads it."""
        return self.spec.dropout

    @property
    def bidirectional(self) -> bool:
        """Whether D is 2."""
        return self.spec.bidirectional

    @property
    def dtype(self) -> np.dtype[typing.Any]:
        """Of parameters, inputs and outputs."""
        return self.spec.dtype

    @property
    def proj_size(self) -> int:
        """P of an LSTM with projection, else 0."""
        return self.spec.proj_size

    @property
    def zoneout(self) -> float:
        """Probability that a unit of h keeps its value of the step before."""
        return self.spec.zoneout

    @property
    def clip(self) -> float | None:
        """Bound of the pre-activations."""
        return self.spec.clip

    @property
    def activations(self) -> tuple[typing.Any, ...]:
        """Functions of the places that are not the cell's own; see `Spec.functions`."""
        return self.spec.activations

    @property
    def store(self) -> str | None:
        """How packed matrices hold their values; None: in the dtype."""
        return self.spec.store


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
        sigmoid, tanh, relu, affine, leaky_relu, thresholded_relu, scaled_tanh, hard_sigmoid, elu, softsign, softplus;
        and log_space, of minGRUs and minLSTMs in log-space form.
    store : "int8", "int8x16", "bfloat16" or "float16", optional
        How a float32 layer's packed matrices hold their values: rounded, at a quarter or half of the bytes. Parameters
        stay float32, and gradients are those at the rounded values, for them (straight through). See `quantize`.
    {extra}
    Raises
    ------
    ArgumentError, DTypeError, SizeError, MemoryExhaustedError

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> layer = rnncore.{example}
    >>> y, state = layer(np.ones((5, 2, 3), np.float32))
    >>> y.shape, layer.hidden_size
    {result}
"""


class RNNArguments(LayerArguments):
    __doc__ = "Basic RNN, h' = tanh or relu(W_ih x + b_ih + W_hh h + b_hh)." + _COMMON.format(
        places="h alone",
        extra='nonlinearity : "tanh" or "relu"\n',
        example='RNN(3, 4, nonlinearity="relu", seed=0)',
        result="((5, 2, 4), 4)",
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: DTypeLike = "float32",
        seed: Seed = None,
        zoneout: float = 0.0,
        clip: float | None = None,
        activations: Functions = None,
        store: str | None = None,
    ) -> None:
        spec = Spec(
            "rnn", input_size, hidden_size, num_layers, bias=bias, batch_first=batch_first, dropout=dropout,
            bidirectional=bidirectional, dtype=dtype, nonlinearity=nonlinearity,
            zoneout=zoneout, clip=clip, activations=activations, store=store,
        )  # fmt: skip
        self._start(spec, seed)

    @property
    def nonlinearity(self) -> str:
        """ "tanh" or "relu"."""
        return self.spec.nonlinearity


class LSTMArguments(LayerArguments):
    __doc__ = "LSTM with gates i f g o and optional projection of its output." + _COMMON.format(
        places="i f g o, and c on its way to h",
        example="LSTM(3, 4, proj_size=2, seed=0)",
        result="((5, 2, 2), 4)",
        extra="""proj_size : int
        P < H: h = W_hr (o * tanh(c)) has P features; 0: no projection.
    zoneout_c : float
        The same of c; what o and tanh(c) see is c before it.
    peepholes : bool
        Whether i and f see c before the step and o sees it after, by weight_peephole (3*H,), blocks i f o.
    coupled : bool
        Whether f = 1 - i: there is no gate f then, and matrices have the row blocks i g o, weight_peephole i o.
    layer_norm : bool
        Whether W_ih x, W_hh h and c on its way to h are normalised over all of their units (Ba, Kiros and Hinton 2016),
        with learnt gains gain_ih (G*H,), gain_hh (G*H,), gain_c (H,), the biases as the norms' biases, and bias_c (H,).
""",
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: DTypeLike = "float32",
        seed: Seed = None,
        zoneout: float = 0.0,
        zoneout_c: float = 0.0,
        proj_size: int = 0,
        peepholes: bool = False,
        coupled: bool = False,
        layer_norm: bool = False,
        clip: float | None = None,
        activations: Functions = None,
        store: str | None = None,
    ) -> None:
        spec = Spec(
            "lstm", input_size, hidden_size, num_layers, bias=bias, batch_first=batch_first, dropout=dropout,
            bidirectional=bidirectional, dtype=dtype, proj_size=proj_size, peepholes=peepholes, coupled=coupled,
            layer_norm=layer_norm,
            zoneout=zoneout, zoneout_c=zoneout_c, clip=clip, activations=activations, store=store,
        )  # fmt: skip
        self._start(spec, seed)

    @property
    def zoneout_c(self) -> float:
        """Probability that a unit of c keeps its value of the step before."""
        return self.spec.zoneout_c

    @property
    def peepholes(self) -> bool:
        """Whether i, f and o see c."""
        return self.spec.peepholes

    @property
    def coupled(self) -> bool:
        """Whether f = 1 - i."""
        return self.spec.coupled

    @property
    def layer_norm(self) -> bool:
        """Whether what the products give is normalised."""
        return self.spec.layer_norm


class GRUArguments(LayerArguments):
    __doc__ = "GRU with gates r z n, h' = (1 - z) * n + z * h." + _COMMON.format(
        places="r z n",
        example="GRU(3, 4, bidirectional=True, seed=0)",
        result="((5, 2, 8), 4)",
        extra="""reset_after : bool
        Whether r multiplies W_hn h + b_hn (PyTorch) or h before the product.
    layer_norm : bool
        Whether W_ih x and W_hh h are normalised over all of their units (Ba, Kiros and Hinton 2016), with learnt gains
        gain_ih (G*H,) and gain_hh (G*H,) and the biases as the norms' biases; with reset_after only.
""",
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: DTypeLike = "float32",
        seed: Seed = None,
        zoneout: float = 0.0,
        reset_after: bool = True,
        layer_norm: bool = False,
        clip: float | None = None,
        activations: Functions = None,
        store: str | None = None,
    ) -> None:
        spec = Spec(
            "gru", input_size, hidden_size, num_layers, bias=bias, batch_first=batch_first, dropout=dropout,
            bidirectional=bidirectional, dtype=dtype, reset_after=reset_after, layer_norm=layer_norm,
            zoneout=zoneout, clip=clip, activations=activations, store=store,
        )  # fmt: skip
        self._start(spec, seed)

    @property
    def reset_after(self) -> bool:
        """Whether r acts after the recurrent product."""
        return self.spec.reset_after

    @property
    def layer_norm(self) -> bool:
        """Whether what the products give is normalised."""
        return self.spec.layer_norm


class MinGRUArguments(LayerArguments):
    __doc__ = """minGRU with a gate z, h' = (1 - z) * h + z * n.

    Feng et al. 2024, "Were RNNs All We Needed?": gates see the input alone, so there is no weight_hh, and a step is a
    mean of h before it and of what is new, unit by unit. Parameters are weight_ih and bias_ih. Recurrent and weight
    dropout, which are of recurrent products, find nothing to drop.""" + _COMMON.format(
        places="z n",
        example="MinGRU(3, 4, num_layers=2, seed=0)",
        result="((5, 2, 4), 4)",
        extra="",
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: DTypeLike = "float32",
        seed: Seed = None,
        zoneout: float = 0.0,
        clip: float | None = None,
        activations: Functions = None,
        store: str | None = None,
    ) -> None:
        spec = Spec(
            "min_gru", input_size, hidden_size, num_layers, bias=bias, batch_first=batch_first, dropout=dropout,
            bidirectional=bidirectional, dtype=dtype,
            zoneout=zoneout, clip=clip, activations=activations, store=store,
        )  # fmt: skip
        self._start(spec, seed)


class MinLSTMArguments(LayerArguments):
    __doc__ = """minLSTM with gates i f, h' = (f * h + i * g) / (f + i).

    Feng et al. 2024, "Were RNNs All We Needed?": gates see the input alone, so there is no weight_hh, and a step is a
    mean of h before it and of what is new, unit by unit. Parameters are weight_ih and bias_ih. Recurrent and weight
    dropout, which are of recurrent products, find nothing to drop.""" + _COMMON.format(
        places="i f g",
        example="MinLSTM(3, 4, bidirectional=True, seed=0)",
        result="((5, 2, 8), 4)",
        extra="",
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: DTypeLike = "float32",
        seed: Seed = None,
        zoneout: float = 0.0,
        clip: float | None = None,
        activations: Functions = None,
        store: str | None = None,
    ) -> None:
        spec = Spec(
            "min_lstm", input_size, hidden_size, num_layers, bias=bias, batch_first=batch_first, dropout=dropout,
            bidirectional=bidirectional, dtype=dtype,
            zoneout=zoneout, clip=clip, activations=activations, store=store,
        )  # fmt: skip
        self._start(spec, seed)
