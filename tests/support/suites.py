# SPDX-License-Identifier: MIT
"""The shared suites of outside numbers, run through rnncore's importers in each source's own convention.

`cases(folder)` lists a suite, `run(implementation, folder, case)` gives the results that its source states, by name.
What is here beside the importers are the sources' rules for masks, states and training; see the suites' manifests.
"""

import functools
import json
import os
import pathlib

import numpy as np

from rnncore.formats import keras, onnx, to_system
from rnncore.formats.records import build_layer, one_direction
from rnncore.nn import MERGES

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("RNNCORE_SHARED", ROOT.parent / "shared"))
FOLDERS = ("onnx_node", "ort_ops", "keras_literals", "tfjs_training")


@functools.cache
def cases(folder):
    """The cases of a suite with their arrays under "arrays"; empty if the suites are not there."""
    path = SHARED / "suites" / folder
    if not path.is_dir():
        return []
    listed = json.loads((path / "cases.json").read_text())
    with np.load(path / "cases.npz", allow_pickle=False) as stored:
        for case in listed:
            prefix = case["name"] + "/"
            case["arrays"] = {
                key.removeprefix(prefix): stored[key] for key in stored.files if key.startswith(prefix)
            }
    return listed


def run(implementation, folder, case):
    """Results by name, as the case's source states them: {name: (got, expected)}."""
    runner = {"keras_literals": run_keras, "tfjs_training": run_tfjs}.get(folder, run_onnx)
    return runner(implementation, case, case["arrays"])


def run_onnx(implementation, case, a):
    """An operator by its inputs and attributes."""
    got = onnx.run_node(case["op"], {name: a[name] for name in case["inputs"]}, case["attrs"], implementation)
    return {name: (got[name], a[name]) for name in case["outputs"]}


# Keras -----------------------------------------------------------------------------------------------------


def compact(x, mask):
    """Move each row's valid steps to its front: a masked step only keeps the state.

    Returns x, lengths, and `place` (N, T): where in the compacted sequence each valid step went.
    """
    order = np.argsort(~mask, axis=1, kind="stable")
    place = np.cumsum(mask, axis=1) - 1
    return np.take_along_axis(x, order[:, :, None], axis=1), mask.sum(axis=1), place


def spread(y, mask, place, zero_output=False, reverse=False):
    """Undo `compact`: masked steps repeat the output computed before them, or are 0."""
    result = np.zeros_like(y)
    T = y.shape[1]
    for n in range(len(y)):
        last = np.zeros(y.shape[2])
        for t in range(T - 1, -1, -1) if reverse else range(T):
            if mask[n, t]:
                last = y[n, place[n, t]]
                result[n, t] = last
            elif not zero_output:
                result[n, t] = last
    return result


def as_parts(state):
    """The state's parts, (h,) or (h, c)."""
    return state if isinstance(state, tuple) else (state,)


def as_state(parts, dtype):
    """The reverse, in the layer's dtype: the twin gives float64 whatever it takes."""
    parts = tuple(np.asarray(part, dtype) for part in parts)
    return parts if len(parts) == 2 else parts[0]


class Chain:
    """Keras layers run one after the other by Keras' rules, with the states they carry."""

    def __init__(self, implementation, layers, version=3):
        """`layers`: (class, config, weights) each."""
        self.records = [
            record
            for kind, config, weights in layers
            for record in keras.read_layers("layer", kind, config, weights, version)
        ]
        self.layers = [build_layer(r.spec, r.parameters, implementation) for r in self.records]
        self.states = [None] * len(self.layers)

    def start(self, parts):
        """Take initial states in Keras' order: of each layer's directions h, then c."""
        parts = list(parts)
        for k, layer in enumerate(self.layers):
            rows, count = layer.spec.num_layers * layer.spec.directions, len(layer.spec.state_shapes(1))
            mine = [parts.pop(0) for _ in range(rows * count)]
            self.states[k] = as_state([np.stack(mine[j::count]) for j in range(count)], layer.spec.dtype)

    def state_parts(self):
        """The present states in the same order."""
        return [
            part[row]
            for state in self.states
            for row in range(len(as_parts(state)[0]))
            for part in as_parts(state)
        ]

    def __call__(self, x, mask=None, zero_output=False):
        """Outputs of the last layer, one sequence (N, T, features) per direction, in time or computing order."""
        for k, (record, layer) in enumerate(zip(self.records, self.layers, strict=True)):
            if record.order == "backwards":
                x, mask = x[:, ::-1], None if mask is None else mask[:, ::-1]
            all_valid = np.ones(x.shape[:2], bool) if mask is None else mask
            given, lengths, place = compact(np.asarray(x, layer.spec.dtype), all_valid)
            y, state = layer(given, self.states[k], lengths=lengths)
            self.states[k] = as_state(as_parts(state), layer.spec.dtype)
            parts = np.split(y, layer.spec.directions, axis=-1)
            sequences = [spread(part, all_valid, place, zero_output, d == 1) for d, part in enumerate(parts)]
            x = np.concatenate(sequences, axis=-1)
        return sequences


def keras_weights(a, prefix=""):
    """The arrays of a layer whose names begin with `prefix`, as get_weights() gives them."""
    names = ("kernel", "recurrent_kernel", "bias")
    return [a[prefix + name] for name in names if prefix + name in a]


def keras_words(case):
    """(class, config, weights) of a case in Keras' own words."""
    a, config = case["arrays"], dict(case["config"])
    if case["layer"] == "stack":
        cells = [
            {"class_name": f"{c['layer']}Cell", "config": {"units": c["units"]} | c["config"]}
            for c in case["cells"]
        ]
        weights = [array for k in range(len(cells)) for array in keras_weights(a, f"cell{k}_")]
        return (
            "RNN",
            config | {"cell": {"class_name": "StackedRNNCells", "config": {"cells": cells}}},
            weights,
        )
    if case["layer"] == "Bidirectional":
        inner = {"class_name": case["cell"], "config": {"units": case["units"]} | config}
        weights = keras_weights(a, "fwd_") + keras_weights(a, "bwd_")
        return "Bidirectional", {"layer": inner, "merge_mode": case["merge_mode"]}, weights
    return case["layer"], {"units": case["units"]} | config, keras_weights(a)


def run_keras(implementation, case, a):
    """A Keras layer test: the output number `output_index` of the last of `n_calls` calls."""
    chain = Chain(implementation, [keras_words(case)])
    if "init0" in a:
        chain.start(a[f"init{k}"] for k in range(4) if f"init{k}" in a)
    for _ in range(case["n_calls"]):
        sequences = chain(a["x"], a.get("mask"), case["config"].get("zero_output_for_mask", False))
    if not chain.records[-1].return_sequences:
        # The reverse direction's last output is the one at the first step.
        sequences = [part[:, 0 if d == 1 else -1] for d, part in enumerate(sequences)]
    merge = chain.records[-1].merge
    outputs = [MERGES[merge].value(*sequences)] if len(sequences) == 2 and merge else list(sequences)
    got = (outputs + chain.state_parts())[case["output_index"]]
    return {"expected": (got if case["batch_index"] is None else got[case["batch_index"]], a["expected"])}


# TensorFlow.js ---------------------------------------------------------------------------------------------


def tfjs_words(case, kind, weights, **config):
    """(class, config, weights) in Keras' words; gates of Keras 2, a reset before the product."""
    config |= {"use_bias": len(weights) == 3, "activation": case["activation"]}
    if kind != "SimpleRNN":
        config["recurrent_activation"] = case["recurrent_activation"]
    if kind == "GRU":
        config["reset_after"] = False
    return kind, config, weights


def run_tfjs(implementation, case, a):
    """A TensorFlow.js Layers test; training is plain SGD on the mean squared error."""
    runner = {"train_mask": tfjs_train_mask, "train_bidi": tfjs_train_bidi}.get(case["kind"])
    if runner is None:
        runner = tfjs_train if case["kind"].startswith("train") else tfjs_forward
    return runner(implementation, case, a)


def tfjs_forward(implementation, case, a):
    """All that the case states of the last call, or of every call where there is more than one."""
    if case["kind"] == "forward_stack":
        words = [
            tfjs_words(case, kind, keras_weights(a, f"l{k}_"), return_sequences=True)
            for k, kind in enumerate(case["layers"])
        ]
    else:
        words = [tfjs_words(case, case["layer"], keras_weights(a), go_backwards=case["go_backwards"])]
    chain = Chain(implementation, words, version=2)
    if "h0" in a:
        chain.start([a["h0"]])
    lasts = []
    for _ in range(case.get("n_calls", 1)):
        (sequence,) = chain(a["x"], a.get("mask"))
        lasts.append(sequence[:, -1])
    got = {
        "expected_seq": sequence,
        "expected_last": np.stack(lasts) if len(lasts) > 1 else lasts[0],
        "expected_c": chain.state_parts()[-1],
    }
    if "dense" in a:
        head = sequence if a["expected_dense"].ndim == 3 else sequence[:, -1]
        got["expected_dense"] = head @ a["dense"]
    return {name: (value, a[name]) for name, value in got.items() if name in a}


class Trained:
    """A layer in training by SGD; Keras has one bias, so bias_hh stays zero."""

    def __init__(self, implementation, words, rate):
        (self.layer,) = Chain(implementation, [words], version=2).layers
        self.rate, self.dtype = rate, self.layer.spec.dtype

    def forward(self, x, state=None, lengths=None):
        """h at each row's end (N, H) in float64, and what `backward` needs."""
        _, self.state, self.tape = self.layer.forward(np.asarray(x, self.dtype), state, lengths=lengths)
        return np.asarray(as_parts(self.state)[0][0], np.float64)

    def backward(self, dh):
        """One step on the loss' gradient in h; gives that in x."""
        dh = dh[np.newaxis].astype(self.dtype)
        grads = self.layer.backward(self.tape, None, (dh, None) if isinstance(self.state, tuple) else dh)
        own = {name: value for name, value in self.layer.parameters().items() if "bias_hh" not in name}
        after = {
            name: (value - self.rate * grads.params[name]).astype(self.dtype) for name, value in own.items()
        }
        self.layer.update_parameters(after)
        return np.asarray(grads.x, np.float64)


def initial_arrays(a):
    """Arrays named init_*, without that."""
    return {key.removeprefix("init_"): value for key, value in a.items() if key.startswith("init_")}


def tfjs_train(implementation, case, a):
    """Train layer and linear head on batches in order; weights at the end or the mean loss."""
    initial = initial_arrays(a)
    trained = Trained(implementation, tfjs_words(case, case["layer"], keras_weights(initial)), case["lr"])
    dense, size, losses = initial["dense"].astype(np.float64), case.get("batch_size", len(a["x"])), []
    for _ in range(case["epochs"]):
        state = None
        for start in range(0, len(a["x"]), size):
            rows = slice(start, start + size)
            h = trained.forward(a["x"][rows], state)
            error = h @ dense - a["y"][rows]
            losses.append(np.mean(error**2))
            dprediction = 2 * error / error.size
            state = as_state(as_parts(trained.state), trained.dtype)
            trained.backward(dprediction @ dense.T)
            dense -= case["lr"] * h.T @ dprediction
    if case["kind"] == "train_stateful":
        return {"expected_loss": (np.mean(losses), a["expected_loss"])}
    after = one_direction(trained.layer.parameters(), "_l0")
    kernel, recurrent_kernel, *_ = to_system("keras", trained.layer.spec.cell, after, reset_after=False)
    return {
        "expected_kernel": (kernel, a["expected_kernel"]),
        "expected_recurrent_kernel": (recurrent_kernel, a["expected_recurrent_kernel"]),
        "expected_dense": (dense, a["expected_dense"]),
    }


def tfjs_train_mask(implementation, case, a):
    """Embedding, whose id 0 is masked, LSTM and dense with bias, all trained."""
    initial = initial_arrays(a)
    trained = Trained(implementation, tfjs_words(case, case["layer"], keras_weights(initial)), case["lr"])
    dense, bias, table = (initial[key].astype(np.float64) for key in ("dense", "dense_b", "emb"))
    ids, lengths, _ = compact(a["ids"][:, :, np.newaxis], a["ids"] != 0)
    ids, losses, predictions = ids[:, :, 0].astype(int), [], []
    valid = np.arange(ids.shape[1]) < lengths[:, np.newaxis]
    for _ in range(case["epochs"]):
        h = trained.forward(table[ids], lengths=lengths)
        predictions.append(h @ dense + bias)
        error = predictions[-1] - a["y"]
        losses.append(np.mean(error**2))
        dprediction = 2 * error / error.size
        dx = trained.backward(dprediction @ dense.T)
        dense, bias = dense - case["lr"] * h.T @ dprediction, bias - case["lr"] * dprediction.sum(axis=0)
        np.subtract.at(table, ids[valid], case["lr"] * dx[valid])
    return {
        "expected_pred_before": (predictions[0], a["expected_pred_before"]),
        "expected_losses": (losses[2:], a["expected_losses"]),
    }


def tfjs_train_bidi(implementation, case, a):
    """Two layers on one input, the wrapped one reads backwards; prediction is their merged last outputs."""
    initial = initial_arrays(a)
    parts = [
        Trained(implementation, tfjs_words(case, case["layer"], keras_weights(initial, prefix)), 0.01)
        for prefix in ("fwd_", "bwd_")
    ]
    inputs = (a["x"][:, ::-1], a["x"])

    def predict():
        return MERGES[case["merge_mode"]].value(
            *(part.forward(x) for part, x in zip(parts, inputs, strict=True))
        )

    before = predict()
    error = before - a["y"]
    dprediction = 2 * error / error.size
    halves = np.split(dprediction, 2, axis=-1) if case["merge_mode"] == "concat" else [dprediction / 2] * 2
    for part, dh in zip(parts, halves, strict=True):
        part.backward(dh)
    return {
        "expected_pred_before": (before, a["expected_pred_before"]),
        "expected_loss": (np.mean(error**2), a["expected_loss"]),
        "expected_pred_after": (predict(), a["expected_pred_after"]),
    }
