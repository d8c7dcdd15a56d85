# SPDX-License-Identifier: MIT
"""Files on disk: written whole or not at all, and read without foreign errors.

A file is written as a draft beside its place, ``.rnncore-<host>-<process>-<number>-<name>``, and then moved there.
A process that is killed leaves its draft; the next one that writes to that place removes it, and knows drafts that
are still being written by their process.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import platform
import re
import zipfile
import zlib
from collections.abc import Iterator

from ..errors import ArgumentError, FormatError, RnncoreError, shown

Path = str | os.PathLike[str]

# The end of a zip archive, where its directory's size stands, behind which a comment may be; and what a directory may
# have: 20 000 names, which take ten times as much in memory.
TAIL, MAX_DIRECTORY = 2**16 + 98, 2 * 2**20

_numbers = itertools.count()
_present: set[str] = set()


def check_path(path: Path, field: str = "path") -> str:
    """A path as text; ArgumentError for a number, which would be somebody's open file, and for all that is no path."""
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(text, str) or "\0" in text:
        raise ArgumentError(field, "a path", shown(path))
    return text


def _host() -> str:
    """This machine, as it stands in a draft's name: the numbers of another's processes say nothing here."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[pathlib.Path]:
    """Context manager of a new file: write to the path that it gives, which ends as `path` does.

    If the block succeeds the draft takes the place of `path` in one step, if not it goes away: the path holds the old
    file or the whole new one, whenever the process or the machine dies.

    Raises
    ------
    OSError

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from rnncore.formats import files
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with files.replacing(f"{folder}/notes.txt") as draft:
    ...         size = draft.write_text("hello")
    ...     [file.name for file in pathlib.Path(folder).iterdir()]
    ['notes.txt']
    """
    path = pathlib.Path(check_path(path))
    if not path.name:
        raise ArgumentError("path", "the name of a file", shown(str(path)))
    _remove_strays(path)
    draft = path.with_name(f".rnncore-{_host()}-{os.getpid()}-{next(_numbers)}-{path.name}")
    _present.add(draft.name)
    try:
        yield draft
        with open(draft, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
        _present.discard(draft.name)


def _remove_strays(path: pathlib.Path) -> None:
    """Remove the drafts of `path` whose process is dead."""
    own = re.compile(rf"\.rnncore-{_host()}-(\d+)-\d+-{re.escape(path.name)}")
    for entry in path.parent.iterdir():
        match = own.fullmatch(entry.name)
        if match and entry.name not in _present and not _lives(int(match[1])):
            entry.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    """Whether another process may still be writing."""
    if process == os.getpid():  # an earlier one that had our number
        return False
    if os.name != "posix":  # there a file that is open cannot be removed, and signal 0 would be sent
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def reading(path: Path, expected: str) -> Iterator[None]:
    """Turn whatever a parser of another package raises on a damaged file into a FormatError.

    A file that cannot be opened stays an OSError; rnncore's own errors pass.
    """
    with open(check_path(path), "rb"):
        pass
    with parsing(str(path), expected):
        yield


@contextlib.contextmanager
def parsing(name: str, expected: str) -> Iterator[None]:
    """As `reading`, of what is in memory."""
    try:
        yield
    except RnncoreError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise FormatError(name, expected, f"{type(error).__name__}: {text}") from error


def _directory_bytes(path: Path) -> int:
    """How large a zip archive says that its directory is."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - TAIL))
        tail = file.read()
    end, large = tail.rfind(b"PK\5\6"), tail.rfind(b"PK\6\6")
    if large >= 0 and len(tail) >= large + 48:
        return int.from_bytes(tail[large + 40 : large + 48], "little")
    return int.from_bytes(tail[end + 12 : end + 16], "little") if end >= 0 else 0


def zipped(path: Path, head: bytes) -> list[str]:
    """Names in a zip archive; none if the file, which starts like this, is no sound one, or one of too many names."""
    if not head.startswith(b"PK"):
        return []
    try:
        if _directory_bytes(path) > MAX_DIRECTORY:
            return []
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except Exception:  # whatever a damaged one brings out: then it is not known by its names
        return []
