# SPDX-License-Identifier: MIT
"""Columns of text as numbers: decimal commas, thousands separators, currency signs, and what counts as missing."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from ...errors import ArgumentError

MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "missing", "-", "--", ".", "..", "?"})
"""Cells that stand for a missing value, in lower case."""
SIGNS = re.compile(r"(?<=^-)[€$£¥]\s*|^[€$£¥]\s*|\s*[€$£¥%]$")
SPACES = re.compile("(?<=\\d)[ \u00a0\u202f'\u2019](?=\\d{3})")
"""What some languages write between thousands."""
MINUS = str.maketrans({"\u2212": "-"})
"""The minus sign of typography."""


def is_missing(text):
    """Whether a cell stands for a missing value."""
    return text.strip().lower() in MISSING


def is_number(text):
    """Whether a cell is a number in some notation."""
    text = re.sub(r"^\((.+)\)$", r"-\1", text.strip().translate(MINUS))
    return bool(
        re.fullmatch(
            r"[-+]?[€$£¥]?\s?\d[\d.,'\s\u00a0\u202f\u2019]*([eE][-+]?\d+)?\s?[€$£¥%]?|[-+]?[.,]\d+", text
        )
    )


def is_numeric(column):
    """Whether most cells of a column are numbers."""
    if column.dtype.kind in "biuf":
        return True
    if not (pd.api.types.is_string_dtype(column) or column.dtype == object):
        return False
    cells = column.head(1000).astype(str)
    given = [cell for cell in cells if not is_missing(cell)]
    return bool(given) and 2 * sum(map(is_number, given)) > len(given)


def to_numbers(source, name, decimal=None, missing=()):
    """Column `name` of a `Source` as float64, NaN where a value is missing; its index are the line numbers.

    Parameters
    ----------
    source : Source
    name : str
    decimal : "." or ",", optional
        Left out, the cells tell; "1,234" alone does not, and is refused.
    missing : collection of str
        More texts that stand for a missing value.

    Raises
    ------
    ArgumentError
        A cell is no finite number; it is named by its line.
    """
    column = source.table[name]
    if column.dtype.kind in "biuf":
        numbers = column.astype(np.float64)
        cells = column.astype(str)
    else:
        cells = column.astype(str).str.strip()
        gone = cells.str.lower().isin(MISSING | {text.lower() for text in missing})
        numbers = pd.to_numeric(cells.mask(gone), errors="coerce")
        if decimal is not None or (numbers.isna() & ~gone).any():
            plain = _plain(source, name, cells[~gone], decimal)
            numbers = pd.to_numeric(plain, errors="coerce").reindex(column.index)
        bad = numbers.isna() & ~gone
        if bad.any():
            line = bad.idxmax()
            raise ArgumentError(source.where(line, name), "a number", f'"{cells[line][:40]}"')
    infinite = np.isinf(numbers)
    if infinite.any():
        line = infinite.idxmax()
        raise ArgumentError(source.where(line, name), "a finite number", f'"{cells[line][:40]}"')
    return numbers.astype(np.float64)


def _plain(source, name, cells, decimal):
    """Cells with a decimal point and nothing else beside digits."""
    # Book-keepers write negative numbers in brackets.
    cells = cells.str.translate(MINUS).str.replace(r"^\((.+)\)$", r"-\1", regex=True)
    cells = cells.str.replace(SIGNS, "", regex=True).str.replace(SPACES, "", regex=True)
    decimal = decimal or _decimal_sign(source, name, cells)
    if decimal == ",":
        return cells.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
    return cells.str.replace(",", "", regex=False)


def _decimal_sign(source, name, cells):
    """ "." or ",": the last of two kinds of signs in a cell; a sign that stands twice separates thousands."""
    commas, points = cells.str.count(","), cells.str.count(r"\.")
    both = cells[(commas > 0) & (points > 0)]
    if len(both):
        return "," if both.iloc[0].rfind(",") > both.iloc[0].rfind(".") else "."
    if (commas > 1).any():
        return "."
    if (points > 1).any():
        return ","
    with_comma = cells[commas > 0]
    if not len(with_comma):
        return "."
    if not with_comma.str.fullmatch(r"[-+]?\d{1,3},\d{3}").all():
        return ","
    if (points > 0).any():
        return "."
    line = with_comma.index[0]
    raise ArgumentError(
        source.where(line, name),
        "numbers that can be read in one way only",
        f'"{with_comma.iloc[0]}"',
        "say --decimal , or --decimal .",
    )
