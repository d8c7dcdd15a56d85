# SPDX-License-Identifier: MIT
"""The file side of Keras: archives, HDF5 layouts of Keras 2 and 3, and which arrays belong to which layer.

Files are untrusted. The HDF5 library crashes on some damaged ones, so it runs in a process of its own
(hdf5_reader), which hands the arrays over in a safetensors file; configs are data, never code. `read` gives
(name, class, config, weights) per layer in the model's order.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import FormatError, UnsupportedError
from . import safetensors
from .files import Path, reading, zipped
from .hdf5_reader import ATTRIBUTES, MAX_EXPANSION, SPARE
from .keras_guess import read_bare
from .keras_model import Entry, Group, Legacy, walk
from .safetensors import parse_json

MAX_CONFIG = 2**20
SIGNATURE = b"\x89HDF\r\n\x1a\n"
CONTAINERS = ("layers", "_layer_checkpoint_dependencies")

# A damaged file may send the HDF5 library into a loop: seconds to start, and seconds per byte at 10 MB/s.
START_SECONDS, BYTE_SECONDS = 60, 1e-7


def is_file(path: Path, head: bytes) -> bool:
    """Whether a file that starts like this may be one: HDF5, or an archive of a model."""
    return head.startswith(SIGNATURE) or "model.weights.h5" in zipped(path, head)


def read(path: Path) -> tuple[list[Entry], str | None, int]:
    """The layers of a file.

    Returns
    -------
    entries : list of (name, class name, config, list of arrays)
    chain_error : str or None
        Why the layers are no chain.
    version : int
        Of Keras; 3 if the file does not say.

    Raises
    ------
    FormatError, UnsupportedError, OSError
    """
    with reading(path, "a Keras file"):
        with open(path, "rb") as start:
            head = start.read(len(SIGNATURE))
        if zipped(path, head):
            with _unzipped(path) as (config, weights, version):
                return *_entries(config, File(path, weights)), version
        if head != SIGNATURE:
            raise FormatError(str(path), "a Keras archive or an HDF5 file", "another file")
        file = File(path, path)
        version = major(file.attributes.get("keras_version"))
        if "model_config" in file.attributes:
            return *_entries(_config(path, file.attributes["model_config"]), file), version
        return read_bare(file, CONTAINERS), "a file of weights alone holds no model", version


def major(version: Any) -> int:
    """The first number of a version's text, 3 if there is none."""
    found = re.match(r"\d{1,3}(?=\.)", version) if isinstance(version, str) else None
    return int(found[0]) if found else 3


@contextlib.contextmanager
def _unzipped(path: Path) -> Iterator[tuple[dict[str, Any], str, int]]:
    """config.json, parsed, the path of a copy of model.weights.h5 that lives as long as the block, Keras' version."""
    largest = MAX_EXPANSION * os.path.getsize(path) + SPARE
    limits = {"config.json": MAX_CONFIG, "model.weights.h5": largest}
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        for name, limit in limits.items():
            if archive.getinfo(name).file_size > limit:
                raise FormatError(
                    str(path), f"{name} of at most {limit} bytes", archive.getinfo(name).file_size
                )
        config = _config(path, archive.read("config.json").decode())
        says = {}
        if "metadata.json" in archive.namelist() and archive.getinfo("metadata.json").file_size <= MAX_CONFIG:
            says = _config(path, archive.read("metadata.json").decode())
        yield config, archive.extract("model.weights.h5", folder), major(says.get("keras_version"))


def _config(path: Path, text: str) -> dict[str, Any]:
    if len(text) > MAX_CONFIG:
        raise FormatError(str(path), f"a config of at most {MAX_CONFIG} characters", len(text))
    config = parse_json(text)
    if not isinstance(config, dict):
        raise FormatError(str(path), "a model's config", type(config).__name__)
    return config


def _read_hdf5(path: Path, source: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """All arrays of an HDF5 file by path, and its attributes of interest."""
    if importlib.util.find_spec("h5py") is None:
        raise UnsupportedError(str(path), "the package h5py", "none installed")
    limit = START_SECONDS + BYTE_SECONDS * os.path.getsize(source)
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder) / "arrays.safetensors"
        command = [sys.executable, "-P", "-m", "rnncore.formats.hdf5_reader"]
        command += [str(source), str(target), str(os.path.getsize(path))]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired as error:
            raise FormatError(str(path), "a sound HDF5 file", f"no end after {limit:.0f} s") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            got = (
                said[-1][:200]
                if done.returncode > 0 and said
                else f"a crash of its reader ({done.returncode})"
            )
            raise FormatError(str(path), "a sound HDF5 file", got)
        arrays, _ = safetensors.read(target)  # stays mapped although the file goes away
    return arrays, json.loads(bytes(arrays.pop(ATTRIBUTES)))


class File:
    """The arrays of an HDF5 file by their paths.

    Parameters
    ----------
    path : path-like
        For messages.
    source : path-like
        The HDF5 file, if `path` is an archive that holds it.
    """

    def __init__(self, path: Path, source: Path) -> None:
        arrays, attributes = _read_hdf5(path, source)
        self.path: Path = path
        self.arrays: dict[str, np.ndarray] = arrays
        self.attributes: dict[str, Any] = attributes
        self.groups: dict[str, dict[str, list[str]]] = attributes["groups"]
        root = next(
            (name for name in ("model_weights", "") if "layer_names" in self.groups.get(name, {})), None
        )
        self.legacy: str | None = root

    def below(self, group: str) -> list[str]:
        """Names directly below a group, in the file's order."""
        prefix = group + "/"
        return list(
            dict.fromkeys(n[len(prefix) :].split("/")[0] for n in self.arrays if n.startswith(prefix))
        )

    def variables(self, group: str) -> list[np.ndarray]:
        """The arrays 0, 1, 2 ... of a group's ``vars``."""
        names = self.below(f"{group}/vars")
        expected = [str(k) for k in range(len(names))]
        if sorted(names) != sorted(expected):
            raise FormatError(str(self.path), f"arrays 0, 1, 2 ... in {group}", ", ".join(names)[:80])
        return [self.arrays[f"{group}/vars/{k}"] for k in expected]

    def by_class(self, kind: str, count: int, inside: str = "") -> str | None:
        """Keras 3: the group of the layer number `count` of its class, in the group of a model."""
        names = (f"{inside}/{c}/{_snake(kind, count)}".strip("/") for c in CONTAINERS)
        return next((name for name in names if self.below(name)), None)

    def weights(self, group: str | None, cells: Sequence[str] = ()) -> list[np.ndarray]:
        """Keras 3: a layer's arrays in the order of get_weights(); `cells`: classes of stacked cells."""
        if group is None:
            return []
        found = self.variables(group)
        for name in ("cell", "layer", "forward_layer", "backward_layer"):
            if self.below(f"{group}/{name}"):
                found += self.weights(f"{group}/{name}", cells)
        names = [_snake(kind, cells[:k].count(kind)) for k, kind in enumerate(cells)]
        stored = self.below(f"{group}/cells")
        for name in names if set(names) == set(stored) else sorted(stored, key=_number):
            found += self.weights(f"{group}/cells/{name}")
        return found

    def legacy_names(self, name: str) -> list[str]:
        """Keras 2: the names of a layer's arrays in the order of get_weights()."""
        return self.groups.get(f"{self.legacy}/{name}".strip("/"), {}).get("weight_names", [])

    def legacy_weights(self, name: str) -> list[np.ndarray]:
        """Keras 2: a layer's arrays in the order of get_weights()."""
        return [self.legacy_array(name, key) for key in self.legacy_names(name)]

    def legacy_array(self, name: str, key: str) -> np.ndarray:
        """Keras 2: one of a layer's arrays."""
        return self.arrays[f"{self.legacy}/{name}/{key}".strip("/")]

    def legacy_both_ways(self, name: str) -> bool:
        """Keras 2: whether a layer's arrays belong to a forward and a backward layer."""
        keys = self.legacy_names(name)
        return sum("/backward_" in key for key in keys) * 2 == len(keys) > 0


def _snake(kind: str, count: int) -> str:
    """Keras' name of the object number `count` of a class."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower() + (f"_{count}" if count else "")


def _number(name: str) -> int:
    """Sorts lstm_cell, lstm_cell_1, lstm_cell_2 ... as Keras counts them."""
    digits = re.search(r"_(\d{1,9})$", name)
    return int(digits.group(1)) if digits else 0


def _entries(config: dict[str, Any], file: File) -> tuple[list[Entry], str | None]:
    place = Group(file) if file.legacy is None else Legacy(file)
    return walk(config.get("class_name"), config.get("config"), place)
