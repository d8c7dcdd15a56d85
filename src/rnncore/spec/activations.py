# SPDX-License-Identifier: MIT
"""The functions a cell may use at its gates: names, parameters, values and slopes in NumPy float64.

Names, formulas and defaults are those of ONNX's recurrent operators. `normalize` turns what a user writes into
the form that a Spec holds: per direction, per place of the cell, (name, *parameters). The compiled layers have
the same functions in csrc/simd/activations.h. A new function is a row in FUNCTIONS, a name in rnncore_function
and a case there.
"""

import math
import typing

import numpy as np

from ..errors import ArgumentError


def sigmoid(a):
    """1 / (1 + exp(-a)) without overflow and without loss of small results."""
    e = np.exp(-np.abs(a))
    return np.where(a <= 0, e, 1.0) / (1.0 + e)


class Function(typing.NamedTuple):
    """One row of FUNCTIONS: value and slope take an array and the parameters; `defaults` has as many."""

    value: object
    slope: object
    defaults: tuple = ()


# At a kink the slope is the one below it, hard_sigmoid's zero.
FUNCTIONS = {
    "sigmoid": Function(sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "tanh": Function(np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "relu": Function(lambda x: np.maximum(x, 0.0), lambda x: np.where(x > 0, 1.0, 0.0)),
    "affine": Function(lambda x, a, b: a * x + b, lambda x, a, b: a + 0 * x, (1.0, 0.0)),
    "leaky_relu": Function(
        lambda x, a: np.where(x <= 0, a * x, x), lambda x, a: np.where(x <= 0, a, 1.0), (0.01,)
    ),
    "thresholded_relu": Function(
        lambda x, a: np.where(x <= a, 0.0, x), lambda x, a: np.where(x <= a, 0.0, 1.0), (1.0,)
    ),
    "scaled_tanh": Function(
        lambda x, a, b: a * np.tanh(b * x), lambda x, a, b: a * b * (1 - np.tanh(b * x) ** 2), (1.0, 1.0)
    ),
    "hard_sigmoid": Function(
        lambda x, a, b: np.clip(a * x + b, 0.0, 1.0),
        lambda x, a, b: np.where((a * x + b > 0) & (a * x + b < 1), a, 0.0),
        (0.2, 0.5),
    ),
    "elu": Function(
        lambda x, a: np.where(x <= 0, a * np.expm1(np.minimum(x, 0.0)), x),
        lambda x, a: np.where(x <= 0, a * np.exp(np.minimum(x, 0.0)), 1.0),
        (1.0,),
    ),
    "softsign": Function(
        lambda x: np.where(np.isinf(x), np.sign(x), x / (1 + np.abs(x))), lambda x: 1 / (1 + np.abs(x)) ** 2
    ),
    "softplus": Function(lambda x: np.logaddexp(x, 0.0), sigmoid),
}

# Where a cell has a function, and which one it is unless something else is said: the gates by their letters,
# and "c", through which an LSTM's cell state goes on its way to h.
PLACES = {
    "rnn": {"h": "tanh"},
    "lstm": {"i": "sigmoid", "f": "sigmoid", "g": "tanh", "o": "sigmoid", "c": "tanh"},
    "gru": {"r": "sigmoid", "z": "sigmoid", "n": "tanh"},
}


def finite(value):
    """A number as a finite float, or None if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    try:
        value = float(value)
    except OverflowError:  # an int beyond the floats
        return None
    return value if math.isfinite(value) else None


def places(cell, coupled=False):
    """Names and default functions of a cell's places, in order; coupled gates leave no place f."""
    return {place: name for place, name in PLACES[cell].items() if not (coupled and place == "f")}


def _entry(place, value):
    """(name, *parameters) of "name" or of a sequence (name, parameters ...), which may leave out the last ones."""
    field = f"activations[{place!r}]"
    name, *given = value if isinstance(value, (tuple, list)) and value else (value,)
    if not isinstance(name, str) or name not in FUNCTIONS:
        raise ArgumentError(field, "one of " + ", ".join(FUNCTIONS), repr(name)[:80])
    defaults = FUNCTIONS[name].defaults
    if len(given) > len(defaults):
        raise ArgumentError(field, f"{name} with at most {len(defaults)} parameters", len(given))
    numbers = list(map(finite, given))
    if None in numbers:
        raise ArgumentError(field, f"finite parameters of {name}", repr(given[numbers.index(None)])[:80])
    return (name, *numbers, *defaults[len(given) :])


def _direction(wanted, value):
    """Entries of all places from a mapping that names some, or from a sequence of all."""
    if hasattr(value, "keys"):
        for place in value:
            if place not in wanted:
                raise ArgumentError("activations", "places " + ", ".join(wanted), repr(place)[:80])
        return tuple(_entry(place, value.get(place, name)) for place, name in wanted.items())
    if not isinstance(value, (tuple, list)) or len(value) != len(wanted):
        raise ArgumentError("activations", f"a mapping of {', '.join(wanted)} to functions", repr(value)[:80])
    return tuple(_entry(place, part) for place, part in zip(wanted, value, strict=True))


def normalize(value, cell, coupled, directions):
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
        raise ArgumentError("activations", f"a mapping of {', '.join(wanted)} to functions", repr(value)[:80])
    each = (value,) if hasattr(value, "keys") else tuple(value)
    if len(each) > directions:
        raise ArgumentError("activations", f"those of {directions} directions", f"{len(each)}")
    found = tuple(_direction(wanted, part) for part in each)
    if len(found) == 2 and found[0] == found[1]:
        found = found[:1]
    return () if found == (tuple((name,) for name in wanted.values()),) else found


def value_and_slope(entry, a, clip):
    """A gate's value and its slope in `a`, the pre-activation; beyond the clip the slope is zero."""
    name, *parameters = entry
    x = a if clip is None else np.clip(a, -clip, clip)
    function = FUNCTIONS[name]
    slope = function.slope(x, *parameters)
    return function.value(x, *parameters), slope if clip is None else np.where(np.abs(a) <= clip, slope, 0.0)
