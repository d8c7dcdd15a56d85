# SPDX-License-Identifier: MIT
"""Checkpoints of training runs: one file of arrays and JSON that is there whole or not at all.

It is NumPy's ``.npz``, so anything reads it: ``module.<i>.<name>`` are parameters, ``best.<i>.<name>`` the best ones,
``optimizer.<name>`` the optimiser's state, ``run`` is JSON. Its checksums find a file that a disk has damaged.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError

FORMAT = "rnncore.checkpoint.1"
NAME = "checkpoint.npz"


def to_bytes(arrays: Mapping[str, np.ndarray], run: Mapping[str, Any]) -> bytes:
    """The contents of a checkpoint."""
    text = json.dumps({"format": FORMAT, **run}).encode()
    file = io.BytesIO()
    np.savez(file, run=np.frombuffer(text, np.uint8), **dict(arrays))
    return file.getvalue()


def from_bytes(data: bytes, where: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and JSON of a checkpoint.

    Raises
    ------
    FormatError
        It is none, or damaged.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        run = json.loads(arrays.pop("run").tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FormatError(where, "a sound checkpoint", f"{type(error).__name__}: {error}") from error
    if not isinstance(run, dict) or run.get("format") != FORMAT:
        raise FormatError(where, f"a checkpoint of the format {FORMAT}", "another file")
    return arrays, run


def write(folder: Path, data: bytes) -> None:
    """Put a checkpoint in place of the one before; a process that is killed meanwhile leaves that one.

    The new file is on the disk before it gets the name, so that this holds for a machine that stops, too.
    """
    draft = folder / f"{NAME}.{os.getpid()}.draft"
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / NAME)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        raise


def prepare(folder: Path) -> None:
    """Make the folder, and take away what killed processes have left half written."""
    folder.mkdir(parents=True, exist_ok=True)
    for draft in folder.glob(f"{NAME}.*.draft"):
        draft.unlink(missing_ok=True)


def read(folder: Path) -> bytes:
    """The checkpoint's contents; empty if there is none."""
    try:
        return (folder / NAME).read_bytes()
    except FileNotFoundError:
        return b""
