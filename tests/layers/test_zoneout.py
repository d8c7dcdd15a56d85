# SPDX-License-Identifier: MIT
"""Zoneout: the compiled layers against the twins, the twins against differences, PyTorch's steps, bits and masks."""

import numpy as np
import pytest
import tables
from compiled import CELL, DTYPE, ISA, assert_near, assert_same_bits, build, draw, parts_of, rows_of

import rnncore
from rnncore.spec import masks

# Rows to split between threads, and few rows whose units or layers are shared out.
MANY, LONE, LONG = tables.Shape(19, 12, 6, 33), tables.Shape(40, 1, 24, 160), tables.Shape(120, 1, 40, 65)
LENGTHS = np.array([19, 0, 5, 19, 12, 1, 13, 19, 2, 17, 19, 8])
CALLS = {
    "plain": (MANY, {}, None, "alone"),
    "ragged": (MANY, {"bidirectional": True}, LENGTHS, "alone"),
    "deep-ragged": (MANY, {"num_layers": 2, "bidirectional": True, "dropout": 0.4}, LENGTHS, "dropped"),
    "one-row": (LONE, {"num_layers": 2}, None, "alone"),
    "wavefront": (LONG, {"num_layers": 3}, None, "dropped"),
}
CALL = pytest.mark.parametrize("name", CALLS)
DROPS = {"alone": {}, "dropped": {"recurrent_dropout": 0.3, "weight_dropout": 0.2}}
DROP = pytest.mark.parametrize("drops", DROPS)
THREADS = pytest.mark.parametrize("threads", [1, 2])


def zoned(cell, shape, dtype="float32", implementation=rnncore, p=0.25, p_c=0.4, **options):
    if cell.layer == "LSTM":
        options["zoneout_c"] = p_c
    return build(cell, shape, dtype, implementation, zoneout=p, **options)


def train(layer, call, drops="alone", lengths=None, **options):
    y, state, tape = layer.forward(call.x, call.state, lengths=lengths, **DROPS[drops], **options)
    return (y, state), layer.backward(tape, call.dy, call.dstate)


@CELL
@DTYPE
@ISA
@CALL
def test_agrees_with_twin(cell, dtype, isa, name):
    shape, options, lengths, drops = CALLS[name]
    layer, twin = (zoned(cell, shape, dtype, module, **options) for module in (rnncore, rnncore.reference))
    call = draw(layer, shape.T, shape.N)
    outputs, grads = train(twin, call, drops, lengths)
    with rnncore.use_isa(isa):
        got = train(layer, call, drops, lengths, num_threads=2)
    assert_near("forward", dtype, got[0], outputs)
    assert_near("gradient", dtype, vars(got[1]), vars(grads))


@pytest.mark.parametrize(("p", "p_c"), [(0.3, 0.0), (0.0, 0.3)])
@pytest.mark.parametrize("cell", [c for c in tables.CELLS if c.layer == "LSTM"], ids=lambda cell: cell.id)
@pytest.mark.parametrize("checkpoint", [None, 3])
def test_either_part_of_the_state_alone(cell, p, p_c, checkpoint):
    shape, options, lengths, _ = CALLS["deep-ragged"]
    layer, twin = (
        zoned(cell, shape, "float64", module, p, p_c, **options) for module in (rnncore, rnncore.reference)
    )
    call = draw(layer, shape.T, shape.N)
    got, expected = (
        train(layer, call, "alone", lengths, checkpoint=checkpoint),
        train(twin, call, "alone", lengths),
    )
    assert_near("forward", "float64", got[0], expected[0])
    assert_near("gradient", "float64", vars(got[1]), vars(expected[1]))
    assert_near("forward", "float64", layer(call.x, call.state)[0], twin(call.x, call.state)[0])


@CELL
@DROP
def test_twin_against_differences(cell, drops):
    shape, both = tables.GRADIENT_SHAPE, {"num_layers": 2, "bidirectional": True}
    lengths = np.array([shape.T - 1, 0, shape.T])

    def make():  # one seed: the first call always draws the same masks
        return zoned(cell, shape, "float64", rnncore.reference, 0.3, 0.3, **both)

    call, rng = draw(make(), shape.T, shape.N), np.random.default_rng(5)
    _, grads = train(make(), call, drops, lengths)
    values = {"x": call.x, **make().state_dict()} | {f"s{i}": s for i, s in enumerate(parts_of(call.state))}
    found = {"x": grads.x, **grads.params} | {f"s{i}": s for i, s in enumerate(parts_of(grads.state))}
    along = {name: rng.standard_normal(value.shape) for name, value in values.items()}
    norm = np.sqrt(sum((value**2).sum() for value in along.values()))

    def loss(step):
        moved = {name: value + step / norm * along[name] for name, value in values.items()}
        parts = tuple(moved[f"s{i}"] for i in range(len(parts_of(call.state))))
        layer = make()
        layer.load_state_dict({name: moved[name] for name in layer.parameters()})
        y, state, _ = layer.forward(
            moved["x"], parts if len(parts) == 2 else parts[0], lengths=lengths, **DROPS[drops]
        )
        pairs = zip(parts_of(state), parts_of(call.dstate), strict=True)
        return (y * call.dy).sum() + sum((part * d).sum() for part, d in pairs)

    e = tables.DIFFERENCE_STEP
    slope = sum((found[name] * along[name]).sum() for name in values) / norm
    difference = (loss(e) - loss(-e)) / (2 * e)
    assert abs(slope - difference) <= tables.DIFFERENCE_TOLERANCE * max(1.0, abs(slope))


@CELL
@CALL
@THREADS
def test_checkpoints_repeat_to_the_last_bit(cell, name, threads):
    shape, options, lengths, drops = CALLS[name]
    call = draw(zoned(cell, shape, **options), shape.T, shape.N)
    expected = train(zoned(cell, shape, **options), call, drops, lengths, num_threads=threads)
    for checkpoint in ("gates", 4):
        again = train(
            zoned(cell, shape, **options), call, drops, lengths, num_threads=threads, checkpoint=checkpoint
        )
        assert_same_bits(again, expected)


@CELL
@CALL
def test_training_outputs_do_not_depend_on_threads(cell, name):
    shape, options, lengths, drops = CALLS[name]
    call = draw(zoned(cell, shape, **options), shape.T, shape.N)
    one, two = (
        train(zoned(cell, shape, **options), call, drops, lengths, num_threads=threads)[0]
        for threads in (1, 2)
    )
    assert_same_bits(two, one)


@CELL
@pytest.mark.parametrize("checkpoint", [None, 4])
def test_blas_gives_the_same(cell, checkpoint):
    shape, options, lengths, _ = CALLS["deep-ragged"]
    call = draw(zoned(cell, shape, "float64", **options), shape.T, shape.N)
    layer = zoned(cell, shape, "float64", **options)
    expected, inference = train(layer, call, "alone", lengths), layer(call.x, call.state, lengths=lengths)
    with rnncore.use_backend("blas"):
        layer = zoned(cell, shape, "float64", **options)
        got = train(layer, call, "alone", lengths, checkpoint=checkpoint)
        assert_near("forward", "float64", layer(call.x, call.state, lengths=lengths), inference)
    assert_near("forward", "float64", got[0], expected[0])
    assert_near("gradient", "float64", vars(got[1]), vars(expected[1]))


@CELL
@DTYPE
@CALL
def test_expectation_has_one_last_bit(cell, dtype, name):
    shape, options, lengths, _ = CALLS[name]
    layer = zoned(cell, shape, dtype, **options)
    twin = zoned(cell, shape, dtype, rnncore.reference, **options)
    call = draw(layer, shape.T, shape.N)
    with rnncore.use_backend("naive"):
        expected = layer(call.x, call.state, lengths=lengths)
    assert_near("forward", dtype, expected, twin(call.x, call.state, lengths=lengths))
    for isa in rnncore.isas():
        with rnncore.use_isa(isa):
            for threads in (1, 2):
                assert_same_bits(layer(call.x, call.state, lengths=lengths, num_threads=threads), expected)
    n = shape.N - 1
    own = None if lengths is None else lengths[n:]
    alone = layer(call.x[:, n:], rows_of(call.state, [n]), lengths=own)
    assert_same_bits(alone, (expected[0][:, n:], rows_of(expected[1], [n])))


@CELL
@pytest.mark.parametrize("implementation", [rnncore, rnncore.reference], ids=["compiled", "twin"])
def test_streams_are_sequences(cell, implementation):
    shape = tables.Shape(9, 3, 5, 17)
    layer = zoned(cell, shape, implementation=implementation, num_layers=2)
    call = draw(layer, shape.T, shape.N)
    y, state = layer(call.x, call.state)
    stream = layer.stream(shape.N)
    stream.state = call.state
    got = [stream.step(x) for x in call.x[:4]] + list(stream.run(call.x[4:]))
    if implementation is rnncore:
        assert_same_bits((np.stack(got), stream.state), (y, state))
    else:  # products of NumPy's BLAS
        assert_near("forward", "float64", (np.stack(got), stream.state), (y, state))


@CELL
def test_zero_is_none(cell):
    shape, options, lengths, _ = CALLS["deep-ragged"]
    plain, layer = build(cell, shape, **options), zoned(cell, shape, p=0.0, p_c=0, **options)
    call = draw(layer, shape.T, shape.N)
    assert layer.spec == plain.spec
    assert_same_bits(train(layer, call, "dropped", lengths), train(plain, call, "dropped", lengths))


def test_masks_have_their_share_and_are_fresh():
    T, N, H, p, p_c = 50, 8, 64, 0.3, 0.1
    layer = rnncore.LSTM(4, H, zoneout=p, zoneout_c=p_c, seed=1)
    x = np.random.default_rng(0).standard_normal((T, N, 4), np.float32)
    y, _, tape = layer.forward(x)
    kept = masks.keep_mask(tape.call_key, masks.ZONEOUT, (T, N, H), p)
    before = np.concatenate([np.zeros((1, N, H), np.float32), y[:-1]])
    np.testing.assert_array_equal(y == before, ~kept)
    kept_c = masks.keep_mask(tape.call_key, masks.ZONEOUT_C, (T, N, H), p_c)
    for mask, share in ((~kept, p), (~kept_c, p_c), (~kept & ~kept_c, p * p_c)):
        assert abs(mask.mean() - share) < 5 * np.sqrt(share * (1 - share) / mask.size)
    assert 0.4 < (kept[1:] == kept[:-1]).mean() < 1 - 2 * p * (1 - p) + 0.02
    assert tape.call_key != layer.forward(x)[2].call_key


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("training", [True, False])
def test_is_pytorchs_step_and_a_mask(kind, training):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    T, N, I, H, p, p_c = 6, 3, 4, 5, 0.4, 0.3  # noqa: E741
    options = {"zoneout": p} | ({"zoneout_c": p_c} if kind == "LSTM" else {})
    layer = getattr(rnncore, kind)(I, H, dtype="float64", seed=2, **options)
    call = draw(layer, T, N)
    w = {name: torch.tensor(value, requires_grad=True) for name, value in layer.state_dict().items()}
    x = torch.tensor(call.x, requires_grad=True)
    if training:
        y, _, tape = layer.forward(call.x)
        keep, keep_c = (
            torch.from_numpy(1.0 - masks.keep_mask(tape.call_key, stream, (T, N, H), q))
            for stream, q in ((masks.ZONEOUT, p), (masks.ZONEOUT_C, p_c))
        )
    else:
        y, _ = layer(call.x)
        keep, keep_c = torch.full((T, N, H), p, dtype=x.dtype), torch.full((T, N, H), p_c, dtype=x.dtype)
    h = c = torch.zeros(N, H, dtype=torch.float64)
    outputs = []
    cell = getattr(torch.nn, kind + "Cell")(I, H, dtype=torch.float64)
    plain = {name.removesuffix("_l0"): value for name, value in w.items()}
    for t in range(T):
        state = (h, c) if kind == "LSTM" else h
        new = torch.func.functional_call(cell, plain, (x[t], state))
        if kind == "LSTM":
            new, new_c = new
            c = keep_c[t] * c + (1 - keep_c[t]) * new_c
        h = keep[t] * h + (1 - keep[t]) * new
        outputs.append(h)
    right = torch.stack(outputs)
    assert_near("forward", "float64", y, right.detach().numpy())
    if training:
        grads = layer.backward(tape, call.dy)
        right.backward(torch.from_numpy(call.dy))
        params = {name: value.grad.numpy() for name, value in w.items()}
        assert_near("gradient", "float64", grads.params, params)
        assert_near("gradient", "float64", grads.x, x.grad.numpy())


@pytest.mark.parametrize("p", [-0.1, 1.0, float("nan"), "0.5", True, None])
@pytest.mark.parametrize("name", ["zoneout", "zoneout_c"])
def test_bad_probabilities_are_refused(implementation, name, p):
    with pytest.raises(rnncore.errors.ArgumentError, match=f"^{name}: expected .*, got "):
        implementation.LSTM(3, 4, **{name: p})


def test_no_cell_state_no_zoneout_of_it():
    with pytest.raises(rnncore.errors.ArgumentError, match=r"^zoneout_c: expected 0\.0 for cell 'gru'"):
        rnncore.spec.Spec("gru", 3, 4, zoneout_c=0.5)


def test_files_keep_it_and_other_formats_refuse_it(tmp_path):
    layer = rnncore.LSTM(3, 4, zoneout=0.1, zoneout_c=0.5, seed=0)
    assert repr(layer) == "rnncore.LSTM(3, 4, zoneout=0.1, zoneout_c=0.5)"
    layer.save(tmp_path / "a.safetensors")
    loaded = rnncore.load(tmp_path / "a.safetensors")
    assert loaded.spec == layer.spec
    x = np.ones((3, 2, 3), np.float32)
    assert_same_bits(loaded(x), layer(x))
    for name in ("zoneout", "zoneout_c"):
        rnncore.LSTM(3, 4, **{name: 0.5}).save(tmp_path / "b.safetensors")
        with pytest.raises(rnncore.errors.UnsupportedError, match=f"^{name}: "):
            rnncore.formats.convert(tmp_path / "b.safetensors", tmp_path / "b.pt")
