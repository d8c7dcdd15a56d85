# SPDX-License-Identifier: MIT
"""Rows of the layout table run in the systems themselves, where installed: OpenVINO, TensorFlow 1 cells."""

import numpy as np
import pytest
import tables

import rnncore
from rnncore.formats import systems
from rnncore.formats.records import one_direction

T, N, I, H = 5, 2, 3, 4  # noqa: E741
CELLS = [("LSTM", {}), ("GRU", {}), ("GRU", {"reset_after": False}), ("RNN", {})]


def layer_and_input(kind, options):
    layer = getattr(rnncore, kind)(I, H, seed=1, **options)
    return layer, np.random.default_rng(0).standard_normal((T, N, I)).astype(np.float32)


def to_system(system, layer):
    s = layer.spec
    return systems.to_system(
        system, s.cell, one_direction(layer.parameters(), "_l0"), reset_after=s.reset_after
    )[:3]


def assert_close(got, expected):
    assert tables.relative_error(got, expected) <= tables.ROUND_TRIP


@pytest.mark.parametrize(("kind", "options"), CELLS, ids=["lstm", "gru", "gru_before", "rnn"])
def test_openvino(kind, options):
    ov = pytest.importorskip("openvino")
    from openvino import opset13 as ops

    layer, x = layer_and_input(kind, options)
    W, R, B = (array[np.newaxis] for array in to_system("openvino", layer))
    entry = ops.parameter([N, T, I], np.float32)
    zeros, lengths = np.zeros((N, 1, H), np.float32), np.full(N, T, np.int32)
    if kind == "LSTM":
        node = ops.lstm_sequence(entry, zeros, zeros, lengths, W, R, B, H, "FORWARD")
    elif kind == "GRU":
        after = options.get("reset_after", True)
        node = ops.gru_sequence(entry, zeros, lengths, W, R, B, H, "FORWARD", linear_before_reset=after)
    else:
        node = ops.rnn_sequence(entry, zeros, lengths, W, R, B, H, "FORWARD")
    model = ov.Model([node.output(0)], [entry])
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    y = compiled([x.swapaxes(0, 1)])[0][:, 0]
    assert_close(y.swapaxes(0, 1), layer(x)[0])


def test_tensorflow_lstm_cell():
    tf = pytest.importorskip("tensorflow")
    layer, x = layer_and_input("LSTM", {})
    W, R, bias = to_system("tensorflow", layer)
    kernel, none = np.concatenate([W, R]), np.zeros(H, np.float32)
    h = c = np.zeros((N, H), np.float32)
    for step in x:
        found = tf.raw_ops.LSTMBlockCell(
            x=step, cs_prev=c, h_prev=h, w=kernel, wci=none, wcf=none, wco=none, b=bias, forget_bias=0.0
        )
        c, h = found.cs.numpy(), found.h.numpy()
    assert_close(h, layer(x)[0][-1])


def test_tensorflow_gru_cell():
    tf = pytest.importorskip("tensorflow")
    layer, x = layer_and_input("GRU", {"reset_after": False})
    W, R, bias = to_system("tensorflow", layer)
    kernel, h = np.concatenate([W, R]), np.zeros((N, H), np.float32)
    for step in x:
        found = tf.raw_ops.GRUBlockCell(
            x=step,
            h_prev=h,
            w_ru=kernel[:, : 2 * H],
            w_c=kernel[:, 2 * H :],
            b_ru=bias[: 2 * H],
            b_c=bias[2 * H :],
        )
        h = found.h.numpy()
    assert_close(h, layer(x)[0][-1])
