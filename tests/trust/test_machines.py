# SPDX-License-Identifier: MIT
"""Random sequences of calls of one layer and of one stream, each compared with a model of what it should be.

The model of a layer is its twin and a copy of its parameters; that of a stream a state for each row, which calls of the
layer on this row alone carry on.
"""

import copy
import pickle
import tempfile
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import tables
from compiled import as_state, assert_near, assert_same_bits, build, examples, flat, parts_of
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import rnncore
from rnncore import errors, reference

SHAPE = tables.Shape(4, 3, 3, 6)
CELLS = st.sampled_from(tables.CELLS)
SEEDS = st.integers(0, 2**16)
DTYPES = st.sampled_from(["float32", "float64"])


def drawn(seed, *shape, dtype="float64"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


class LayerMachine(RuleBasedStateMachine):
    """A layer, its parameters as they should be, and the tapes of its calls with what their gradients should be."""

    tapes = Bundle("tapes")

    @initialize(cell=CELLS, both=st.booleans(), first=st.booleans(), layers=st.sampled_from([1, 2]))
    def start(self, cell, both, first, layers):
        self.options = {"bidirectional": both, "batch_first": first, "num_layers": layers}
        self.cell = cell
        self.layer = build(cell, SHAPE, "float64", **self.options)
        self.twin = build(cell, SHAPE, "float64", reference, **self.options)
        self.values = self.layer.state_dict()

    def arguments(self, seed, ragged, with_state):
        """Random x, state and lengths."""
        spec, T, N = self.layer.spec, SHAPE.T, SHAPE.N
        x = drawn(seed, *((N, T) if spec.batch_first else (T, N)), SHAPE.I)
        state = None
        if with_state:
            state = as_state([drawn(seed + k, *shape) for k, shape in enumerate(spec.state_shapes(N))])
        return x, state, np.random.default_rng(seed).integers(0, T + 1, N) if ragged else None

    @rule(seed=SEEDS, ragged=st.booleans(), state=st.booleans(), threads=st.sampled_from([1, 2, 3]),
          isa=st.sampled_from(rnncore.isas()))  # fmt: skip
    def call(self, seed, ragged, state, threads, isa):
        x, state, lengths = self.arguments(seed, ragged, state)
        with rnncore.use_isa(isa):
            got = self.layer(x, state, lengths=lengths, num_threads=threads)
        with rnncore.use_backend("naive"):
            assert_same_bits(got, self.layer(x, state, lengths=lengths))
        assert_near("forward", "float64", got, self.twin(x, state, lengths=lengths))

    @rule(target=tapes, seed=SEEDS, ragged=st.booleans(), checkpoint=st.sampled_from([None, "gates", 2]))
    def record(self, seed, ragged, checkpoint):
        x, state, lengths = self.arguments(seed, ragged, True)
        y, final, tape = self.layer.forward(x, state, lengths=lengths, checkpoint=checkpoint)
        assert_same_bits((y, final), self.layer(x, state, lengths=lengths))
        twin = self.twin.forward(x, state, lengths=lengths)[2]
        return {"tape": tape, "twin": twin, "owner": self.layer, "version": self.layer.version, "dy": y * 2}

    @rule(kept=consumes(tapes), num_threads=st.sampled_from([1, 3]))
    def backward(self, kept, num_threads):
        fits = kept["owner"] is self.layer and kept["version"] == self.layer.version
        if not fits:
            with pytest.raises(errors.TapeError):
                self.layer.backward(kept["tape"], kept["dy"])
            return
        with pytest.raises(errors.ShapeError):
            self.layer.backward(kept["tape"], kept["dy"][:-1])
        grads = self.layer.backward(kept["tape"], kept["dy"])
        assert_near(
            "gradient", "float64", flat(vars(grads)), flat(vars(self.twin.backward(kept["twin"], kept["dy"])))
        )
        with pytest.raises(errors.TapeError, match="used"):
            self.layer.backward(kept["tape"], kept["dy"])

    @rule(seed=SEEDS, share=st.floats(0, 1))
    def update(self, seed, share):
        rng = np.random.default_rng(seed)
        changed = {
            name: value * rng.uniform(0.5, 1.1, value.shape)
            for name, value in self.values.items()
            if rng.random() <= share
        }
        self.layer.update_parameters(changed)
        self.set(self.values | changed)

    @rule()
    def reload(self):
        self.layer.load_state_dict(self.layer.parameters())
        self.set(self.values)

    @rule(seed=SEEDS)
    def refused_update(self, seed):
        """Half of it is sound: nothing of it may be taken."""
        names = sorted(self.values)
        bad = {names[0]: self.values[names[0]] * 0, names[-1]: self.values[names[-1]][:-1]}
        version = self.layer.version
        with pytest.raises(errors.ShapeError):
            self.layer.update_parameters(bad)
        assert self.layer.version == version

    @rule(seed=SEEDS)
    def train(self, seed):
        x, state, lengths = self.arguments(seed, False, False)
        y, _, tape = self.layer.forward(x, state, lengths=lengths)
        grads = self.layer.backward(tape, y)
        rnncore.SGD(self.layer, lr=0.01, clip_norm=1.0).step(grads)
        norm = max(1.0, np.sqrt(sum(np.sum(g * g) for g in grads.params.values())))
        expected = {name: value - 0.01 / norm * grads.params[name] for name, value in self.values.items()}
        assert_near("forward", "float64", self.layer.state_dict(), expected)
        self.set(self.layer.state_dict())

    @rule(how=st.sampled_from(["file", "pickle", "deepcopy", "copy"]))
    def renew(self, how):
        """Another layer of the same parameters; tapes of the old one are not its own."""
        old = self.layer
        if how == "file":
            with tempfile.TemporaryDirectory() as folder:
                old.save(Path(folder) / "layer.safetensors")
                self.layer = rnncore.load(Path(folder) / "layer.safetensors")
        else:
            make = {"pickle": lambda layer: pickle.loads(pickle.dumps(layer))} | vars(copy)
            self.layer = make[how](old)
        assert self.layer.spec == old.spec
        old.load_state_dict({name: value * 0 for name, value in self.values.items()})

    def set(self, values):
        self.values = {name: np.array(value) for name, value in values.items()}
        self.twin.load_state_dict(self.values)

    @invariant()
    def parameters_are_those_that_were_set(self):
        if hasattr(self, "layer"):
            assert_same_bits(dict(self.layer.parameters()), self.values)
            assert not any(array.flags.writeable for array in self.layer.parameters().values())


class StreamMachine(RuleBasedStateMachine):
    """A stream, and for each of its rows the state that it should have."""

    @initialize(cell=CELLS, dtype=DTYPES, layers=st.sampled_from([1, 2]), rows=st.integers(1, 4))
    def start(self, cell, dtype, layers, rows):
        self.layer = build(cell, SHAPE, dtype, num_layers=layers)
        self.stream, self.dtype = self.layer.stream(rows), dtype
        self.rows = [self.zero() for _ in range(rows)]

    def zero(self):
        """The state of a new row, (L, 1, .) parts."""
        return as_state([np.zeros(shape, self.dtype) for shape in self.layer.spec.state_shapes(1)])

    def alone(self, row, x):
        """Output of one row's steps (T, I), each row by itself; its state goes on."""
        y, self.rows[row] = self.layer(x[:, np.newaxis], self.rows[row])
        return y[:, 0]

    def whole(self):
        """The rows' states as one."""
        each = [parts_of(state) for state in self.rows]
        return as_state([np.concatenate(parts, axis=1) for parts in zip(*each, strict=True)])

    @rule(seed=SEEDS, layout=st.sampled_from(["plain", "strided", "out", "strided out", "one"]))
    def step(self, seed, layout):
        x = drawn(seed, len(self.rows), SHAPE.I, dtype=self.dtype)
        expected = np.stack([self.alone(k, row[np.newaxis])[0] for k, row in enumerate(x)])
        given = np.repeat(x, 2, axis=1)[:, ::2] if "strided" in layout else x
        if layout == "one" and len(x) == 1:
            assert_same_bits(self.stream.step(x[0]), expected[0])
        elif "out" in layout:
            out = np.zeros((2, *expected.shape), self.dtype)[0 if layout == "out" else slice(None), :]
            out = out if layout == "out" else np.moveaxis(out, 0, -1)[..., 0]
            assert self.stream.step(given, out) is out
            assert_same_bits(np.array(out), expected)
        else:
            assert_same_bits(self.stream.step(given), expected)

    @rule(seed=SEEDS, T=st.integers(0, 5))
    def run(self, seed, T):
        x = drawn(seed, T, len(self.rows), SHAPE.I, dtype=self.dtype)
        expected = np.stack([self.alone(k, x[:, k]) for k in range(len(self.rows))], axis=1)
        assert_same_bits(self.stream.run(x), expected)

    @rule(data=st.data(), new=st.integers(0, 3))
    def select(self, data, new):
        kept = data.draw(st.lists(st.integers(0, len(self.rows) - 1), unique=True, max_size=len(self.rows)))
        order = data.draw(st.permutations(kept + [-1] * (new if kept else max(1, new))))
        self.stream.select(np.array(order))
        self.rows = [self.zero() if k < 0 else self.rows[k] for k in order]
        assert len(order) == self.stream.N

    @rule(seed=SEEDS)
    def set_state(self, seed):
        shapes = self.layer.spec.state_shapes(len(self.rows))
        given = as_state([drawn(seed + k, *shape, dtype=self.dtype) for k, shape in enumerate(shapes)])
        self.stream.state = given
        self.rows = [
            as_state([part[:, k : k + 1].copy() for part in parts_of(given)]) for k in range(len(self.rows))
        ]

    @rule()
    def reset(self):
        self.stream.reset()
        self.rows = [self.zero() for _ in self.rows]

    @rule(seed=SEEDS)
    def new_parameters(self, seed):
        """The state stays, and what follows has the new parameters."""
        rng = np.random.default_rng(seed)
        values = self.layer.state_dict()
        self.layer.load_state_dict(
            {n: (v * rng.uniform(0.5, 1.1)).astype(v.dtype) for n, v in values.items()}
        )

    @rule(how=st.sampled_from([copy.copy, copy.deepcopy, lambda stream: pickle.loads(pickle.dumps(stream))]))
    def copied(self, how):
        """A deep copy, as a pickle, brings its own layer."""
        old = self.stream
        self.stream = how(old)
        self.layer = self.stream._layer
        old.reset()

    @rule(what=st.sampled_from(["rows", "dtype", "features", "out", "select", "state", "chunk"]))
    def refused(self, what):
        n, stream = len(self.rows), self.stream
        x = np.zeros((n, SHAPE.I), self.dtype)
        call = {
            "rows": lambda: stream.step(np.zeros((n + 1, SHAPE.I), self.dtype)),
            "dtype": lambda: stream.step(x.astype(np.float16)),
            "features": lambda: stream.step(x[:, 1:]),
            "out": lambda: stream.step(x, x),
            "select": lambda: stream.select([n]),
            "state": lambda: setattr(stream, "state", np.zeros(3)),
            "chunk": lambda: stream.run(np.zeros((2, n + 1, SHAPE.I), self.dtype)),
        }[what]
        with pytest.raises(errors.RnncoreError):
            call()

    @invariant()
    @precondition(lambda self: hasattr(self, "stream"))
    def state_is_that_of_the_rows(self):
        assert_same_bits(self.stream.state, self.whole())


def machine(kind, count):
    settings = hypothesis.settings(examples(count), stateful_step_count=20)
    run_state_machine_as_test(kind, settings=settings)


@pytest.mark.parametrize("kind", [LayerMachine, StreamMachine])
def test_any_sequence_of_calls(kind):
    machine(kind, 12)
    assert kind.TestCase is not None


@pytest.mark.full
@pytest.mark.parametrize("kind", [LayerMachine, StreamMachine])
def test_many_sequences_of_calls(kind):
    machine(kind, 150)
    assert kind.TestCase is not None
