# SPDX-License-Identifier: MIT
"""The run whose hash the page shows, on this machine: `page_bits` of page.c is the same run in WebAssembly.

python docs/playground/native.py        the hash on every instruction set this CPU has
"""

import hashlib
import itertools

import numpy as np

import rnncore

T, N, I, H = 12, 5, 7, 21  # noqa: E741  the project's words for sizes
LENGTHS = np.array([12, 7, 0, 1, 10])
RUNS = [(cell, dtype) for cell in (rnncore.LSTM, rnncore.GRU) for dtype in ("float32", "float64")]


def fractions():
    """Endless whole numbers of 24 bits as fractions from -0.5 to 0.5, exact in both dtypes."""
    for k in itertools.count(1):
        yield (((k * 2654435761) % 2**32) >> 8) * 2.0**-24 - 0.5


def outputs(cell, dtype):
    """The bytes of y, h_n and c_n of two layers in both directions over rows of unequal length."""
    layer = cell(I, H, num_layers=2, bidirectional=True, dtype=dtype)
    drawn = fractions()

    def array(shape):
        return np.fromiter(itertools.islice(drawn, int(np.prod(shape))), dtype).reshape(shape)

    layer.load_state_dict({name: array(values.shape) for name, values in layer.parameters().items()})
    y, state = layer(array((T, N, I)), lengths=LENGTHS)
    return b"".join(values.tobytes() for values in (y, *(state if isinstance(state, tuple) else (state,))))


def sha256(isa):
    """The hash of all runs on an instruction set."""
    with rnncore.use_isa(isa):
        return hashlib.sha256(b"".join(outputs(*run) for run in RUNS)).hexdigest()


if __name__ == "__main__":
    for name in rnncore.isas():
        print(f"{sha256(name)}  {name}")
