# SPDX-License-Identifier: MIT
"""Tables from files: delimited text in the usual encodings, compressed or not, Parquet, and standard input.

A table of text keeps every cell as it is written, with line numbers as its index; what cells mean is decided per
column, by `columns` and `times`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ...errors import ArgumentError
from .columns import is_missing, is_number
from .times import is_time

SAMPLE = 50
"""Lines that are looked at to find the delimiter."""
PACKED = {
    b"\x1f\x8b": ("gzip", gzip.decompress),
    b"BZh": ("bzip2", bz2.decompress),
    b"\xfd7zXZ": ("xz", lzma.decompress),
}
SIGNATURES = {
    b"PK\x03\x04": "a zip archive or a workbook",
    b"\xd0\xcf\x11\xe0": "a workbook",
    b"\x89PNG": "a picture",
    b"%PDF": "a PDF",
}


@dataclass
class Source:
    """A table with the name to use in messages, and sentences about what was decided."""

    name: str
    table: pd.DataFrame
    notes: list[str] = field(default_factory=list)

    def where(self, line, column=None):
        """Place of a cell, for messages."""
        return f"{self.name} line {line}" + ("" if column is None else f', column "{column}"')


def read_source(path, header=None, skip=0):
    """Read a table.

    Parameters
    ----------
    path : path
        "-" is standard input.
    header : bool, optional
        Whether the first line holds names; left out, it does if one of its cells is neither a number nor a time.
    skip : int
        Lines to leave out at the start.

    Raises
    ------
    ArgumentError
        The file cannot be read, is no table, or is empty.
    """
    name, content = (
        ("standard input", sys.stdin.buffer.read()) if str(path) == "-" else (str(path), _bytes(path))
    )
    content = _unpacked(name, content)
    if content.startswith(b"PAR1"):
        return Source(name, _parquet(name, content))
    for signature, kind in SIGNATURES.items():
        if content.startswith(signature):
            raise ArgumentError(name, "delimited text or Parquet", kind, "save it as CSV")
    source = Source(name, pd.DataFrame())
    text = _decode(source, content)
    _read_text(source, text, header, skip)
    return source


def _bytes(path):
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ArgumentError(str(path), "a readable file", error.strerror or str(error)) from error


def _unpacked(name, content):
    """Bytes of a compressed file, or the bytes as they are."""
    for signature, (kind, unpack) in PACKED.items():
        if content.startswith(signature):
            try:
                return unpack(content)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
                raise ArgumentError(name, f"a whole {kind} file", str(error)) from error
    return content


def _parquet(name, content):
    try:
        table = pd.read_parquet(io.BytesIO(content))
    except ImportError as error:
        raise ArgumentError(
            name, "CSV, or the package pyarrow", "Parquet", 'pip install "rnncore[cli]"'
        ) from error
    except (OSError, ValueError) as error:
        raise ArgumentError(name, "a whole Parquet file", str(error).splitlines()[0]) from error
    if not isinstance(table.index, pd.RangeIndex):
        table = table.reset_index()
    table.columns = [str(column) for column in table.columns]
    table.index += 1
    if not len(table):
        raise ArgumentError(name, "a table with values", "an empty one")
    return table


def _decode(source, content):
    """Text of the bytes: UTF-8, UTF-16 with a mark or by its zero bytes, else Windows' Latin-1."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif content[:200].count(0) > len(content[:200]) // 4:
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
    else:
        encoding = "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        try:
            text, encoding = content.decode("cp1252"), "cp1252"
        except UnicodeDecodeError as error:
            raise ArgumentError(source.name, "text", "bytes that are not") from error
    if "\0" in text:
        raise ArgumentError(source.name, "text", "bytes that are not")
    if marked := re.match(r"\s*(<[!?a-zA-Z]|\{|\[\s*\{)", text):
        kind = "a web page or XML" if marked[1][0] == "<" else "JSON"
        raise ArgumentError(source.name, "delimited text or Parquet", kind, "save it as CSV")
    if encoding != "utf-8-sig":
        source.notes.append(f"read as {'Windows Latin-1' if encoding == 'cp1252' else 'UTF-16'} text")
    return text


def _read_text(source, text, header, skip):
    lines = text.splitlines()
    while skip < len(lines) and (not lines[skip].strip() or lines[skip].startswith("#")):
        skip += 1
    told = re.fullmatch(r"sep=(.)", lines[skip].strip()) if skip < len(lines) else None
    skip += told is not None
    if skip >= len(lines):
        raise ArgumentError(source.name, "a table with values", "an empty file")
    sample = [line for line in lines[skip : skip + SAMPLE] if line.strip()]
    delimiter = told[1] if told else _delimiter(sample)
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep=delimiter,
            header=None,
            dtype=str,
            na_filter=False,
            skip_blank_lines=False,
            skipinitialspace=True,
            skiprows=skip,
        )
    except pd.errors.ParserError as error:
        raise _malformed(source, error, delimiter, skip) from error
    table.index += 1 + skip
    table = table.loc[:, (table != "").any()]
    filled = (table != "").any(axis=1)
    # An empty line may be a missing value only where it is a cell; at the end it is nothing.
    table = table.loc[: filled[filled].index[-1]] if table.shape[1] == 1 else table[filled]
    source.table = _named(source, table, header)


def _delimiter(sample):
    """The delimiter that gives all lines of the sample equally many cells, or most of them; \\s+ if none does."""
    bare = [re.sub(r'"[^"]*"', "", line) for line in sample]
    for delimiter in "\t;|,":
        counts = {line.count(delimiter) for line in bare}
        if len(counts) == 1 and counts != {0}:
            return delimiter
    if most := max("\t;|,", key=bare[-1].count) if any(c in bare[-1] for c in "\t;|,") else None:
        return most
    words = {len(line.split()) for line in bare}
    numeric = all(is_number(word) for line in bare[1:] for word in line.split()[1:])
    return r"\s+" if len(words) == 1 and words != {1} and numeric else ","


def _malformed(source, error, delimiter, skip):
    """The parser's complaint as one of ours."""
    found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
    if not found:
        return ArgumentError(source.name, "well-formed CSV", str(error).split("C error: ")[-1].strip())
    expected, line, saw = map(int, found.groups())
    hint = "a title above the table is left out with --skip"
    if delimiter == ",":
        hint = f"numbers with a decimal comma need quotes in a comma-separated file; {hint}"
    return ArgumentError(source.where(line + skip), f"{expected} cells", saw, hint)


def _named(source, table, header):
    """Take the names off the first line, if it has any."""
    first = [cell.strip() for cell in table.iloc[0]]
    if header is None:
        header = any(
            not (is_number(cell) or is_missing(cell) or is_time(cell)) for cell in first
        ) and not any(is_time(cell) and not is_number(cell) for cell in first)
        if not header:
            names = ", ".join(str(number + 1) for number in range(len(first)))
            source.notes.append(f"no line of names: the columns are called {names} (--header says otherwise)")
    names = first if header else [""] * len(first)
    table.columns = list(_unique([name or str(number + 1) for number, name in enumerate(names)]))
    table = table.iloc[1:] if header else table
    if not len(table):
        raise ArgumentError(source.name, "values below the names", "the names alone")
    return table


def _unique(names):
    """Names with .1, .2, ... after those that were there before, as pandas does."""
    count = {}
    for name in names:
        count[name] = count.get(name, -1) + 1
        yield name if not count[name] else f"{name}.{count[name]}"
