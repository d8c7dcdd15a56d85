# SPDX-License-Identifier: MIT
"""SHA-256 of what each case gives on one thread, and the table that pins them.

    python -m tests.bits.hashes             adds the cases that the table lacks
    python -m tests.bits.hashes --replace   also replaces those that have changed, and drops those without a case

A line of hashes.json is a case; a hash per kind of result says where bits have changed: `inference` (y and final
state of a call), `training` (the same of `forward`), `gradients` (x, initial state, parameters by name), `stream`
(y of each step and the last state; of layers that can stream).  All instruction sets give the same, so that the
table has one entry for them all.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np

import rnncore

from .cases import CASES, fractions

TABLE = Path(__file__).with_name("hashes.json")


def _parts(state):
    return state if isinstance(state, tuple) else (state,)


def digest(*arrays):
    """SHA-256, in hexadecimal digits, of shapes, dtypes and little-endian elements."""
    total = hashlib.sha256()
    for array in arrays:
        assert np.isfinite(array).all(), "a result that is not finite pins nothing"
        total.update(f"{array.shape} {array.dtype.name}\n".encode())
        total.update(array.astype(array.dtype.newbyteorder("<"), order="C").tobytes())
    return total.hexdigest()


def _stream(case, layer, state):
    """y of single steps and the last state, in the layout of `layer(x)`."""
    stream = layer.stream(case.call.N)
    if state is not None:
        batch = _parts(state) if case.call.batched else tuple(part[:, np.newaxis] for part in _parts(state))
        stream.state = batch if isinstance(state, tuple) else batch[0]
    axis = 1 if case.call.layer.get("batch_first") else 0
    y = np.stack([stream.step(x).copy() for x in np.moveaxis(case.x, axis, 0)], axis)
    last = _parts(stream.state)
    return y, *(last if case.call.batched else (part[:, 0] for part in last))


def hashes(case):
    """The hash of each kind of result of a case, on the present instruction set."""
    call, layer = case.call, case.build()
    lengths = None if call.lengths is None else np.array(call.lengths)
    final = layer(case.x, num_threads=1)[1]
    state = case.like("state_", final) if call.state else None
    arguments = {"lengths": lengths, "num_threads": 1}
    found = {}
    y, final = layer(case.x, state, **arguments)
    found["inference"] = digest(y, *_parts(final))
    y, final, tape = layer.forward(case.x, state, **arguments, **call.forward)
    found["training"] = digest(y, *_parts(final))
    upstream = {"dy": fractions("dy", y.shape, case.dtype), "dstate": case.like("dstate_", final)}
    grads = layer.backward(tape, *(upstream[k] if k in call.gradients else None for k in ("dy", "dstate")))
    assert list(grads.params) == list(layer.parameters())
    found["gradients"] = digest(grads.x, *_parts(grads.state), *grads.params.values())
    if case.streams:
        found["stream"] = digest(*_stream(case, layer, state))
    return found


def everywhere(case):
    """The hashes of a case on every instruction set of this machine, by its name."""
    found = {}
    for isa in rnncore.isas():
        with rnncore.use_isa(isa):
            found[isa] = hashes(case)
    return found


def read():
    """The table: hashes by case."""
    return json.loads(TABLE.read_text()) if TABLE.exists() else {}


def write(table):
    """Write the table, sorted, a case a line."""
    lines = [f"{json.dumps(name)}: {json.dumps(table[name])}" for name in sorted(table)]
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def differences(expected, found):
    """The kinds of result that are not as expected, by instruction set; empty if all are."""
    wrong = {
        isa: sorted(kind for kind in expected.keys() | got.keys() if expected.get(kind) != got.get(kind))
        for isa, got in found.items()
    }
    return {isa: kinds for isa, kinds in wrong.items() if kinds}


def measured():
    """The hashes of all cases; ValueError where instruction sets disagree."""
    table = {}
    for name, case in CASES.items():
        found = everywhere(case)
        table[name] = next(iter(found.values()))
        wrong = differences(table[name], found)
        if wrong:
            raise ValueError(f"{name}: instruction sets disagree: {wrong}")
    return table


def main():
    parser = argparse.ArgumentParser(description="Pin the bits of the cases that hashes.json lacks.")
    parser.add_argument("--replace", action="store_true", help="also replace and drop what the table has")
    replace = parser.parse_args().replace
    old, new = read(), measured()
    changed = [name for name in old if old[name] != new.get(name)]
    if changed and not replace:
        sys.exit(f"{len(changed)} entries differ, nothing written (--replace): " + " ".join(changed))
    write(new)
    print(f"{len(new)} cases, {len(new.keys() - old.keys())} added, {len(changed)} replaced or dropped")


if __name__ == "__main__":
    main()
