# SPDX-License-Identifier: MIT
"""State dicts of PyTorch: found in checkpoints, and with weight normalization computed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import FormatError, UnsupportedError
from ..spec import read_array
from .files import Path

NAME = re.compile(r"(.*?)(weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)(?:_l(\d{1,6})(_reverse)?)?")
# Old and new names of a weight's length g and direction v: the weight is g v / |v|, row by row.
_NORMED = (
    (re.compile(r"(.*)_g"), "{}_g", "{}_v"),
    (
        re.compile(r"(.*?)parametrizations\.([^.]+)\.original0"),
        "{}parametrizations.{}.original0",
        "{}parametrizations.{}.original1",
    ),
)
MAX_DEPTH, MAX_NAME, MAX_DICTS = 8, 1000, 10_000


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor or an array."""
    return hasattr(value, "untyped_storage") or isinstance(value, np.ndarray)


def _dicts(
    value: Any, left: Iterator[int], path: str = "", depth: int = 0
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Mappings that hold tensors by name, by their paths in a checkpoint; `left` ends after as many as it may have."""
    if not isinstance(value, Mapping) or depth > MAX_DEPTH:
        return
    if next(left, None) is None:
        raise FormatError("state_dict", f"a checkpoint of at most {MAX_DICTS} dicts", "more")
    for name in value:
        if isinstance(name, str) and len(name) > MAX_NAME:
            raise FormatError("state_dict", f"names of at most {MAX_NAME} characters", name)
    own = {name: inner for name, inner in value.items() if isinstance(name, str) and is_tensor(inner)}
    if own:
        yield path, own
    for name, inner in value.items():
        yield from _dicts(inner, left, f"{path}{name}.", depth + 1)


def find_state(path: Path, checkpoint: Any) -> dict[str, Any]:
    """The tensors of a checkpoint by name: of its state dict with recurrent layers if there is one.

    Several get their places in the checkpoint as prefixes.

    Raises
    ------
    FormatError
        It holds no tensors.
    """
    found = list(_dicts(checkpoint, iter(range(MAX_DICTS))))
    if not found:
        got = type(checkpoint).__name__
        if isinstance(checkpoint, Mapping):
            got = f"{got} of {', '.join(map(str, checkpoint))[:80] or 'nothing'}"
        raise FormatError(str(path), "a state dict, or a checkpoint that holds one", got)
    recurrent = [(place, own) for place, own in found if any(NAME.fullmatch(name) for name in plain(own))]
    if len(recurrent) == 1:
        return dict(recurrent[0][1])
    return {place + name: value for place, own in recurrent or found for name, value in own.items()}


def plain(state: Mapping[Any, Any]) -> dict[Any, Any]:
    """A state dict with weight normalization computed.

    Raises
    ------
    UnsupportedError
        Another parametrization.
    """
    state = dict(state)
    for name in list(state):
        for pattern, length, direction in _NORMED:
            match = pattern.fullmatch(name) if isinstance(name, str) else None
            if match is None or direction.format(*match.groups()) not in state:
                continue
            names = length.format(*match.groups()), direction.format(*match.groups())
            g, v = (np.asarray(to_array(key, state.pop(key))) for key in names)
            state["".join(match.groups())] = _normed(name, g, v)
    for name in state:
        if isinstance(name, str) and re.search(r"parametrizations\.(weight|bias)_[ih]", name):
            raise UnsupportedError(name, "weights, or weight normalization", "another parametrization")
    return state


def _normed(name: str, g: np.ndarray, v: np.ndarray) -> np.ndarray:
    """g v / |v|, with the norm over the axes along which g has one number."""
    axes = tuple(k for k in range(v.ndim) if g.ndim == 0 or (g.ndim == v.ndim and g.shape[k] == 1))
    if g.ndim not in (0, v.ndim) or any(a not in (1, b) for a, b in zip(g.shape, v.shape, strict=False)):
        raise FormatError(name, f"lengths for a weight of shape {v.shape}", str(g.shape))
    with np.errstate(divide="ignore", invalid="ignore"):  # a direction of zeros gives NaN, as in PyTorch
        return v * (g / np.sqrt((v * v).sum(axis=axes, keepdims=g.ndim > 0)))


def to_array(name: str, value: Any) -> np.ndarray:
    """A NumPy array of an array or a tensor; bfloat16 widens to float32.

    Raises
    ------
    UnsupportedError
        A quantized, sparse or device tensor, or one that claims more elements than its storage holds.
    """
    if not hasattr(value, "untyped_storage"):
        return read_array(name, value)
    if value.is_quantized or str(value.layout) != "torch.strided" or value.device.type != "cpu":
        got = f"{value.dtype}, {value.layout}, on {value.device}"
        raise UnsupportedError(name, "a dense tensor on the CPU", got)
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise UnsupportedError(name, "a tensor with all its elements stored", "an expanded one")
    value = value.detach()
    return (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
