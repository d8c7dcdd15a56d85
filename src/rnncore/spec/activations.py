# SPDX-License-Identifier: MIT
"""The functions a cell may use at its gates: names and parameters.

Names, formulas and defaults are those of ONNX's recurrent operators, but for `log_space`, through which minGRUs in
log-space form pass what is new (Feng et al. 2024, g). `normalize` turns what a user writes into
the form that a Spec holds: per direction, per place of the cell, (name, *parameters). The twins compute them in
reference/activations.py, the compiled layers in csrc/simd/activations.h.
"""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError, shown
from .cells import places
from .checks import finite

# Name -> defaults of its parameters alpha and beta, as many as it has.
FUNCTIONS: dict[str, tuple[float, ...]] = {
    "sigmoid": (),
    "tanh": (),
    "relu": (),
    "affine": (1.0, 0.0),
    "leaky_relu": (0.01,),
    "thresholded_relu": (1.0,),
    "scaled_tanh": (1.0, 1.0),
    "hard_sigmoid": (0.2, 0.5),
    "elu": (1.0,),
    "softsign": (),
    "softplus": (),
    "log_space": (),
}


def entry_of(place: str, value: Any) -> tuple[Any, ...]:
    """(name, *parameters) of "name" or of a sequence (name, parameters ...), which may leave out the last ones."""
    field = f"activations[{place!r}]"
    name, *given = value if isinstance(value, (tuple, list)) and value else (value,)
    if not isinstance(name, str) or name not in FUNCTIONS:
        raise ArgumentError(field, "one of " + ", ".join(FUNCTIONS), shown(name))
    defaults = FUNCTIONS[name]
    if len(given) > len(defaults):
        raise ArgumentError(field, f"{name} with at most {len(defaults)} parameters", len(given))
    numbers = list(map(finite, given))
    if None in numbers:
        raise ArgumentError(field, f"finite parameters of {name}", shown(given[numbers.index(None)]))
    return (name, *numbers, *defaults[len(given) :])


def _direction(wanted, value):
    """Entries of all places from a mapping that names some, or from a sequence of all."""
    if hasattr(value, "keys"):
        for place in value:
            if place not in wanted:
                raise ArgumentError("activations", "places " + ", ".join(wanted), shown(place))
        return tuple(entry_of(place, value.get(place, name)) for place, name in wanted.items())
    if not isinstance(value, (tuple, list)) or len(value) != len(wanted):
        raise ArgumentError("activations", f"a mapping of {', '.join(wanted)} to functions", shown(value))
    return tuple(entry_of(place, part) for place, part in zip(wanted, value, strict=True))


def normalize(value: Any, cell: str, coupled: bool, directions: int) -> tuple[Any, ...]:
    """What a Spec holds: () for the cell's own functions; one tuple of entries; or two that differ.

    Parameters
    ----------
    value : None, mapping of place to function, or a sequence of at most `directions` of them
        A function is a name or a sequence (name, alpha, beta), of which the last may be left out.

    Raises
    ------
    ArgumentError
    """
    if value is None:
        return ()
    wanted = places(cell, coupled)
    if not hasattr(value, "keys") and not isinstance(value, (tuple, list)):
        raise ArgumentError("activations", f"a mapping of {', '.join(wanted)} to functions", shown(value))
    each = (value,) if hasattr(value, "keys") else tuple(value)
    if len(each) > directions:
        raise ArgumentError("activations", f"those of {directions} directions", f"{len(each)}")
    found = tuple(_direction(wanted, part) for part in each)
    if len(found) == 2 and found[0] == found[1]:
        found = found[:1]
    return () if found == (_direction(wanted, {}),) else found
