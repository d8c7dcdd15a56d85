# SPDX-License-Identifier: MIT
"""Fuzzing of the readers of files: whatever a file holds gives a result or one sentence.

    python -m tests.fuzz.readers                            a few thousand inputs for each reader
    python -m tests.fuzz.readers onnx --runs 1000000        one reader for longer
    python -m tests.fuzz.readers onnx --atheris --seconds 600   led by the branches it takes (pip install atheris)

An input is what a reader sees inside its container: the header of safetensors, the pickle of a PyTorch archive, the
config of a Keras model, an ONNX model; the container around it is made sound, so that damage reaches the reader. Of
HDF5 it is the file, read in a process of its own, so there are fewer inputs. Seeds are in `corpus/<reader>`; an input
that brings out anything else than a sentence is written there as `found-...`.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import io
import pickletools
import random
import re
import struct
import sys
import tempfile
import traceback
import types
import warnings
import zipfile
from pathlib import Path

import numpy as np

from rnncore import formats
from rnncore.errors import RnncoreError
from rnncore.formats import keras, keras_file

CORPUS = Path(__file__).parent / "corpus"
MOST = 1 << 16  # bytes of an input
TOKENS = {
    "safetensors": [
        b'"dtype"', b'"shape"', b'"data_offsets"', b'"F32"', b'"BF16"', b'"__metadata__"', b'"rnncore"', b"[0,0]",
        b'"weight_hh_l0"', b"null", b"-1", b"1e999", b"9223372036854775807", b"true", b"{}", b"[]", b'\\"num_layers\\"',
    ],
    "torch": [
        b"weight_ih_l0", b"weight_hh_l0_reverse", b"_g", b"_v", b"parametrizations.weight.original0", b"ctorch\n",
        b"Q",
        b"ccollections\nOrderedDict\n", b"c_codecs\nencode\n", b"cos\nsystem\n", b"R", b"}", b"]", b"(", b"t", b"u",
        b"N",
        b"\x85", b"\x94", b"K\xff", b"\x8a\x08" + bytes(8), b"ctorch\nFloatStorage\n", b"h\x00", b"b", b"G" + bytes(8),
    ],
    "keras": [
        b'"class_name"', b'"config"', b'"layers"', b'"LSTM"', b'"GRU"', b'"SimpleRNN"', b'"Bidirectional"', b'"RNN"',
        b'"StackedRNNCells"', b'"LSTMCell"', b'"Dense"', b'"TimeDistributed"', b'"inbound_nodes"', b'"output_layers"',
        b'"keras_history"', b'"units"', b'"activation"', b'"name"', b'"layer"', b'"backward_layer"', b'"merge_mode"',
        b'"cell"', b'"cells"', b'"Functional"', b'"Softmax"', b'"axis"', b"null", b"[]", b"{}", b"-1", b"1e999", b"0.5",
    ],
    "onnx": [
        b"LSTM", b"GRU", b"RNN", b"direction", b"bidirectional", b"hidden_size", b"layout", b"clip", b"activations",
        b"Transpose", b"Reshape", b"Squeeze", b"Concat", b"Slice", b"Cast", b"DequantizeLinear", b"W0", b"R0", b"B0",
        b"x",
        b"", b"\x08\x08", b"Constant", b"value", b"Add", b"If", b"then_branch", b"ConstantOfShape", b"h0", b"perm",
        b"axes",
    ],
    "hdf5": [
        b"LSTM", b"GRU", b"SimpleRNN", b"units", b"vars", b"cell", b"layer_names", b"weight_names", b"model_config",
        b"kernel:0", b"TREE", b"SNOD", b"HEAP", b"OHDR", b"\xff" * 8, bytes(8), b"\x00\x01\x00\x00\x00\x00\x00\x00",
    ],
}  # fmt: skip
READERS = tuple(TOKENS)
FEWER = {"hdf5": 40}  # inputs, as many times


# From an input to a file --------------------------------------------------------------------------------------


def safetensors_file(content: bytes) -> bytes:
    """A header, and as many bytes of arrays as it says, if it does not say too many."""
    ends = [int(end) for end in re.findall(rb'"data_offsets": ?\[\d{1,4}, ?(\d{1,4})\]', content)]
    return struct.pack("<Q", len(content)) + content + bytes(max(ends, default=0))


BYTES = {"Float": 4, "Double": 8, "BFloat16": 2, "Half": 2, "Long": 8, "Int": 4, "Byte": 1}


def storages(content: bytes) -> dict[str, int]:
    """Bytes of the storages that a pickle names: PyTorch wants each of its exact size."""
    found, key, kind, count = {}, "0", "Float", 0
    try:
        for operation, argument, _ in pickletools.genops(content):
            if operation.name == "BINUNICODE" and argument.isdecimal():
                key = argument
            elif operation.name == "GLOBAL":
                kind = argument.split()[-1].removesuffix("Storage")
            elif isinstance(argument, int) and operation.name.startswith("BININT"):
                count = argument
            elif operation.name == "BINPERSID":
                found[key] = min(4096, max(0, count * BYTES.get(kind, 4)))
    except Exception as error:
        found.setdefault(type(error).__name__, 0)  # damaged from here on
    return found


def torch_file(content: bytes) -> bytes:
    """An archive with this pickle and its storages."""
    stream = io.BytesIO()
    parts = {f"data/{key}": bytes(size) for key, size in storages(content).items()}
    with zipfile.ZipFile(stream, "w") as archive:
        for name, part in ({"data.pkl": content, "version": b"3\n", "byteorder": b"little"} | parts).items():
            archive.writestr(f"a/{name}", part)
    return stream.getvalue()


class Arrays(keras_file.File):
    """The arrays of a Keras file without HDF5: for any layer some whose shapes may fit."""

    def __init__(self) -> None:
        self.path, self.legacy, self.groups, self.attributes = "model", None, {}, {}
        self.arrays = {}
        for place in ("", "functional/", "sequential/"):
            for name in ("lstm", "lstm_1", "gru", "simple_rnn", "bidirectional", "rnn"):
                gates = {"lstm": 4, "gru": 3}.get(name.split("_")[0], 1)
                self._cell(f"{place}layers/{name}/cell", gates)
            for way in ("forward_layer", "backward_layer"):
                self._cell(f"{place}layers/bidirectional/{way}/cell", 4)
            for k, shape in enumerate([(2, 3), (3,)]):
                self.arrays[f"{place}layers/dense/vars/{k}"] = np.zeros(shape, np.float32)

    def _cell(self, group: str, gates: int) -> None:
        for k, shape in enumerate([(3, 2 * gates), (2, 2 * gates), (2 * gates,)]):
            self.arrays[f"{group}/vars/{k}"] = np.zeros(shape, np.float32)


ARRAYS = Arrays()


def read_keras(content: bytes) -> None:
    """As the door reads a Keras archive, from its config on."""
    with formats.files.parsing("model", "a Keras file"):
        config = keras_file._config("model", content.decode())
        used(keras._read_entries(*keras_file._entries(config, ARRAYS), 3))


def used(found: formats.Contents) -> None:
    """Do with contents what callers do."""
    for name in found.records:
        found.record(name)
    if found.records or found.stages:
        found.whole()


LOADERS = {
    "safetensors": formats.load,
    "torch": formats.torch.load,
    "onnx": formats.onnx.load,
    "hdf5": keras.load,
}


class Fuzzer:
    """Gives inputs to one reader.

    Parameters
    ----------
    reader : str
        One of READERS.
    folder : path-like
        For its files.
    """

    def __init__(self, reader: str, folder: Path) -> None:
        self.reader: str = reader
        self.path: Path = Path(folder) / f"{reader}.{'h5' if reader == 'hdf5' else 'bin'}"
        self.seeds: list[bytes] = [path.read_bytes() for path in sorted((CORPUS / reader).iterdir())]
        self.outcomes: collections.Counter[str] = collections.Counter()

    def read(self, content: bytes) -> None:
        """Read an input; raises what is neither a result nor a sentence."""
        try:
            if self.reader == "keras":
                read_keras(content)
            else:
                make = {"safetensors": safetensors_file, "torch": torch_file}.get(self.reader, bytes)
                self.path.write_bytes(make(content))
                used(LOADERS[self.reader](self.path))
        except RnncoreError as error:
            text = str(error)
            if len(text) > 2000 or not text.isprintable():
                raise AssertionError(f"not a sentence: {text[:200]!r}") from error
            self.outcomes[f"{type(error).__name__}: {error.expected}"[:60]] += 1
            return
        self.outcomes["read"] += 1

    def found(self, content: bytes) -> Path:
        """Where an input is kept that brought out something else."""
        path = CORPUS / self.reader / f"found-{hashlib.sha256(content).hexdigest()[:12]}"
        path.write_bytes(content)
        return path

    # Mutations

    def mutated(self, content: bytes, rng: random.Random) -> bytes:
        """An input with a few changes."""
        for _ in range(rng.choice((1, 1, 2, 3, 8))):
            content = rng.choice(CHANGES)(content or b"0", rng, self)
        return content[:MOST]

    def run(self, runs: int, seed: int = 0) -> list[Path]:
        """So many inputs from the seeds; files of those that brought out something else."""
        rng, kept, files = random.Random(seed), list(self.seeds), []
        for content in self.seeds:
            files += self.tried(content)
        for _ in range(runs // FEWER.get(self.reader, 1)):
            known = len(self.outcomes)
            content = self.mutated(rng.choice(kept), rng)
            files += self.tried(content)
            if len(self.outcomes) > known and len(kept) < 4096:  # it says what none has said before
                kept.append(content)
        return files

    def tried(self, content: bytes) -> list[Path]:
        """Read an input; the file that keeps it if that brings out something else."""
        try:
            self.read(content)
        except Exception:
            traceback.print_exc()
            return [self.found(content)]
        return []


def _flip(content: bytes, rng: random.Random, fuzzer: Fuzzer) -> bytes:
    k = rng.randrange(len(content))
    return content[:k] + bytes([content[k] ^ 1 << rng.randrange(8)]) + content[k + 1 :]


def _set(content: bytes, rng: random.Random, fuzzer: Fuzzer) -> bytes:
    k = rng.randrange(len(content))
    return content[:k] + bytes([rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))]) + content[k + 1 :]


def _cut(content: bytes, rng: random.Random, fuzzer: Fuzzer) -> bytes:
    start = rng.randrange(len(content))
    return content[:start] + content[start + rng.choice((1, 2, 8, 64)) :]


def _repeat(content: bytes, rng: random.Random, fuzzer: Fuzzer) -> bytes:
    start = rng.randrange(len(content))
    piece = content[start : start + rng.choice((1, 4, 16, 64, 256))]
    return content[:start] + piece * rng.choice((2, 2, 3, 100)) + content[start + len(piece) :]


def _token(content: bytes, rng: random.Random, fuzzer: Fuzzer) -> bytes:
    k, token = rng.randrange(len(content)), rng.choice(TOKENS[fuzzer.reader])
    return content[:k] + token + content[k + rng.choice((0, len(token))) :]


def _splice(content: bytes, rng: random.Random, fuzzer: Fuzzer) -> bytes:
    other = rng.choice(fuzzer.seeds)
    return content[: rng.randrange(len(content))] + other[rng.randrange(len(other) or 1) :]


def _swap(content: bytes, rng: random.Random, fuzzer: Fuzzer) -> bytes:
    """One of the words of the seeds in place of another, of the same length where there is one."""
    present = [token for token in TOKENS[fuzzer.reader] if token and token in content]
    if not present:
        return _token(content, rng, fuzzer)
    old = rng.choice(present)
    fitting = [token for token in TOKENS[fuzzer.reader] if len(token) == len(old)]
    return content.replace(old, rng.choice(fitting if rng.random() < 0.5 else TOKENS[fuzzer.reader]), 1)


def _number(content: bytes, rng: random.Random, fuzzer: Fuzzer) -> bytes:
    """Another number in place of one in a text."""
    places = [k for k, byte in enumerate(content) if 48 <= byte <= 57]
    if not places:
        return _set(content, rng, fuzzer)
    k = rng.choice(places)
    return (
        content[:k]
        + rng.choice((b"0", b"7", b"-1", b"65536", b"1e9", b"0.5", b"null", b'"a"'))
        + content[k + 1 :]
    )


CHANGES = (_flip, _set, _cut, _repeat, _token, _splice, _swap, _number)


# Command line --------------------------------------------------------------------------------------------------


def functions_of(package: str) -> list[types.FunctionType]:
    """The functions and methods of a package."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(package)]
    own = [value for module in modules for value in vars(module).values()]
    methods = [value for kind in own if isinstance(kind, type) for value in vars(kind).values()]
    return [
        value
        for value in {id(value): value for value in own + methods}.values()
        if isinstance(value, types.FunctionType) and value.__module__.startswith(package)
    ]


def with_atheris(fuzzer: Fuzzer, seconds: int) -> None:
    """Coverage-led fuzzing; ends the process."""
    import atheris

    for function in functions_of("rnncore.formats"):
        atheris.instrument_func(function)

    def one(content: bytes) -> None:
        try:
            fuzzer.read(content)
        except Exception:
            fuzzer.found(content)
            raise

    def mutate(content: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.3:
            return atheris.Mutate(content, most)
        return fuzzer.mutated(content, rng)[:most]

    found = tempfile.mkdtemp()
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={MOST}",
        "-print_final_stats=1",
        f"-artifact_prefix={found}/",
    ]
    atheris.Setup([sys.argv[0], *options, found, str(CORPUS / fuzzer.reader)], one, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> int:
    """The exit code: 1 if an input brought out something else than a sentence."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reader", nargs="?", choices=READERS)
    parser.add_argument("--runs", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", action="store_true")
    parser.add_argument("--seconds", type=int, default=600)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    files = []
    with tempfile.TemporaryDirectory() as folder:
        for reader in [arguments.reader] if arguments.reader else READERS:
            fuzzer = Fuzzer(reader, Path(folder))
            if arguments.atheris:
                with_atheris(fuzzer, arguments.seconds)
            files += fuzzer.run(arguments.runs, arguments.seed)
            inputs = sum(fuzzer.outcomes.values())
            print(
                f"{reader}: {inputs} inputs, {len(fuzzer.outcomes)} outcomes, {fuzzer.outcomes['read']} read"
            )
    print("\n".join(map(str, files)) or "all read or refused in a sentence")
    return 1 if files else 0


if __name__ == "__main__":
    sys.exit(main())
