# SPDX-License-Identifier: MIT
"""The recurrent layers of a model taken over in place, and given back."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from ..errors import ArgumentError, RnncoreError, shown
from . import cells, layers
from .function import DTYPES

TAKEN: dict[type[nn.Module], Any] = {
    nn.RNN: layers.RNN,
    nn.LSTM: layers.LSTM,
    nn.GRU: layers.GRU,
    nn.RNNCell: cells.RNNCell,
    nn.LSTMCell: cells.LSTMCell,
    nn.GRUCell: cells.GRUCell,
}
GIVEN_BACK: dict[Any, type[nn.Module]] = {ours: theirs for theirs, ours in TAKEN.items()}


@dataclasses.dataclass(frozen=True)
class Report:
    """What `accelerate` did: `taken` and `left`, names of modules, the latter with the reason; prints itself."""

    taken: dict[str, str]
    left: dict[str, str]

    def __str__(self) -> str:
        lines = [f"taken: {name or 'the model itself'} ({kind})" for name, kind in self.taken.items()]
        lines += [f"left:  {name or 'the model itself'}: {reason}" for name, reason in self.left.items()]
        return "\n".join(lines) or "no recurrent layer"


def _reason_to_leave(module: nn.Module) -> str | None:
    """Why a recurrent module stays as it is; None: it is taken."""
    if type(module) not in TAKEN:
        return f"{type(module).__name__} is a subclass or parametrised: its own forward may differ"
    names = [*module._parameters]
    if any(name.endswith(("_g", "_v", "_orig")) for name in names):
        return "its weights are computed by a hook (weight or spectral norm)"
    for name, parameter in module.named_parameters(recurse=False):
        if parameter.device.type != "cpu":
            return f"{name} is on {parameter.device}"
        if parameter.dtype not in DTYPES:
            return f"{name} is {parameter.dtype}; float32 and float64 are computed"
    return "its forward was replaced" if "forward" in module.__dict__ else None


def accelerate(model: nn.Module) -> Report:
    """Let rnncore compute every RNN, LSTM, GRU and cell of a model, in place.

    Only the class of these modules changes: parameters, hooks, state dict, and what an optimiser refers to stay the
    same objects.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    Report
        What was taken, and what was left and why.

    Raises
    ------
    ArgumentError
        `model` is no module.

    Examples
    --------
    >>> import torch, rnncore.torch
    >>> model = torch.nn.ModuleDict({"rnn": torch.nn.GRU(3, 4), "short": torch.nn.LSTM(3, 4).half()})
    >>> print(rnncore.torch.accelerate(model))
    taken: rnn (GRU)
    left:  short: weight_ih_l0 is torch.float16; float32 and float64 are computed
    >>> rnncore.torch.restore(model)
    >>> type(model["rnn"]) is torch.nn.GRU
    True
    """
    _check_module(model)
    taken, left = {}, {}
    for name, module in model.named_modules():
        if isinstance(module, (layers.Recurrent, cells.Cell)) or not isinstance(
            module, (nn.RNNBase, nn.RNNCellBase)
        ):
            continue
        reason = _reason_to_leave(module)
        if reason is not None:
            left[name] = reason
            continue
        theirs = type(module)
        module.__class__ = TAKEN[theirs]
        try:
            module._begin()
        except RnncoreError as error:  # what torch.nn computes and the core does not, such as dropout=1
            _give_back(module, theirs)
            left[name] = str(error)
        else:
            taken[name] = theirs.__name__
    return Report(taken, left)


def restore(model: torch.nn.Module) -> None:
    """Give every module that `accelerate` took its own class again; layers made as rnncore's with options stay.

    Raises
    ------
    ArgumentError
        `model` is no module.
    """
    _check_module(model)
    for module in model.modules():
        theirs = GIVEN_BACK.get(type(module))
        if theirs is not None and not getattr(module, "options", None):
            _give_back(module, theirs)


def _check_module(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise ArgumentError("model", "a torch.nn.Module", shown(model))


def _give_back(module: nn.Module, theirs: type[nn.Module]) -> None:
    for name in ("options", "_packed", "_plans"):
        module.__dict__.pop(name, None)
    module.__class__ = theirs
