# SPDX-License-Identifier: MIT
"""The playground's handwriting model: a trained writer in float16, with what the page must know beside its numbers.

python -m examples.handwriting --hidden 192 --out runs/handwriting-192      trains it, in the repository's root
python -m docs.playground.export runs/handwriting-192                       writes docs/playground/writer.safetensors

Prints what rounding to float16 costs: the likelihood of the test writers' digits, and how many generated digits the
example's reader reads as what they should be.
"""

import argparse
import json
from pathlib import Path

import numpy as np

import rnncore
from examples.handwriting.__main__ import BIASES, JUDGE
from examples.handwriting.reader import Reader
from examples.handwriting.strokes import DIGITS, UNIT, load
from examples.handwriting.writer import MAX_MOVES, NEAR, RARE, Writer
from rnncore.formats import safetensors
from rnncore.nn import Sequential

FILE = Path(__file__).with_name("writer.safetensors")
WRITTEN = 2000


def load_reader(path):
    """The reader that the example saved."""
    reader = Reader(1, 0.0, 0)
    reader.model = rnncore.load(path)
    return reader


def begin(drawings):
    """Where people begin each digit: the mean place of the first point, from the middle of its lower edge."""
    starts = []
    for offsets in drawings.offsets:
        path = np.concatenate([np.zeros((1, 2)), np.cumsum(offsets, axis=0)])
        low, high = path.min(axis=0), path.max(axis=0)
        starts.append((-(low[0] + high[0]) / 2, -low[1]))
    starts = np.array(starts)
    return [starts[drawings.labels == digit].mean(axis=0).round().tolist() for digit in range(DIGITS)]


def judge(name, writer, reader, test):
    """Print the likelihood of the test writers' digits, and the share of generated ones that are read correctly."""
    likelihood = -writer.judge(test, np.random.default_rng(JUDGE)).sum()
    labels = np.arange(WRITTEN) % DIGITS
    read = {}
    for bias in BIASES:
        drawn = writer.write(labels, np.random.default_rng(JUDGE), bias)
        read[bias] = (reader.read(drawn, np.random.default_rng(JUDGE))[1] == labels).mean()
    shares = ", ".join(f"{share:.1%} with bias {bias}" for bias, share in read.items())
    print(f"{name}: log-likelihood {likelihood:.3f} nats per point; read correctly {shares}")


def rounded(writer):
    """The same writer with parameters that float16 holds."""
    return [
        {key: values.astype(np.float16) for key, values in module.parameters().items()}
        for module in Sequential(writer.lstm, writer.head)
    ]


def main():
    """Round, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where python -m examples.handwriting left its models")
    folder = parser.parse_args().folder
    recurrent, head = rnncore.load(folder / "writer.safetensors")
    writer, reader = Writer(recurrent.layer, head), load_reader(folder / "reader.safetensors")
    train, _, test = load()
    judge("float32", writer, reader, test)
    halves = rounded(writer)
    for module, parameters in zip((writer.lstm, writer.head), halves, strict=True):
        module.load_state_dict({key: values.astype(np.float32) for key, values in parameters.items()})
    judge("float16", writer, reader, test)
    settings = {
        "unit": UNIT, "near": NEAR, "rare": RARE, "max_moves": MAX_MOVES, "begin": begin(train)
    }  # fmt: skip
    tensors = {f"{k}.{key}": values for k, part in enumerate(halves) for key, values in part.items()}
    safetensors.write(FILE, tensors, {"writer": json.dumps(settings)})
    print(f"{FILE}: {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
