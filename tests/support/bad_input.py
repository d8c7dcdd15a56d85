# SPDX-License-Identifier: MIT
"""Calls with bad input, as a table: what each must raise, about which field."""

import dataclasses
import os

import numpy as np

import rnncore


class Bench:
    """A layer of `implementation` with sound arguments for every call; error rows spoil one of them."""

    T, N, I, H = 5, 2, 4, 4  # noqa: E741  I = H, so that y may be written over x

    def __init__(self, implementation, layer="LSTM", **options):
        options = {"dtype": "float64", "seed": 1} | options
        self.implementation = implementation
        self.make = getattr(implementation, layer)
        self.layer = self.make(self.I, self.H, **options)
        self.dtype = np.dtype(options["dtype"])
        rng = np.random.default_rng(2)
        self.x = rng.standard_normal((self.T, self.N, self.I)).astype(self.dtype)
        self.h = rng.standard_normal((1, self.N, self.H)).astype(self.dtype)
        self.c = rng.standard_normal((1, self.N, self.H)).astype(self.dtype)
        self.dy = rng.standard_normal((self.T, self.N, self.H)).astype(self.dtype)
        self.out = np.full_like(self.dy, 7)
        self.lengths = np.array([3, 5])

    def tape(self):
        return self.layer.forward(self.x)[2]

    def arrays(self):
        """Copies of all that a refused call must leave alone."""
        own = {name: value.copy() for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return own | self.layer.state_dict()


@dataclasses.dataclass(frozen=True)
class BadInput:
    """A call that must raise `error` (a class of rnncore.errors) about `field` and change nothing."""

    id: str
    error: str
    field: str
    call: object  # takes a Bench
    layer: str = "LSTM"
    options: tuple = ()


def _folded(b):
    """An array of y's shape in which all steps are the same memory."""
    y = b.out
    return np.lib.stride_tricks.as_strided(y, y.shape, (0, *y.strides[1:]))


def _shifted(b):
    """x and out one step apart in one buffer."""
    buffer = np.zeros((b.T + 1, b.N, b.I))
    return b.layer(buffer[:-1], out=buffer[1:])


def _read_only(b):
    b.out.flags.writeable = False
    return b.layer(b.x, out=b.out)


def _with(b, name, value):
    return {**b.layer.state_dict(), name: value}


def _without(b, name):
    values = b.layer.state_dict()
    del values[name]
    return values


def _twice(b):
    tape = b.tape()
    b.layer.backward(tape, b.dy)
    return b.layer.backward(tape, b.dy)


def _stale(b):
    tape = b.tape()
    b.layer.load_state_dict(b.layer.state_dict())
    return b.layer.backward(tape, b.dy)


def _huge_view(b):
    return np.broadcast_to(b.dtype.type(0), (2**36, 2**20, b.I))


BAD_INPUT = [
    # Construction
    BadInput("input_size-zero", "ArgumentError", "input_size", lambda b: b.make(0, 3)),
    BadInput("hidden_size-negative", "ArgumentError", "hidden_size", lambda b: b.make(3, -1)),
    BadInput("hidden_size-bool", "ArgumentError", "hidden_size", lambda b: b.make(3, True)),
    BadInput("hidden_size-float", "ArgumentError", "hidden_size", lambda b: b.make(3, 4.0)),
    BadInput("hidden_size-nan", "ArgumentError", "hidden_size", lambda b: b.make(3, float("nan"))),
    BadInput("hidden_size-text", "ArgumentError", "hidden_size", lambda b: b.make(3, "4")),
    BadInput("hidden_size-none", "ArgumentError", "hidden_size", lambda b: b.make(3, None)),
    BadInput("num_layers-zero", "ArgumentError", "num_layers", lambda b: b.make(3, 4, 0)),
    BadInput("num_layers-billion", "ArgumentError", "num_layers", lambda b: b.make(3, 4, 10**9)),
    BadInput("bias-int", "ArgumentError", "bias", lambda b: b.make(3, 4, bias=1)),
    BadInput("batch_first-none", "ArgumentError", "batch_first", lambda b: b.make(3, 4, batch_first=None)),
    BadInput(
        "bidirectional-text", "ArgumentError", "bidirectional", lambda b: b.make(3, 4, bidirectional="no")
    ),
    BadInput("dropout-one", "ArgumentError", "dropout", lambda b: b.make(3, 4, dropout=1.0)),
    BadInput("dropout-negative", "ArgumentError", "dropout", lambda b: b.make(3, 4, dropout=-0.1)),
    BadInput("dropout-nan", "ArgumentError", "dropout", lambda b: b.make(3, 4, dropout=float("nan"))),
    BadInput("dropout-text", "ArgumentError", "dropout", lambda b: b.make(3, 4, dropout="0.5")),
    BadInput("dtype-float16", "DTypeError", "dtype", lambda b: b.make(3, 4, dtype="float16")),
    BadInput("dtype-nonsense", "DTypeError", "dtype", lambda b: b.make(3, 4, dtype="real")),
    BadInput("dtype-none", "DTypeError", "dtype", lambda b: b.make(3, 4, dtype=None)),
    BadInput(
        "dtype-swapped", "DTypeError", "dtype", lambda b: b.make(3, 4, dtype=np.dtype("f4").newbyteorder())
    ),
    BadInput("seed-negative", "ArgumentError", "seed", lambda b: b.make(3, 4, seed=-1)),
    BadInput("seed-float", "ArgumentError", "seed", lambda b: b.make(3, 4, seed=1.5)),
    BadInput("proj_size-hidden", "ArgumentError", "proj_size", lambda b: b.make(3, 4, proj_size=4)),
    BadInput("proj_size-negative", "ArgumentError", "proj_size", lambda b: b.make(3, 4, proj_size=-1)),
    BadInput(
        "nonlinearity", "ArgumentError", "nonlinearity", lambda b: b.make(3, 4, nonlinearity="elu"), "RNN"
    ),
    BadInput("reset_after-int", "ArgumentError", "reset_after", lambda b: b.make(3, 4, reset_after=1), "GRU"),
    BadInput("peepholes-int", "ArgumentError", "peepholes", lambda b: b.make(3, 4, peepholes=1)),
    BadInput("coupled-none", "ArgumentError", "coupled", lambda b: b.make(3, 4, coupled=None)),
    BadInput("zoneout-one", "ArgumentError", "zoneout", lambda b: b.make(3, 4, zoneout=1.0)),
    BadInput("zoneout_c-text", "ArgumentError", "zoneout_c", lambda b: b.make(3, 4, zoneout_c="0.5")),
    BadInput("clip-zero", "ArgumentError", "clip", lambda b: b.make(3, 4, clip=0.0)),
    BadInput("clip-infinite", "ArgumentError", "clip", lambda b: b.make(3, 4, clip=float("inf"))),
    BadInput("clip-nan", "ArgumentError", "clip", lambda b: b.make(3, 4, clip=float("nan"))),
    BadInput("clip-text", "ArgumentError", "clip", lambda b: b.make(3, 4, clip="1")),
    BadInput("clip-bool", "ArgumentError", "clip", lambda b: b.make(3, 4, clip=True)),
    BadInput("activations-text", "ArgumentError", "activations", lambda b: b.make(3, 4, activations="relu")),
    BadInput("activations-number", "ArgumentError", "activations", lambda b: b.make(3, 4, activations=3)),
    BadInput(
        "activations-place", "ArgumentError", "activations", lambda b: b.make(3, 4, activations={"h": "relu"})
    ),
    BadInput(
        "activations-coupled-f",
        "ArgumentError",
        "activations",
        lambda b: b.make(3, 4, coupled=True, activations={"f": "relu"}),
    ),
    BadInput(
        "activations-two-of-one", "ArgumentError", "activations", lambda b: b.make(3, 4, activations=({}, {}))
    ),
    BadInput(
        "activations-count", "ArgumentError", "activations", lambda b: b.make(3, 4, activations=(("relu",),))
    ),
    BadInput(
        "activations-name",
        "ArgumentError",
        "activations['g']",
        lambda b: b.make(3, 4, activations={"g": "gelu"}),
    ),
    BadInput(
        "activations-none",
        "ArgumentError",
        "activations['g']",
        lambda b: b.make(3, 4, activations={"g": None}),
    ),
    BadInput(
        "activations-parameters",
        "ArgumentError",
        "activations['g']",
        lambda b: b.make(3, 4, activations={"g": ("elu", 1, 2)}),
    ),
    BadInput(
        "activations-nan",
        "ArgumentError",
        "activations['g']",
        lambda b: b.make(3, 4, activations={"g": ("elu", float("nan"))}),
    ),
    BadInput(
        "activations-and-nonlinearity",
        "ArgumentError",
        "nonlinearity",
        lambda b: b.make(3, 4, nonlinearity="relu", activations={"h": "elu"}),
        "RNN",
    ),
    BadInput("load-empty", "FormatError", os.devnull, lambda b: rnncore.load(os.devnull)),
    BadInput("sizes-overflow", "SizeError", "hidden_size", lambda b: b.make(3, 2**31)),
    BadInput("size-overflow", "SizeError", "input_size", lambda b: b.make(2**63, 1)),
    BadInput("too-large", "MemoryExhaustedError", "hidden_size", lambda b: b.make(1, 2**27)),
    # x
    BadInput("x-rank-1", "ShapeError", "x", lambda b: b.layer(b.x[0, 0])),
    BadInput("x-rank-4", "ShapeError", "x", lambda b: b.layer(b.x[None])),
    BadInput("x-features", "ShapeError", "x", lambda b: b.layer(b.x[:, :, :3])),
    BadInput("x-ragged-list", "ShapeError", "x", lambda b: b.layer([[1.0, 2.0], [3.0]])),
    BadInput("x-int", "DTypeError", "x", lambda b: b.layer(b.x.astype(int))),
    BadInput("x-narrow", "DTypeError", "x", lambda b: b.layer(b.x.astype(np.float32))),
    BadInput("x-complex", "DTypeError", "x", lambda b: b.layer(b.x.astype(complex))),
    BadInput("x-text", "DTypeError", "x", lambda b: b.layer("series")),
    BadInput("x-none", "DTypeError", "x", lambda b: b.layer(None)),
    BadInput("x-swapped", "DTypeError", "x", lambda b: b.layer(b.x.astype(b.dtype.newbyteorder()))),
    BadInput("x-masked", "UnsupportedError", "x", lambda b: b.layer(np.ma.masked_array(b.x))),
    BadInput("x-overflow", "SizeError", "x", lambda b: b.layer(_huge_view(b))),
    BadInput("x-forward", "ShapeError", "x", lambda b: b.layer.forward(b.x[:, :, :3])),
    BadInput(
        "x-wide",
        "DTypeError",
        "x",
        lambda b: b.layer(b.x.astype(np.float64)),
        options=(("dtype", "float32"),),
    ),
    # state
    BadInput("state-array", "ArgumentError", "state", lambda b: b.layer(b.x, b.h)),
    BadInput("state-triple", "ArgumentError", "state", lambda b: b.layer(b.x, (b.h, b.c, b.c))),
    BadInput("state-h-rows", "ShapeError", "state[0]", lambda b: b.layer(b.x, (b.h[:, :1], b.c))),
    BadInput("state-c-rank", "ShapeError", "state[1]", lambda b: b.layer(b.x, (b.h, b.c[0]))),
    BadInput("state-dtype", "DTypeError", "state[0]", lambda b: b.layer(b.x, (b.h.astype("f4"), b.c))),
    BadInput("state-none", "DTypeError", "state[1]", lambda b: b.layer(b.x, (b.h, None))),
    BadInput("state-pair", "ArgumentError", "state", lambda b: b.layer(b.x, (b.h, b.c)), "GRU"),
    BadInput("state-features", "ShapeError", "state", lambda b: b.layer(b.x, b.h[:, :, :3]), "RNN"),
    BadInput("state-unbatched", "ShapeError", "state", lambda b: b.layer(b.x[:, 0], b.h), "RNN"),
    # lengths
    BadInput("lengths-long", "LengthsError", "lengths", lambda b: b.layer(b.x, lengths=[6, 1])),
    BadInput("lengths-negative", "LengthsError", "lengths", lambda b: b.layer(b.x, lengths=[1, -1])),
    BadInput(
        "lengths-huge", "LengthsError", "lengths", lambda b: b.layer(b.x, lengths=np.uint64([1, 2**64 - 1]))
    ),
    BadInput("lengths-count", "ShapeError", "lengths", lambda b: b.layer(b.x, lengths=[1, 2, 3])),
    BadInput("lengths-scalar", "ShapeError", "lengths", lambda b: b.layer(b.x, lengths=3)),
    BadInput("lengths-rank", "ShapeError", "lengths", lambda b: b.layer(b.x, lengths=[[1, 2]])),
    BadInput("lengths-float", "DTypeError", "lengths", lambda b: b.layer(b.x, lengths=[1.0, 2.0])),
    BadInput("lengths-nan", "DTypeError", "lengths", lambda b: b.layer(b.x, lengths=[np.nan, 2.0])),
    BadInput("lengths-bool", "DTypeError", "lengths", lambda b: b.layer(b.x, lengths=[True, False])),
    BadInput("lengths-forward", "LengthsError", "lengths", lambda b: b.layer.forward(b.x, lengths=[6, 1])),
    # out, num_threads
    BadInput("out-list", "ArgumentError", "out", lambda b: b.layer(b.x, out=b.out.tolist())),
    BadInput("out-shape", "ShapeError", "out", lambda b: b.layer(b.x, out=b.out[:-1])),
    BadInput("out-dtype", "DTypeError", "out", lambda b: b.layer(b.x, out=b.out.astype(np.float32))),
    BadInput("out-read-only", "ArgumentError", "out", _read_only),
    BadInput("out-is-x", "OverlapError", "out", lambda b: b.layer(b.x, out=b.x)),
    BadInput("out-over-x", "OverlapError", "out", _shifted),
    BadInput("out-folded", "OverlapError", "out", lambda b: b.layer(b.x, out=_folded(b))),
    BadInput("out-over-state", "OverlapError", "out", lambda b: b.layer(b.x[:1], (b.h, b.c), out=b.h)),
    BadInput("num_threads-zero", "ArgumentError", "num_threads", lambda b: b.layer(b.x, num_threads=0)),
    BadInput("num_threads-float", "ArgumentError", "num_threads", lambda b: b.layer(b.x, num_threads=2.0)),
    # backward
    BadInput("tape-none", "TapeError", "tape", lambda b: b.layer.backward(None, b.dy)),
    BadInput("tape-twice", "TapeError", "tape", _twice),
    BadInput("tape-stale", "TapeError", "tape", _stale),
    BadInput("tape-other", "TapeError", "tape", lambda b: b.make(4, 4).backward(b.tape(), b.dy)),
    BadInput("dy-shape", "ShapeError", "dy", lambda b: b.layer.backward(b.tape(), b.dy[1:])),
    BadInput("dy-dtype", "DTypeError", "dy", lambda b: b.layer.backward(b.tape(), b.dy.astype(np.float32))),
    BadInput("dy-nothing", "ArgumentError", "dy", lambda b: b.layer.backward(b.tape(), None)),
    BadInput("dstate-array", "ArgumentError", "dstate", lambda b: b.layer.backward(b.tape(), b.dy, b.h)),
    BadInput(
        "dstate-shape", "ShapeError", "dstate[1]", lambda b: b.layer.backward(b.tape(), b.dy, (None, b.c[0]))
    ),
    # parameters
    BadInput("load-list", "ArgumentError", "parameters", lambda b: b.layer.load_state_dict([1])),
    BadInput(
        "load-missing",
        "ArgumentError",
        "bias_hh_l0",
        lambda b: b.layer.load_state_dict(_without(b, "bias_hh_l0")),
    ),
    BadInput("load-unknown", "ArgumentError", "w", lambda b: b.layer.load_state_dict(_with(b, "w", b.x))),
    BadInput(
        "load-transposed",
        "ShapeError",
        "weight_hh_l0",
        lambda b: b.layer.load_state_dict(_with(b, "weight_hh_l0", np.zeros((4, 16)))),
    ),
    BadInput(
        "load-dtype",
        "DTypeError",
        "weight_hh_l0",
        lambda b: b.layer.load_state_dict(_with(b, "weight_hh_l0", np.zeros((16, 4), "f4"))),
    ),
    BadInput("update-unknown", "ArgumentError", "w", lambda b: b.layer.update_parameters({"w": b.x})),
    BadInput(
        "update-shape",
        "ShapeError",
        "bias_ih_l0",
        lambda b: b.layer.update_parameters({"weight_ih_l0": np.ones((16, 4)), "bias_ih_l0": np.zeros(4)}),
    ),
    # stream
    BadInput(
        "stream-both-ways",
        "UnsupportedError",
        "bidirectional",
        lambda b: b.layer.stream(),
        options=(("bidirectional", True),),
    ),
    BadInput("stream-batch", "ArgumentError", "batch_size", lambda b: b.layer.stream(0)),
    BadInput("step-rows", "ShapeError", "x", lambda b: b.layer.stream(3).step(b.x[0])),
    BadInput("step-vector", "ShapeError", "x", lambda b: b.layer.stream(2).step(b.x[0, 0])),
    BadInput("step-dtype", "DTypeError", "x", lambda b: b.layer.stream(2).step(b.x[0].astype("f4"))),
    BadInput("step-out", "ShapeError", "out", lambda b: b.layer.stream(2).step(b.x[0], out=b.out)),
    BadInput("step-out-is-x", "OverlapError", "out", lambda b: b.layer.stream(2).step(b.x[0], out=b.x[0])),
    BadInput("run-rows", "ShapeError", "x", lambda b: b.layer.stream(3).run(b.x)),
    BadInput(
        "stream-state", "ShapeError", "state[0]", lambda b: setattr(b.layer.stream(3), "state", (b.h, b.c))
    ),
]
