# SPDX-License-Identifier: MIT
"""Layers with the arguments, parameters and calls of torch.nn.RNN, LSTM and GRU, and such of minGRU and minLSTM."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from .. import engine
from ..errors import ArgumentError, DTypeError, UnsupportedError, shown
from .calls import Kept, call, pair_of
from .function import DTYPES, Plan, check_tensor


class Recurrent(Kept, nn.RNNBase):
    """What the layers share. `options` are rnncore's own, as `rnncore.LSTM` takes them."""

    cell = ""
    own: tuple[str, ...] = ()  # options of the cell in `mode` and torch's arguments

    def _begin(self, options: dict[str, Any] | None = None) -> None:
        """After RNNBase has made its parameters: those that the options ask for, in rnncore's order."""
        self.options: dict[str, Any] = options or {}
        self._describe()
        if options or not self._spec.is_recurrent:
            self._remake_parameters()

    @property
    def _spec(self) -> engine.Spec:
        return self._plans[torch.float32, True].spec

    def _describe(self) -> None:
        """Plans of all calls that there may be; made here because graphs cannot make them."""
        self.__dict__["_plans"] = {
            (dtype, training): self._plan(dtype, training) for dtype in DTYPES for training in (False, True)
        }
        self._forget()

    def _plan(self, dtype: torch.dtype, training: bool) -> Plan:
        options = dict(self.options)
        recurrent_dropout = options.pop("recurrent_dropout", 0.0)
        if self.mode == "RNN_RELU":
            options["nonlinearity"] = "relu"
        spec = engine.Spec(
            self.cell, self.input_size, self.hidden_size, self.num_layers,
            bias=self.bias, batch_first=self.batch_first, bidirectional=self.bidirectional,
            proj_size=self.proj_size, dropout=self.dropout, dtype=DTYPES[dtype], **options,
        )  # fmt: skip
        return Plan(spec if training else dataclasses.replace(spec, dropout=0.0), recurrent_dropout, training)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in ("dropout", "batch_first") and "_plans" in self.__dict__:
            self._describe()

    def _remake_parameters(self) -> None:
        kind = {"device": self.weight_ih_l0.device, "dtype": self.weight_ih_l0.dtype}
        spec = self._spec
        for name in list(self._parameters):
            delattr(self, name)
        shapes = spec.parameter_shapes()
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, **kind)))
        self._flat_weights_names = list(shapes)
        self._all_weights = [[name for name in shapes if name.endswith(end)] for end in spec.suffixes()]
        self._init_flat_weights()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for name, parameter in self.named_parameters(recurse=False):
            if name.startswith("gain_"):
                nn.init.ones_(parameter)

    def flatten_parameters(self) -> None:
        """Nothing is kept flat; what is packed is forgotten, as after a change behind PyTorch's back (`.data`)."""
        self._forget()

    # What runs

    def _call(self, x: torch.Tensor, state: tuple[Any, Any], lengths: Any) -> tuple[torch.Tensor, ...]:
        weights, training = self._weights(self._flat_weights_names), self.training
        plan = self._plans.get((weights[0].dtype, training))
        if plan is None:
            check_tensor("weight_ih_l0", weights[0])
        return call(plan, self._pack, training, x, state, lengths, weights)

    def forward(self, input: Any, hx: Any = None, *, lengths: Any = None) -> Any:
        """Run.

        Parameters
        ----------
        input : Tensor (T, N, I), batch_first (N, T, I), unbatched (T, I), or PackedSequence
            float32 or float64, as the parameters; any strides.
        hx : Tensor or pair, optional
            As torch.nn's.
        lengths : ints (N,), optional
            Valid steps of each row, 0..T; outputs at padding are 0. Not beside a PackedSequence, which has its own.

        Returns
        -------
        As torch.nn's layer.

        Raises
        ------
        rnncore.errors.RnncoreError
            A shape, dtype, device or option that cannot be.

        Notes
        -----
        In train() dropout draws its masks from PyTorch's generator. Gradients are of first order.
        """
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise ArgumentError("lengths", "None beside a PackedSequence", "lengths")
            return self._packed_call(input, hx)
        state = pair_of(self.mode == "LSTM", hx)
        if lengths is not None:
            try:
                lengths = torch.as_tensor(lengths)
            except (TypeError, ValueError, RuntimeError) as error:
                raise DTypeError("lengths", "integers", shown(lengths)) from error
        y, *final = self._call(input, state, lengths)
        return y, (tuple(final) if len(final) > 1 else final[0])

    def _packed_call(self, packed: PackedSequence, hx: Any) -> Any:
        padded, lengths = pad_packed_sequence(packed._replace(sorted_indices=None, unsorted_indices=None))
        state = pair_of(self.mode == "LSTM", hx)
        if packed.sorted_indices is not None:
            state = tuple(
                part if part is None else part.index_select(1, packed.sorted_indices) for part in state
            )
        x = padded.transpose(0, 1) if self.batch_first else padded
        y, *final = self._call(x, state, lengths)
        y = pack_padded_sequence(y, lengths, batch_first=self.batch_first).data
        if packed.unsorted_indices is not None:
            final = [part.index_select(1, packed.unsorted_indices) for part in final]
        y = PackedSequence(y, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
        return y, (tuple(final) if len(final) > 1 else final[0])

    def extra_repr(self) -> str:
        options = self.__dict__.get("options", {})
        return ", ".join([super().extra_repr(), *(f"{name}={value!r}" for name, value in options.items())])


def _checked(kind: type, options: dict[str, Any]) -> dict[str, Any]:
    if "store" in options:
        hint = "rnncore's own layers have stores: load_state_dict, then quantize"
        raise UnsupportedError("store", "none, tensors as PyTorch has them", shown(options["store"]), hint)
    unknown = sorted(set(options) - set(kind.own))  # type: ignore[attr-defined]
    if unknown:
        raise ArgumentError(unknown[0], "one of " + ", ".join(kind.own), "an unknown option")  # type: ignore[attr-defined]
    return options


_ANY = ("zoneout", "clip", "activations", "recurrent_dropout")


class RNN(Recurrent):
    """torch.nn.RNN on rnncore's core; `options` are zoneout, clip, activations and recurrent_dropout of `rnncore.RNN`.

    Examples
    --------
    >>> import torch, rnncore.torch
    >>> y, h = rnncore.torch.RNN(3, 4)(torch.zeros(5, 2, 3))
    >>> y.shape
    torch.Size([5, 2, 4])
    """

    cell = "rnn"
    own: tuple[str, ...] = _ANY

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, device: Any = None,
        dtype: Any = None, **options: Any,
    ) -> None:  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError("nonlinearity", "'tanh' or 'relu'", shown(nonlinearity))
        self.nonlinearity = nonlinearity
        mode = "RNN_TANH" if nonlinearity == "tanh" else "RNN_RELU"
        super().__init__(
            mode, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            device=device, dtype=dtype,
        )  # fmt: skip
        self._begin(_checked(RNN, options))


class LSTM(Recurrent):
    """torch.nn.LSTM on rnncore's core; `options` are those of `rnncore.LSTM`, among them layer_norm and peepholes.

    Examples
    --------
    >>> import torch, rnncore.torch
    >>> layer = rnncore.torch.LSTM(3, 4, batch_first=True)
    >>> y, (h, c) = layer(torch.zeros(2, 5, 3), lengths=[5, 2])
    >>> bool((y[1, 2:] == 0).all())
    True
    """

    cell = "lstm"
    own: tuple[str, ...] = (*_ANY, "zoneout_c", "peepholes", "coupled", "layer_norm")

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None,
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size,
            device=device, dtype=dtype,
        )  # fmt: skip
        self._begin(_checked(LSTM, options))


class _StateOfH(Recurrent):
    """What GRU, minGRU and minLSTM share: calls, arguments and names of PyTorch's GRU, whose state is h alone."""

    own: tuple[str, ...] = _ANY

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            device=device, dtype=dtype,
        )  # fmt: skip
        self._begin(_checked(type(self), options))


class GRU(_StateOfH):
    """torch.nn.GRU on rnncore's core; `options` are those of `rnncore.GRU`, among them reset_after and layer_norm.

    Examples
    --------
    >>> import torch, rnncore.torch
    >>> y, h = rnncore.torch.GRU(3, 4, bidirectional=True)(torch.zeros(5, 2, 3))
    >>> y.shape, h.shape
    (torch.Size([5, 2, 8]), torch.Size([2, 2, 4]))
    """

    cell = "gru"
    own: tuple[str, ...] = (*_ANY, "reset_after", "layer_norm")


class MinGRU(_StateOfH):
    """minGRU with the calls of torch.nn.GRU; parameters and options are those of `rnncore.MinGRU`.

    Examples
    --------
    >>> import torch, rnncore.torch
    >>> layer = rnncore.torch.MinGRU(3, 4)
    >>> y, h = layer(torch.zeros(5, 2, 3))
    >>> y.shape, [name for name, _ in layer.named_parameters()]
    (torch.Size([5, 2, 4]), ['weight_ih_l0', 'bias_ih_l0'])
    """

    cell = "min_gru"


class MinLSTM(_StateOfH):
    """minLSTM with the calls of torch.nn.GRU, as its state is h alone; parameters and options as `rnncore.MinLSTM`.

    Examples
    --------
    >>> import torch, rnncore.torch
    >>> y, h = rnncore.torch.MinLSTM(3, 4, bidirectional=True)(torch.zeros(5, 2, 3))
    >>> y.shape, h.shape
    (torch.Size([5, 2, 8]), torch.Size([2, 2, 4]))
    """

    cell = "min_lstm"
