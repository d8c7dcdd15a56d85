# SPDX-License-Identifier: MIT
"""What a file holds, whatever its format: records of recurrent layers, refusals with reasons, the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, RnncoreError, UnsupportedError, shown
from ..layers.build import build_layer
from ..layers.layers import Layer
from ..nn import Module, Recurrent, Sequential
from ..spec import CELLS as CELLS_TABLE
from ..spec import Spec, check_parameters, gate_names

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

CLASSES = {name: cell.title for name, cell in CELLS_TABLE.items()}
CELLS = {name: cell for cell, name in CLASSES.items()}


@dataclasses.dataclass
class Record:
    """One recurrent layer found in a file.

    Attributes
    ----------
    name : str
        Where in the file.
    spec : Spec
    parameters : dict of str to numpy.ndarray
        Canonical (PyTorch's) names and layout, of spec.dtype.
    source : str
        What it was there, e.g. ``"keras GRU"``.
    order : {"forward", "reverse", "backwards"}
        "reverse" reads each row from its end, with outputs at their own steps (ONNX); "backwards" gives them
        in the order of computation (Keras' go_backwards).
    merge : {"concat", "sum", "mul", "ave", None}
        How two directions become one output.
    return_sequences : bool
    notes : tuple of str
        What a user should know: assumptions, training-only options that were left out.
    """

    name: str
    spec: Spec
    parameters: dict[str, np.ndarray]
    source: str
    order: str = "forward"
    merge: str | None = "concat"
    return_sequences: bool = True
    notes: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether a bare layer says all: read forward, directions concatenated, all steps returned."""
        return self.order == "forward" and self.merge == "concat" and self.return_sequences

    def layer(self, implementation: Any = None) -> Layer[Any]:
        """The layer alone.

        Raises
        ------
        UnsupportedError
            It reads backwards: `module()` holds that.
        """
        if self.order != "forward":
            raise UnsupportedError(
                self.name, "a layer that reads forward", f"order {self.order!r}", "use module()"
            )
        return build_layer(self.spec, self.parameters, implementation)

    def module(self, implementation: Any = None) -> Recurrent:
        """The layer in a `nn.Recurrent` that reads, merges and returns as in the source."""
        layer = build_layer(self.spec, self.parameters, implementation)
        return Recurrent(layer, order=self.order, merge=self.merge, return_sequences=self.return_sequences)


@dataclasses.dataclass
class Contents:
    """What a file holds.

    Attributes
    ----------
    format : str
    records : dict of str to Record
        In the file's order.
    refused : dict of str to UnsupportedError
        Recurrent layers that cannot be expressed, with the reason.
    other : list of str
        What else is there, in words.
    stages : list of callables or None
        Makers of the modules of a whole model, each taking an implementation; None if the file is no chain of
        modules that exist here (`chain_error` says why).
    """

    format: str
    records: dict[str, Record] = dataclasses.field(default_factory=dict)
    refused: dict[str, UnsupportedError] = dataclasses.field(default_factory=dict)
    other: list[str] = dataclasses.field(default_factory=list)
    stages: list[Callable[[Any], Module]] | None = None
    chain_error: str = "the file holds no model graph that is a chain of modules"

    def record(self, name: str | None = None) -> Record:
        """The record of this name; without a name the only one.

        Raises
        ------
        UnsupportedError
            It was refused; the reason given when the file was read.
        ArgumentError
            No such layer, or several and no name.
        """
        names = [*self.records, *self.refused]
        if name is None:
            if len(names) != 1:
                raise ArgumentError(
                    "name", "one of " + (", ".join(names) or "no layers"), "none", "say which"
                )
            name = names[0]
        if isinstance(name, str) and name in self.refused:
            raise self.refused[name]
        if not isinstance(name, str) or name not in self.records:
            raise ArgumentError("name", "one of " + (", ".join(names) or "no layers"), shown(name))
        return self.records[name]

    def layer(self, name: str | None = None, implementation: Any = None) -> Layer[Any]:
        """The layer of this name; see `record`."""
        return self.record(name).layer(implementation)

    def model(self, implementation: Any = None) -> Sequential:
        """The whole file as a `nn.Sequential`.

        Raises
        ------
        UnsupportedError
            It is not a chain of modules that exist here.
        """
        for error in self.refused.values():
            raise error
        if self.stages is None:
            raise UnsupportedError("model", "a chain of known modules", self.chain_error)
        return Sequential(*[make(implementation) for make in self.stages])

    def whole(self, name: str | None = None, implementation: Any = None) -> Module:
        """All that the file holds as one layer or module, or the layer of this name.

        Raises
        ------
        UnsupportedError
            Something in it does not exist here.
        ArgumentError
            There is no such layer; or no name was given and there are several, or something is no part of the only one.
        """
        if name is None and self.stages is not None:
            record = next(iter(self.records.values()), None)
            alone = record is not None and record.plain and len(self.stages) == 1
            return record.layer(implementation) if alone else self.model(implementation)
        record = self.record(name)
        if name is None and self.other:
            rest = ", ".join(self.other)[:200]
            expected = f"{record.name!r}, if the layer alone is meant"
            raise ArgumentError("name", expected, "none", f"the file also holds {rest}; {self.chain_error}")
        return record.layer(implementation) if record.plain else record.module(implementation)

    def add(self, name: str, read: Callable[[], Record]) -> None:
        """Store read() as a record, or the UnsupportedError it raises as a refusal."""
        try:
            self.records[name] = read()
        except UnsupportedError as error:
            self.refused[name] = error


def narrow(array: ArrayLike, name: str) -> np.ndarray:
    """`array` as float32 or float64, where that loses nothing (float16 widens).

    Raises
    ------
    UnsupportedError
        Another dtype: quantized, integer or complex weights.
    """
    array = np.asarray(array)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.kind != "f" or array.dtype.itemsize not in (4, 8):
        raise UnsupportedError(name, "float weights", str(array.dtype), "conversion would lose precision")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def make_record(
    name: str,
    source: str,
    cell: str,
    directions: Sequence[Mapping[str, Any]],
    *,
    options: Mapping[str, Any],
    **extra: Any,
) -> Record:
    """A Record from canonical parameters per layer and direction.

    Parameters
    ----------
    name, source : str
    cell : {"rnn", "lstm", "gru"}
    directions : list of dicts
        In the order l0, l0_reverse, l1 ...: canonical names without suffix.
    options : dict
        Further fields of Spec.
    extra
        Further fields of Record.

    Raises
    ------
    RnncoreError
        Shapes or dtypes do not fit together.
    """
    first = {key: narrow(value, f"{name}.{key}") for key, value in directions[0].items()}
    H = first["weight_ih"].shape[0] // len(gate_names(cell, options.get("coupled", False)))
    D = 2 if options.get("bidirectional") else 1
    spec = Spec(
        cell,
        first["weight_ih"].shape[1],
        H,
        len(directions) // D,
        bias="bias_ih" in first,
        dtype=first["weight_ih"].dtype,
        proj_size=first["weight_hr"].shape[0] if "weight_hr" in first else 0,
        peepholes="weight_peephole" in first,
        **options,
    )
    parameters = {}
    for suffix, values in zip(spec.suffixes(), directions, strict=True):
        for key, value in values.items():
            parameters[key + suffix] = narrow(value, f"{name}.{key}{suffix}")
    try:
        parameters = check_parameters(spec, parameters)
    except RnncoreError as error:
        raise type(error)(f"{name}.{error.field}", error.expected, error.got, error.hint) from error
    return Record(name, spec, parameters, source, **extra)


def check_layer(layer: Any) -> None:
    """ArgumentError unless it is a recurrent layer or a twin."""
    if not isinstance(getattr(layer, "spec", None), Spec) or not hasattr(layer, "state_dict"):
        raise ArgumentError("layer", "a recurrent layer", shown(layer))


def one_direction(parameters: Mapping[str, np.ndarray], suffix: str) -> dict[str, np.ndarray]:
    """The canonical parameters of one layer and direction, without their suffix."""
    names = {row.name for cell in CELLS_TABLE.values() for row in cell.parameters}
    return {name: parameters[name + suffix] for name in names if name + suffix in parameters}
