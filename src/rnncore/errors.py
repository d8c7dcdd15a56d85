# SPDX-License-Identifier: MIT
"""The exceptions of rnncore: one class per status of the C core.

Every message is one line, `field: expected X, got Y (hint)`, and every exception carries `.status` (the status'
name) and `.field` (the argument's name), so that callers need not parse text.  Each class is also the
built-in exception that a Python programmer would expect in its place.
"""

from __future__ import annotations

LONGEST = 400
"""Characters of any part of a message: a file or a caller may give names and values of any length."""


def shown(value: object) -> str:
    """A value as messages show it, in at most 80 characters; its type where it cannot be shown.

    Examples
    --------
    >>> from rnncore.errors import shown
    >>> shown("tanh"), shown(10**5000)
    ("'tanh'", 'an int')
    """
    try:
        return repr(value)[:80]
    except Exception:  # whatever a stranger's __repr__ brings out
        return _of_type(value)


def _of_type(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _part(value: object) -> str:
    """A part of a message, on one line, with escapes in place of what cannot be printed."""
    try:
        text = " ".join(str(value).split())
    except Exception:  # as above
        text = _of_type(value)
    text = text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class RnncoreError(Exception):
    """Base class of all errors raised by rnncore.

    Parameters
    ----------
    field : str
        Name of the argument, parameter or file entry that is wrong.
    expected, got : object
        What was needed and what came; formatted with `str`.
    hint : str, optional
        A likely cause, shown in parentheses.

    Attributes
    ----------
    status : str
        Name of the status in the C core, e.g. ``"SHAPE"``.
    field : str
        As given.
    """

    status: str = "INTERNAL"

    def __init__(self, field: str, expected: object, got: object, hint: str = "") -> None:
        self.field: str = field
        self.expected: object = expected
        self.got: object = got
        self.hint: str = hint
        parts = f"{_part(field)}: expected {_part(expected)}, got {_part(got)}"
        super().__init__(parts + (f" ({_part(hint)})" if hint else ""))

    def __reduce__(self) -> tuple[type[RnncoreError], tuple[object, ...]]:
        # BaseException would call the class with the finished message only.
        return type(self), (self.field, self.expected, self.got, self.hint)


class ShapeError(RnncoreError, ValueError):
    """An array has the wrong rank or shape."""

    status = "SHAPE"


class DTypeError(RnncoreError, TypeError):
    """An array has the wrong element type; nothing is cast silently."""

    status = "DTYPE"


class ArgumentError(RnncoreError, ValueError):
    """An argument that is not an array has a wrong type or value."""

    status = "ARGUMENT"


class FormatError(ArgumentError):
    """A file that is damaged, or not what its format promises; nothing was built from it."""

    status = "FORMAT"


class LengthsError(ArgumentError):
    """A sequence length is negative or larger than the number of steps."""

    status = "LENGTHS"


class OverlapError(RnncoreError, ValueError):
    """`out` shares memory with an input or with itself."""

    status = "OVERLAP"


class SizeError(RnncoreError, OverflowError):
    """Sizes whose product, in bytes, does not fit a signed 64-bit integer."""

    status = "OVERFLOW"


class MemoryExhaustedError(RnncoreError, MemoryError):
    """The machine has not the memory that a layer or a call needs."""

    status = "OUT_OF_MEMORY"


class TapeError(RnncoreError, RuntimeError):
    """A tape was used twice, belongs to another layer or to parameters that have changed since."""

    status = "TAPE"


class UnsupportedError(RnncoreError, ValueError):
    """A combination of options that cannot work, such as streaming a bidirectional layer."""

    status = "UNSUPPORTED"
