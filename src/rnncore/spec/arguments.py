# SPDX-License-Identifier: MIT
"""The constructors of the layers and of their twins: what a user writes becomes a `Spec`."""

from .architecture import Spec

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
            Spec("rnn", input_size, hidden_size, num_layers, nonlinearity, *common, **options), seed
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
    layer_norm : bool
        Whether W_ih x, W_hh h and c on its way to h are normalised over all of their units (Ba, Kiros and Hinton 2016),
        with learnt gains gain_ih (G*H,), gain_hh (G*H,), gain_c (H,), the biases as the norms' biases, and bias_c (H,).
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
        layer_norm=False,
        clip=None,
        activations=None,
    ):
        common = ("tanh", bias, batch_first, dropout, bidirectional, dtype, proj_size)
        options = dict(
            peepholes=peepholes, coupled=coupled, clip=clip, activations=activations, layer_norm=layer_norm
        )
        options.update(zoneout=zoneout, zoneout_c=zoneout_c)
        super().__init__(Spec("lstm", input_size, hidden_size, num_layers, *common, **options), seed)


class GRUArguments:
    __doc__ = "GRU with gates r z n, h' = (1 - z) * n + z * h." + _COMMON.format(
        places="r z n",
        extra="""reset_after : bool
        Whether r multiplies W_hn h + b_hn (PyTorch) or h before the product.
    layer_norm : bool
        Whether W_ih x and W_hh h are normalised over all of their units (Ba, Kiros and Hinton 2016), with learnt gains
        gain_ih (G*H,) and gain_hh (G*H,) and the biases as the norms' biases; with reset_after only.
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
        reset_after=True,
        layer_norm=False,
        clip=None,
        activations=None,
    ):
        common = ("tanh", bias, batch_first, dropout, bidirectional, dtype, 0, reset_after)
        options = dict(zoneout=zoneout, clip=clip, activations=activations, layer_norm=layer_norm)
        super().__init__(Spec("gru", input_size, hidden_size, num_layers, *common, **options), seed)
