# SPDX-License-Identifier: MIT
"""Fleets: each model's outputs and gradients are those of its layer alone, to the last bit."""

import copy
import pickle

import numpy as np
import pytest
import tables
from compiled import CELL, DTYPE, ISA, ISAS, assert_same_bits

import rnncore
from rnncore.engine import _core
from rnncore.errors import (
    ArgumentError,
    DTypeError,
    FormatError,
    LengthsError,
    ShapeError,
    TapeError,
    UnsupportedError,
)
from rnncore.spec import CELLS

M, T, N, X, H = 19, 6, 3, 3, 5  # more models than a vector has lanes, and some that are left
OPTIONS = {
    "plain": {},
    "deep": {"num_layers": 2, "bidirectional": True},
    "batch-first": {"batch_first": True, "bias": False},
}
LENGTHS = np.random.default_rng(5).integers(0, T + 1, (M, N))
CALLS = {
    "all": {},
    "ragged": {"lengths": LENGTHS[0]},
    "ragged-by-model": {"lengths": LENGTHS},
    "resting": {"active": np.arange(M) % 3 > 0},
    "segments": {"checkpoint": 2},
    "dropped": {"recurrent_dropout": 0.3, "weight_dropout": 0.2},
}


def build(cell, dtype="float32", **options):
    options = {"dtype": dtype} | cell.options(H) | options
    (name,) = [name for name, row in CELLS.items() if row.title == cell.layer]
    return rnncore.Fleet(name, X, H, models=M, seed=3, **options)


def arrays(fleet, seed=0):
    """x, state, dy, dstate of a call."""
    spec, rng = fleet.layer_spec, np.random.default_rng(seed)
    rows = (N, T) if spec.batch_first else (T, N)

    def state():
        parts = [rng.standard_normal((M, *shape)).astype(spec.dtype) for shape in spec.state_shapes(N)]
        return tuple(parts) if len(parts) > 1 else parts[0]

    x, dy = (rng.standard_normal((M, *rows, size)).astype(spec.dtype) for size in (X, spec.y_size))
    return x, state(), dy, state()


def of_model(value, m):
    """What of a call's arguments or results is model m's."""
    if isinstance(value, tuple):
        return tuple(of_model(part, m) for part in value)
    return value[m]


def own_options(options, m):
    """A fleet's options as its model m has them."""
    own = {name: value for name, value in options.items() if name != "active"}
    if np.ndim(own.get("lengths")) == 2:
        own["lengths"] = own["lengths"][m]
    return own


def zeros_like(value):
    return tuple(map(zeros_like, value)) if isinstance(value, tuple) else np.zeros_like(value)


def train(model, x, state, dy, dstate, **options):
    y, after, tape = model.forward(x, state, **options)
    grads = model.backward(tape, dy, dstate)
    return y, after, grads.x, grads.state, tuple(grads.params.values())


def compare(fleet, options, num_threads=1):
    x, state, dy, dstate = arrays(fleet)
    layers = fleet.unstack()
    got = train(fleet, x, state, dy, dstate, **options, num_threads=num_threads)
    active = options.get("active", np.ones(M, bool))
    for m, layer in enumerate(layers):
        parts = [of_model(part, m) for part in (x, state, dy, dstate)]
        expected = train(layer, *parts, **own_options(options, m))
        assert_same_bits(of_model(got, m), expected if active[m] else zeros_like(expected))


@CELL
@DTYPE
@ISA
@pytest.mark.parametrize("name", CALLS)
def test_models_are_their_layers(cell, dtype, isa, name):
    fleet = build(cell, dtype)
    with rnncore.use_isa(isa):
        compare(fleet, CALLS[name])


@CELL
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("architecture", ["deep", "batch-first"])
@pytest.mark.parametrize("threads", [1, 2])
def test_architectures_and_threads(cell, name, architecture, threads):
    compare(build(cell, **OPTIONS[architecture]), CALLS[name], threads)


@pytest.mark.parametrize(
    "cell", [c for c in tables.CELLS if c.id in ("lstm", "gru_norm")], ids=lambda c: c.id
)
@pytest.mark.parametrize(
    "options", [{"dropout": 0.4, "num_layers": 2}, {"zoneout": 0.3}, {"store": "bfloat16"}]
)
def test_options_that_only_units_have(cell, options):
    compare(build(cell, **options), {})


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("H_", [1, 8, 23, 30])
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_every_width_of_panels(isa, H_, rows):
    """Lanes as models and as units, whatever the rule says."""
    fleet = rnncore.Fleet("gru", 2, H_, models=18, seed=1)
    x = np.random.default_rng(0).standard_normal((18, 9, rows, 2)).astype(np.float32)
    with rnncore.use_isa(isa):
        found = []
        for laned in (True, False):
            weights, y = fleet.packed(_core.FORWARD, laned), np.empty((18, 9, rows, H_), np.float32)
            final = (np.empty((18, 1, rows, H_), np.float32),)
            weights.packed.forward(
                9,
                rows,
                x,
                y,
                (None,),
                final,
                None,
                None,
                None,
                None,
                False,
                1,
                rnncore.engine.threads.team_for(1),
            )
            found.append((y, *final))
        assert weights.plan.models == 1
    assert_same_bits(*found)


def test_lanes_are_models_where_the_core_can():
    def models(**options):
        cell = options.pop("cell", "gru")
        return rnncore.Fleet(cell, X, H, models=2, **options).packed(_core.FORWARD, True).plan.models

    lanes = {"avx512": 16, "avx2": 8, "neon": 4, "scalar": 1}
    for isa in ISAS:
        with rnncore.use_isa(isa):
            assert models() == lanes[isa]
            assert models(cell="lstm", peepholes=True, num_layers=2) == lanes[isa]
            assert models(layer_norm=True) == models(zoneout=0.1) == models(store="float16") == 1
            assert models(dropout=0.1, num_layers=2) == 1


def test_one_x_for_all():
    fleet = build(tables.CELLS[4])
    x, *_ = arrays(fleet)
    assert_same_bits(fleet(x[2]), fleet(np.stack([x[2]] * M)))
    _, _, tape = fleet.forward(x[2])
    dy = np.ones((M, T, N, H), np.float32)
    assert fleet.backward(tape, dy).x.shape == x.shape


def test_strides():
    fleet = build(tables.CELLS[2])
    x, state, dy, _ = arrays(fleet)
    wide = np.repeat(np.repeat(x, 2, axis=3), 2, axis=1)
    out = np.zeros((T, M, H, N), np.float32).transpose(1, 0, 3, 2)
    assert fleet(wide[:, ::2, :, ::2], state, out=out)[0] is out
    assert_same_bits(out, fleet(x, state)[0])
    grads = []
    for given in (dy, np.asfortranarray(dy)):
        _, _, tape = fleet.forward(x, state)
        grads.append(fleet.backward(tape, given, input_grad=False).params)
    assert_same_bits(*grads)


@pytest.mark.parametrize("backend", ["naive", "blas"])
def test_backends(backend):
    fleet = build(tables.CELLS[2])
    x, state, *_ = arrays(fleet)
    if backend == "blas":
        pytest.importorskip("scipy")
    active = np.arange(M) != 4
    with rnncore.use_backend(backend):
        got = fleet(x, state, active=active, lengths=LENGTHS)
        for m, layer in enumerate(fleet):
            expected = layer(x[m], of_model(state, m), lengths=LENGTHS[m])
            assert_same_bits(of_model(got, m), expected if active[m] else zeros_like(expected))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_stream(cell, batch_first):
    fleet = rnncore.Fleet(cell, X, H, models=M, seed=0, num_layers=2, batch_first=batch_first)
    x, state, *_ = arrays(fleet)
    time = 2 if batch_first else 1
    y, after = fleet(x, state)
    stream = fleet.stream(N)
    stream.state = state
    steps = [stream.step(x.take(t, time)) for t in range(2)]
    rest = stream.run(x[:, :, 2:] if batch_first else x[:, 2:])
    assert_same_bits(np.concatenate([np.stack(steps, time), rest], time), y)
    assert_same_bits(stream.state, after)
    before, active = stream.state, np.arange(M) < 7
    assert not stream.step(x.take(0, time), active=active)[7:].any()
    assert_same_bits(of_model(before, 9), of_model(stream.state, 9))
    stream.reset()
    assert not any(part.any() for part in (stream.state if cell == "lstm" else (stream.state,)))


def test_seeds_and_stacks():
    fleet = rnncore.Fleet("lstm", X, H, models=3, seed=(7, 1), dropout=0.5, num_layers=2)
    layers = [rnncore.LSTM(X, H, 2, seed=(7, 1, m), dropout=0.5) for m in range(3)]
    x = np.ones((T, N, X), np.float32)
    for one, other in zip(fleet, layers, strict=True):
        assert_same_bits(one.parameters(), other.parameters())
        assert_same_bits(one.forward(x)[0], other.forward(x)[0])
    stacked = rnncore.Fleet.stack(layers)
    assert_same_bits(stacked.parameters(), fleet.parameters())
    assert len(stacked) == 3
    assert_same_bits(stacked[-1].parameters(), layers[2].parameters())
    fresh = rnncore.Fleet("gru", X, H, models=2)
    assert (fresh.parameters()["weight_hh_l0"][0] != fresh.parameters()["weight_hh_l0"][1]).any()
    sequence = np.random.SeedSequence(5)
    assert_same_bits(*(rnncore.Fleet("gru", X, H, models=2, seed=sequence).parameters() for _ in range(2)))


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda fleet: pickle.loads(pickle.dumps(fleet))])
def test_copies(again):
    fleet = rnncore.Fleet("gru", X, H, models=M, seed=0)
    other = again(fleet)
    x = np.ones((T, N, X), np.float32)
    before = fleet(x)[0]
    assert_same_bits(other(x)[0], before)
    other.update_parameters({"bias_hh_l0": np.ones((M, 3 * H), np.float32)})
    assert (other(x)[0] != before).any()
    assert_same_bits(fleet(x)[0], before)


def test_files(tmp_path):
    path = tmp_path / "fleet.safetensors"
    fleet = rnncore.Fleet("lstm", X, H, models=M, seed=0, proj_size=2, dtype="float64")
    fleet.save(path)
    read = rnncore.load(path)
    assert repr(read) == repr(fleet)
    assert_same_bits(read.parameters(), fleet.parameters())
    assert "Fleet" in str(rnncore.formats.load(path).other)
    from rnncore.formats import safetensors

    tensors, metadata = safetensors.read(path)
    for bad in ('"models": 20', '"models": -1', '"models": true', '"models": 1e400'):
        text = metadata["rnncore"].replace(f'"models": {M}', bad)
        safetensors.write(tmp_path / "bad.safetensors", tensors, {"rnncore": text})
        with pytest.raises(FormatError):
            rnncore.load(tmp_path / "bad.safetensors")
    with pytest.raises(UnsupportedError, match="recurrent layer"):
        fleet.save(tmp_path / "fleet.onnx")


def test_errors():
    fleet = rnncore.Fleet("gru", X, H, models=M, seed=0)
    x = np.ones((M, T, N, X), np.float32)
    for wrong in (x[1:], x[..., :2], x[0, 0], x[None]):
        with pytest.raises(ShapeError, match=r"^x: expected shape \(19, T, N, 3\) or \(T, N, 3\)"):
            fleet(wrong)
    with pytest.raises(ShapeError, match="state"):
        fleet(x, np.zeros((1, N, H), np.float32))
    with pytest.raises(LengthsError, match="lengths"):
        fleet(x, lengths=np.full((M, N), T + 1))
    with pytest.raises(ShapeError, match="lengths"):
        fleet(x, lengths=np.ones((N, M), int))
    with pytest.raises(DTypeError, match="active"):
        fleet(x, active=np.ones(M, int))
    with pytest.raises(ShapeError, match="active"):
        fleet(x, active=np.ones(M + 1, bool))
    with pytest.raises(ArgumentError, match="hidden"):
        rnncore.Fleet("gru", X, 4, models=2, hidden=3)
    with pytest.raises(ArgumentError, match="models"):
        rnncore.Fleet("gru", X, 4, models=0)
    with pytest.raises(ArgumentError, match=r"layers\[1\]"):
        rnncore.Fleet.stack([rnncore.GRU(X, 4), rnncore.GRU(X, 5)])
    with pytest.raises(ArgumentError, match="layers"):
        rnncore.Fleet.stack([])
    with pytest.raises(UnsupportedError, match="bidirectional"):
        rnncore.Fleet("gru", X, 4, models=2, bidirectional=True).stream()
    with pytest.raises(IndexError):
        fleet[M]
    y, _, tape = fleet.forward(x)
    with pytest.raises(ShapeError, match="dy"):
        fleet.backward(tape, y[1:])
    fleet.backward(tape, y)
    with pytest.raises(TapeError):
        fleet.backward(tape, y)
    _, _, tape = fleet.forward(x)
    fleet.load_state_dict(fleet.state_dict())
    with pytest.raises(TapeError):
        fleet.backward(tape, y)


def test_infinite_inputs_stay_with_their_model():
    """A lane whose numbers overflow leaves its neighbours alone."""
    fleet = rnncore.Fleet("lstm", X, H, models=M, seed=0)
    x = np.random.default_rng(0).standard_normal((M, T, N, X)).astype(np.float32)
    clean = fleet(x)[0]
    x[4] = np.inf
    x[5, 2] = np.nan
    got = fleet(x)[0]
    others = [m for m in range(M) if m not in (4, 5)]
    assert_same_bits(got[others], clean[others])
    assert_same_bits(got[4], fleet[4](x[4])[0])
    assert np.isnan(got[5, 2:]).all()
