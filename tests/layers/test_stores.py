# SPDX-License-Identifier: MIT
"""Stores: matrices packed at half the bytes give the bits of a float32 layer with the rounded weights."""

import numpy as np
import pytest
import tables
from compiled import CELL, ISA, as_state, assert_near, assert_same_bits, build, draw, flat, rows_of

import rnncore
from rnncore import reference
from rnncore.errors import ArgumentError, ShapeError, UnsupportedError
from rnncore.formats import convert
from rnncore.reference import integers
from rnncore.spec import masks, stores

STORE = pytest.mark.parametrize("store", tables.STORES)
FLOATS = pytest.mark.parametrize("store", tables.FLOAT_STORES)
INTEGERS = pytest.mark.parametrize("store", tables.INTEGER_STORES)
SHAPES = [tables.Shape(6, 1, 5, 17), tables.Shape(5, 7, 16, 33), tables.Shape(3, 67, 3, 20)]
SHAPE = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.id)
DEEP = {"num_layers": 2, "bidirectional": True}


def widened(layer):
    """The float32 layer whose matrices are what `layer` packs."""
    plain = layer.quantize(None)
    values = {
        name: stores.rounded(layer.store, name.partition("_l")[0], value)
        for name, value in layer.parameters().items()
    }
    plain.load_state_dict(values)
    return plain


# Values ----------------------------------------------------------------------------------------------------


@FLOATS
def test_rounds_to_the_nearest(store):
    kept = stores.rounded(
        store, "weight_hh", np.float32([[0.0, 1.0, -1.5, 2.0**-14, -(2.0**-20), np.inf, -np.inf]])
    )[0]
    assert kept.tolist() == [0.0, 1.0, -1.5, 2.0**-14, -(2.0**-20), np.inf, -np.inf]
    assert np.isnan(stores.rounded(store, "weight_hh", np.float32([[np.nan]]))).all()
    half = np.float32(tables.FLOAT_STORES[store])
    ties = stores.rounded(
        store, "weight_hh", np.float32([[1 + half, 1 + 3 * half, 1 + half * np.float32(1.01)]])
    )[0]
    assert ties.tolist() == [1.0, 1 + 4 * half, 1 + 2 * half]
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    assert np.abs(stores.rounded(store, "weight_hh", values[np.newaxis]) / values - 1).max() <= half


@FLOATS
def test_rounds_as_pytorch_does(store):
    torch = pytest.importorskip("torch")
    bits = np.random.default_rng(1).integers(0, 2**32, 100_000, dtype=np.uint32)
    values = bits.view(np.float32)
    expected = torch.from_numpy(values).to(getattr(torch, store)).float().numpy()
    np.testing.assert_array_equal(stores.rounded(store, "weight_hh", values[np.newaxis])[0], expected)


# Calls -----------------------------------------------------------------------------------------------------


@CELL
@SHAPE
@FLOATS
@ISA
def test_bits_of_the_rounded_weights(cell, shape, store, isa):
    layer = build(cell, shape, store=store, **(DEEP if shape is SHAPES[1] else {}))
    plain, call = widened(layer), draw(layer, shape.T, shape.N)
    lengths = np.arange(shape.N) % (shape.T + 1) if shape.N > 1 else None
    with rnncore.use_isa(isa):
        assert_same_bits(
            layer(call.x, call.state, lengths=lengths), plain(call.x, call.state, lengths=lengths)
        )
        *results, tape = layer.forward(call.x, call.state, lengths=lengths)
        *expected, plain_tape = plain.forward(call.x, call.state, lengths=lengths)
        assert_same_bits(results, expected)
        grads, of_plain = (
            owner.backward(kept, call.dy, call.dstate) for owner, kept in ((layer, tape), (plain, plain_tape))
        )
        assert_same_bits(grads, of_plain)


@CELL
@STORE
def test_naive_loop_steps_and_threads(cell, store):
    shape = tables.Shape(7, 9, 5, 40)
    layer = build(cell, shape, store=store, num_layers=2)
    call = draw(layer, shape.T, shape.N)
    y, state = layer(call.x, call.state, num_threads=1)
    with rnncore.use_backend("naive"):
        assert_same_bits(layer(call.x, call.state), (y, state))
    assert_same_bits(layer(call.x, call.state, num_threads=3), (y, state))
    stream = layer.stream(shape.N)
    stream.state = call.state
    assert_same_bits(np.stack([stream.step(x) for x in call.x]), y)


@pytest.mark.parametrize("threads", [2, 3])
@STORE
def test_one_row_shared_by_threads(store, threads):
    layer = rnncore.LSTM(64, 512, seed=0, store=store)
    x = np.random.default_rng(0).standard_normal((20, 1, 64)).astype(np.float32)
    assert_same_bits(layer(x, num_threads=threads), layer(x, num_threads=1))


@CELL
@STORE
def test_agrees_with_the_twin(cell, store):
    # One step of integers: where twin and core differ in the last bit of h, they may differ by a whole code.
    shape = tables.SHAPES[2] if store in tables.FLOAT_STORES else tables.Shape(1, 3, 40, 17)
    layer, twin = (build(cell, shape, implementation=kind, store=store) for kind in (rnncore, reference))
    call = draw(layer, shape.T, shape.N)
    y, state, tape = layer.forward(call.x, call.state)
    twin_y, twin_state, twin_tape = twin.forward(call.x, call.state)
    assert_near("forward", "float32", (y, state), (twin_y, twin_state))
    grads, expected = layer.backward(tape, call.dy), twin.backward(twin_tape, call.dy)
    assert_near("gradient", "float32", grads, expected)


@FLOATS
def test_blas_multiplies_with_the_rounded_weights(store):
    pytest.importorskip("scipy")
    layer = rnncore.GRU(7, 19, seed=0, store=store)
    x = np.random.default_rng(0).standard_normal((6, 4, 7)).astype(np.float32)
    expected = layer(x)
    with rnncore.use_backend("blas"):
        assert_near("forward", "float32", layer(x), expected)


# Layers ----------------------------------------------------------------------------------------------------


@STORE
def test_quantize_gives_a_new_layer(store):
    layer = rnncore.LSTM(3, 8, seed=0)
    before = layer.state_dict()
    small = layer.quantize(store)
    assert (layer.store, small.store) == (None, store)
    assert repr(small) == f"rnncore.LSTM(3, 8, store={store!r})"
    assert_same_bits(small.state_dict(), before)
    small.update_parameters({"bias_ih_l0": np.ones(32, np.float32)})
    assert_same_bits(layer.state_dict(), before)
    assert_same_bits(small.quantize(None)(np.ones((2, 1, 3), np.float32)), _with_ones(layer))


def _with_ones(layer):
    layer.update_parameters({"bias_ih_l0": np.ones(32, np.float32)})
    return layer(np.ones((2, 1, 3), np.float32))


@STORE
def test_models_keep_what_has_no_store(store):
    model = rnncore.nn.Sequential(rnncore.GRU(3, 8, seed=0), rnncore.Linear(8, 2, seed=1))
    small = model.quantize(store)
    x = np.ones((4, 2, 3), np.float32)
    assert small[0].layer.store == store
    expected = rnncore.nn.Sequential(model[0].quantize(store), model[1].quantize(store))(x)
    assert_same_bits(small(x), expected)
    assert model[0].layer.store is None


@STORE
def test_fine_tuning_lowers_the_loss(store):
    layer = rnncore.GRU(2, 16, seed=0, store=store)
    adam = rnncore.Adam(layer, lr=0.01)
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((8, 16, 2)).astype(np.float32), rng.standard_normal((8, 16, 16)) * 0.1
    losses = []
    for _ in range(30):
        y, _, tape = layer.forward(x)
        losses.append(float(np.square(y - target).mean()))
        adam.step(layer.backward(tape, (y - target).astype(np.float32)))
    assert losses[-1] < losses[0] / 2


@INTEGERS
def test_fine_tuning_mends_what_integers_hurt(store):
    """Outliers leave the other weights of their rows few codes; trained to be the float32 layer, it comes nearer."""
    layer, rng = rnncore.GRU(32, 24, seed=0), np.random.default_rng(0)
    hurt = layer.state_dict()
    for name in ("weight_ih_l0", "weight_hh_l0"):
        hurt[name][:, 3] *= 20
    layer.load_state_dict(hurt)
    x = rng.standard_normal((12, 64, 32)).astype(np.float32)
    x[..., 3] *= 0.1
    target, small = layer(x)[0], layer.quantize(store)
    adam, steps, losses = rnncore.Adam(small), 40, []
    for step in range(steps):
        y, _, tape = small.forward(x)
        loss, dy = rnncore.mse_loss(y, target)
        losses.append(float(loss))
        adam.lr = 1e-4 * (1 - step / steps)
        adam.step(small.backward(tape, dy))
    assert losses[-1] < losses[0] / 2


@STORE
def test_files_keep_store_and_parameters(store, tmp_path):
    layer = rnncore.GRU(3, 8, 2, seed=0, store=store)
    layer.save(tmp_path / "layer.safetensors")
    loaded = rnncore.load(tmp_path / "layer.safetensors")
    assert loaded.spec == layer.spec
    assert_same_bits(loaded.state_dict(), layer.state_dict())


@STORE
def test_convert_writes_a_store_and_other_formats_refuse_it(store, tmp_path):
    layer = rnncore.GRU(3, 8, seed=0)
    layer.save(tmp_path / "layer.safetensors")
    convert(tmp_path / "layer.safetensors", tmp_path / "small.safetensors", dtype=store)
    small = rnncore.load(tmp_path / "small.safetensors")
    assert_same_bits(small.state_dict(), widened(layer.quantize(store)).state_dict())
    assert small.store == store
    for ending in ("keras", "pt"):
        with pytest.raises(UnsupportedError, match="store: expected none"):
            small.save(tmp_path / f"small.{ending}")
    with pytest.raises(ArgumentError, match="dtype: expected one of 'float32', 'float64', 'bfloat16'"):
        convert(tmp_path / "layer.safetensors", tmp_path / "other.safetensors", dtype="int4")


def test_refused():
    with pytest.raises(ArgumentError, match="store: expected None for dtype float64, got 'bfloat16'"):
        rnncore.GRU(3, 4, dtype="float64", store="bfloat16")
    with pytest.raises(
        ArgumentError, match="store: expected one of 'bfloat16', 'float16', 'int8', 'int8x16', got 'int4'"
    ):
        rnncore.GRU(3, 4).quantize("int4")
    layer = rnncore.RNN(1, 2, seed=0)
    layer.update_parameters({"weight_ih_l0": np.float32([[1.0], [70000.0]])})
    with pytest.raises(ArgumentError, match="weight_ih_l0: expected values of at most 65504"):
        layer.quantize("float16")
    assert np.isfinite(flat(layer.quantize("bfloat16").state_dict())[".weight_ih_l0"]).all()


@STORE
def test_special_values_stay_in_their_row(store):
    layer = rnncore.LSTM(3, 20, seed=0, store=store)
    x = np.random.default_rng(0).standard_normal((5, 6, 3)).astype(np.float32)
    clean = layer(x)
    x[2, 1, 0], x[3, 4, 2] = np.nan, np.inf
    y, state = layer(x)
    rows = [0, 2, 3, 5]
    assert_same_bits((y[:, rows], as_state([part[:, rows] for part in state])), (
        clean[0][:, rows],
        as_state([part[:, rows] for part in clean[1]]),
    ))  # fmt: skip
    assert np.isnan(y[2:, 1]).all()


# Integers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(33, 17), (40, 64), (7, 130), (300, 5)], ids=str)
@INTEGERS
@ISA
def test_integers_have_the_bits_of_the_twin(sizes, store, isa):
    """A chain of relu is its pre-activations: every bit follows from integers and two roundings."""
    I, H = sizes  # noqa: E741
    layer = rnncore.RNN(I, H, seed=0, nonlinearity="relu", store=store)
    rng = np.random.default_rng(1)
    x, h = rng.standard_normal((5, 9, I)).astype(np.float32), np.zeros((9, H), np.float32)
    p = {name.removesuffix("_l0"): value for name, value in layer.parameters().items()}
    start = np.broadcast_to(p["bias_ih"] + p["bias_hh"], h.shape)
    with rnncore.use_isa(isa):
        y, by_threads = layer(x)[0], layer(x, num_threads=3)[0]
    expected = []
    for step in x:
        if I >= stores.LEAST_INPUTS:
            a = integers.product(store, p["weight_ih"], step, start, 0)
        else:
            a = start
            for k in range(I):
                a = integers.multiply_add(step[:, k : k + 1], p["weight_ih"][:, k], a)
        h = np.maximum(integers.product(store, p["weight_hh"], h, a, 0), np.float32(0))
        expected.append(h)
    assert_same_bits(y, np.stack(expected))
    assert_same_bits(by_threads, y)


@INTEGERS
@ISA
def test_dropped_units_are_dropped_before_they_are_coded(store, isa):
    """To the last bit, as above: the mask is multiplied with h, and of that the codes are made."""
    H, N, p = 33, 5, 0.4
    layer = rnncore.RNN(5, H, seed=0, nonlinearity="relu", store=store)
    key = masks.draw_call_key(reference.RNN(5, H, seed=0)._dropout_rng)
    keep = (masks.keep_mask(key, masks.RECURRENT, (N, H), p) * masks.scale(p, np.dtype(np.float32))).astype(
        np.float32
    )
    x, h = (
        np.random.default_rng(1).standard_normal((6, N, 5)).astype(np.float32),
        np.zeros((N, H), np.float32),
    )
    w = {name.removesuffix("_l0"): value for name, value in layer.parameters().items()}
    with rnncore.use_isa(isa):
        y = layer.forward(x, recurrent_dropout=p)[0]
    expected = []
    for step in x:
        a = np.broadcast_to(w["bias_ih"] + w["bias_hh"], h.shape)
        for k in range(5):
            a = integers.multiply_add(step[:, k : k + 1], w["weight_ih"][:, k], a)
        h = np.maximum(integers.product(store, w["weight_hh"], h * keep, a, 0), np.float32(0))
        expected.append(h)
    assert_same_bits(y, np.stack(expected))


@CELL
@INTEGERS
def test_dropped_units_agree_with_the_twin(cell, store):
    shape = tables.Shape(1, 3, 40, 17)
    layer, twin = (build(cell, shape, implementation=kind, store=store) for kind in (rnncore, reference))
    call = draw(layer, shape.T, shape.N)
    y, state, tape = layer.forward(call.x, call.state, recurrent_dropout=0.4)
    twin_y, twin_state, twin_tape = twin.forward(call.x, call.state, recurrent_dropout=0.4)
    assert_near("forward", "float32", (y, state), (twin_y, twin_state))
    assert_near("gradient", "float32", layer.backward(tape, call.dy), twin.backward(twin_tape, call.dy))


@CELL
@INTEGERS
@ISA
def test_integers_alone_in_a_batch_and_in_pieces(cell, store, isa):
    shape = tables.Shape(8, 67, 35, 24)
    layer = build(cell, shape, store=store)
    call = draw(layer, shape.T, shape.N)
    lengths = np.arange(shape.N) % (shape.T + 1)
    y, state = layer(call.x, call.state, lengths=lengths)
    with rnncore.use_isa(isa):
        assert_same_bits(layer(call.x, call.state, lengths=lengths), (y, state))
        row = [66]
        alone = layer(call.x[:, row], rows_of(call.state, row), lengths=lengths[row])
        assert_same_bits(alone, (y[:, row], rows_of(state, row)))
        first, middle = layer(call.x[:3], call.state)
        second, end = layer(call.x[3:], middle)
        assert_same_bits((np.concatenate([first, second]), end), layer(call.x, call.state))


@INTEGERS
def test_codes_and_scales_of_weights_are_their_own(store):
    values = np.random.default_rng(0).standard_normal((50, 33)).astype(np.float32)
    values[7] = 0
    once = stores.rounded(store, "weight_hh", values)
    assert_same_bits(stores.rounded(store, "weight_hh", once), once)
    codes, scale = stores.weight_codes(values)
    assert np.abs(codes).max() == stores.MOST_CODE
    assert (np.abs(once - values) <= scale * tables.HALF_A_CODE).all()


@INTEGERS
def test_gradients_are_straight_through(store):
    """Those of the rounded weights at the states of the integer call: a step's are the twin's."""
    layer, twin = (kind.GRU(40, 17, seed=0, store=store) for kind in (rnncore, reference))
    call = draw(layer, 1, 4)
    _, _, tape = layer.forward(call.x, call.state)
    _, _, twin_tape = twin.forward(call.x, call.state)
    assert_near("gradient", "float32", layer.backward(tape, call.dy), twin.backward(twin_tape, call.dy))


@pytest.mark.parametrize(("store", "tolerance"), tables.INTEGER_STORES.items())
def test_integers_stay_near_floats(store, tolerance):
    layer = rnncore.LSTM(40, 64, 2, seed=0)
    x = np.random.default_rng(0).standard_normal((200, 8, 40)).astype(np.float32)
    assert np.abs(layer.quantize(store)(x)[0] - layer(x)[0]).max() <= tolerance


@INTEGERS
def test_sizes_beyond_the_codes_are_refused(store):
    with pytest.raises(ShapeError):
        rnncore.RNN(20000, 4, store=store)(np.zeros((1, 1, 20000), np.float32))


@INTEGERS
def test_blas_has_no_integers(store):
    pytest.importorskip("scipy")
    layer = rnncore.GRU(40, 8, store=store)
    with rnncore.use_backend("blas"), pytest.raises(UnsupportedError):
        layer(np.zeros((1, 1, 40), np.float32))
