# SPDX-License-Identifier: MIT
"""Cells with the arguments, parameters and calls of torch.nn.RNNCell, LSTMCell and GRUCell."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .. import engine
from ..errors import ArgumentError, ShapeError, shown
from .calls import Kept, call, pair_of
from .function import DTYPES, Plan, check_tensor

_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class Cell(Kept, nn.RNNCellBase):
    """A step of one layer: torch.nn's cells, whose parameters are a layer's without the suffix."""

    cell = ""

    def _begin(self) -> None:
        options = {"nonlinearity": "relu"} if getattr(self, "nonlinearity", "tanh") == "relu" else {}
        self.__dict__["_plans"] = {
            dtype: Plan(
                engine.Spec(
                    self.cell, self.input_size, self.hidden_size, bias=self.bias, dtype=kind, **options
                )
            )
            for dtype, kind in DTYPES.items()
        }
        self._forget()

    def _step(self, x: torch.Tensor, hx: Any) -> tuple[torch.Tensor, ...]:
        check_tensor("input", x)
        if x.dim() not in (1, 2) or x.shape[-1] != self.input_size:
            raise ShapeError("input", f"shape (N, {self.input_size}) or ({self.input_size},)", tuple(x.shape))
        weights = self._weights(_NAMES if self.bias else _NAMES[:2])
        plan = self._plans.get(weights[0].dtype)
        if plan is None:
            check_tensor("weight_ih", weights[0])
        h, c = pair_of(plan.pair, hx)
        state = None if h is None else h.unsqueeze(0), None if c is None else c.unsqueeze(0)
        _, *final = call(plan, self._pack, self.training, x.unsqueeze(0), state, None, weights)
        return tuple(part.squeeze(0) for part in final)


class RNNCell(Cell):
    """torch.nn.RNNCell on rnncore's core."""

    cell = "rnn"

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError("nonlinearity", "'tanh' or 'relu'", shown(nonlinearity))
        super().__init__(input_size, hidden_size, bias, num_chunks=1, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity
        self._begin()

    def forward(self, input: torch.Tensor, hx: Any = None) -> torch.Tensor:
        """x (N, I) or (I,), h (N, H) or (H,): the next h."""
        return self._step(input, hx)[0]


class GRUCell(Cell):
    """torch.nn.GRUCell on rnncore's core."""

    cell = "gru"

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=3, device=device, dtype=dtype)
        self._begin()

    def forward(self, input: torch.Tensor, hx: Any = None) -> torch.Tensor:
        """x (N, I) or (I,), h (N, H) or (H,): the next h."""
        return self._step(input, hx)[0]


class LSTMCell(Cell):
    """torch.nn.LSTMCell on rnncore's core."""

    cell = "lstm"

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=4, device=device, dtype=dtype)
        self._begin()

    def forward(self, input: torch.Tensor, hx: Any = None) -> Any:
        """x (N, I) or (I,), a pair (h, c) of (N, H) or (H,): the next pair."""
        return self._step(input, hx)
