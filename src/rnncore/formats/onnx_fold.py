# SPDX-License-Identifier: MIT
"""Operators that exporters put between stored weights and the node that uses them, computed when a file is read.

None makes more elements than its largest input has. A new one is a row in FOLD.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import UnsupportedError

DEQUANTIZE_LSTM = "rnncore.DequantizeLSTM"
"""What `onnx_graph` puts before the LSTM that it makes of a DynamicQuantizeLSTM."""


def _axes(attrs: dict[str, Any], axes: np.ndarray | None) -> Any:
    found = attrs.get("axes") if axes is None else axes.tolist()
    return None if found is None else tuple(found)


def _slice(attrs: dict[str, Any], a: np.ndarray, *given: np.ndarray) -> np.ndarray:
    """Inputs starts, ends, axes, steps; up to opset 9 attributes."""
    names = ("starts", "ends", "axes", "steps")
    values = {name: attrs[name] for name in names if name in attrs}
    values |= {name: value.tolist() for name, value in zip(names, given, strict=False)}
    axes = values.get("axes", range(len(values["starts"])))
    steps = values.get("steps", [1] * len(values["starts"]))
    cut = [slice(None)] * a.ndim
    for axis, start, end, step in zip(axes, values["starts"], values["ends"], steps, strict=True):
        # Backwards, an end before the first element is none for NumPy.
        cut[axis] = slice(start, None if step < 0 and end < -a.shape[axis] else end, step)
    return a[tuple(cut)]


def _reshape(attrs: dict[str, Any], a: np.ndarray, shape: np.ndarray | None = None) -> np.ndarray:
    wanted = attrs["shape"] if shape is None else shape.tolist()
    keep = not attrs.get("allowzero", 0)
    return a.reshape([a.shape[k] if n == 0 and keep else int(n) for k, n in enumerate(wanted)])


def _cast(attrs: dict[str, Any], a: np.ndarray) -> np.ndarray:
    import onnx

    return a.astype(onnx.helper.tensor_dtype_to_np_dtype(attrs["to"]))


def _dequantize(
    attrs: dict[str, Any], a: np.ndarray, scale: np.ndarray, zero: np.ndarray | None = None
) -> np.ndarray:
    """(a - zero) * scale, with one number of each for all, or for each place along an axis."""
    if attrs.get("block_size", 0):
        raise UnsupportedError("DequantizeLinear", "one scale for all or along an axis", "blocks")
    shape = [1] * a.ndim
    if scale.size > 1:
        shape[attrs.get("axis", 1)] = scale.size
    difference = a.astype(np.int64) - (0 if zero is None else zero.astype(np.int64).reshape(shape))
    return difference.astype(scale.dtype) * scale.reshape(shape)


def _quantize(
    attrs: dict[str, Any], a: np.ndarray, scale: np.ndarray, zero: np.ndarray | None = None
) -> np.ndarray:
    """The nearest of the integers that `_dequantize` takes, ties to even."""
    if attrs.get("block_size", 0) or attrs.get("output_dtype", 0):
        raise UnsupportedError(
            "QuantizeLinear", "one scale for all or along an axis", "blocks or other types"
        )
    shape = [1] * a.ndim
    if scale.size > 1:
        shape[attrs.get("axis", 1)] = scale.size
    zero = np.zeros(scale.shape, np.uint8) if zero is None else zero
    limits = np.iinfo(zero.dtype)
    codes = np.rint(a / scale.reshape(shape)) + zero.reshape(shape)
    return np.clip(codes, limits.min, limits.max).astype(zero.dtype)


def _dequantize_lstm(
    attrs: dict[str, Any], a: np.ndarray, scale: np.ndarray, zero: np.ndarray | None = None
) -> np.ndarray:
    """The weight of a DynamicQuantizeLSTM, (D, features, 4*H) with numbers of each direction, or its columns, as W."""
    scale, zero = (None if part is None else part.reshape(len(a), 1, -1) for part in (scale, zero))
    difference = a.astype(np.int64) - (0 if zero is None else zero.astype(np.int64))
    return np.ascontiguousarray((difference.astype(np.float32) * scale).transpose(0, 2, 1))


def _elementwise(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def fold(attrs: dict[str, Any], a: np.ndarray, b: np.ndarray) -> np.ndarray:
        shape = np.broadcast_shapes(a.shape, b.shape)
        if shape not in (a.shape, b.shape):
            raise UnsupportedError("weights", "one operand of the result's shape", f"{a.shape} and {b.shape}")
        return function(a, b)

    return fold


FOLD: dict[str, Callable[..., np.ndarray]] = {
    "Identity": lambda attrs, a: a,
    "Transpose": lambda attrs, a: a.transpose(attrs.get("perm")),
    "Unsqueeze": lambda attrs, a, axes=None: np.expand_dims(a, _axes(attrs, axes)),
    "Squeeze": lambda attrs, a, axes=None: np.squeeze(a, _axes(attrs, axes)),
    "Concat": lambda attrs, *parts: np.concatenate(parts, attrs["axis"]),
    "Reshape": _reshape,
    "Slice": _slice,
    "Cast": _cast,
    "DequantizeLinear": _dequantize,
    "QuantizeLinear": _quantize,
    DEQUANTIZE_LSTM: _dequantize_lstm,
    "Add": _elementwise(np.add),
    "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply),
    "Div": _elementwise(np.divide),
}


def plain(node: Any, called: str) -> list[Any]:
    """The nodes that stand for one: an LSTM and its weights for a DynamicQuantizeLSTM of ONNX Runtime, else itself."""
    import onnx

    if node.op_type != "DynamicQuantizeLSTM" or node.domain != "com.microsoft":
        return [node]
    inputs = [*node.input, *[""] * 12]
    found, made = onnx.NodeProto(), []
    found.CopyFrom(node)
    found.op_type, found.domain = "LSTM", ""
    for slot, place in ((1, 8), (2, 10)):
        name = f"{called}/{inputs[slot]}/float"
        numbers = [inputs[slot], inputs[place], inputs[place + 1]]
        made.append(onnx.helper.make_node(DEQUANTIZE_LSTM, [value for value in numbers if value], [name]))
        inputs[slot] = name
    del found.input[:]
    found.input.extend(inputs[:8])
    return [*made, found]
