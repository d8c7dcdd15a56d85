# SPDX-License-Identifier: MIT
"""The shared suites of outside numbers, run through rnncore in each source's own convention.

`cases(folder)` lists a suite, `run(implementation, folder, case)` gives the results that its source states,
by name, or raises `Later` where a case needs what the layers cannot express yet.  The conversions here know
the sources' gate orders and rules for padding; see the suites' own manifests.
"""

import functools
import json
import os
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHARED = pathlib.Path(os.environ.get("RNNCORE_SHARED", ROOT.parent / "shared"))
FOLDERS = ("onnx_node", "ort_ops", "keras_literals", "tfjs_training")

# Row blocks in the source's order that give ours: LSTM i f g o, GRU r z n.
ONNX_BLOCKS = {"RNN": [0], "LSTM": [0, 2, 3, 1], "GRU": [1, 0, 2]}
KERAS_BLOCKS = {"SimpleRNN": [0], "LSTM": [0, 1, 2, 3], "GRU": [1, 0, 2]}
KERAS_LAYERS = {"SimpleRNN": "RNN", "LSTM": "LSTM", "GRU": "GRU"}

ONNX_ACTIVATIONS = {"RNN": ["Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}


class Later(Exception):
    """A case needs a feature that the layers do not have."""


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


def reorder(stacked, blocks):
    """The row blocks of a stacked matrix or bias, taken in the order `blocks`."""
    return np.concatenate([np.split(stacked, len(blocks))[k] for k in blocks])


# ONNX ------------------------------------------------------------------------------------------------------


def onnx_needs(case, a):
    """Raise Later for what cannot be expressed and would change the numbers."""
    op, attrs = case["op"], case["attrs"]
    needs = []
    if np.any(a.get("P", 0)):
        needs.append("peepholes")
    if attrs.get("input_forget"):
        needs.append("coupled gates")
    if attrs.get("clip") and attrs["clip"] < preactivation_bound(a):
        needs.append("clip")
    D = len(a["W"])
    usual = ONNX_ACTIVATIONS[op] * D
    nothing_runs = "sequence_lens" in a and not np.any(a["sequence_lens"])
    if op != "RNN" and attrs.get("activations", usual) != usual and not nothing_runs:
        needs.append("activations")
    if needs:
        raise Later(", ".join(needs))


def preactivation_bound(a):
    """No pre-activation of a cell with |h| <= 1 can exceed this."""
    h = max(1.0, np.max(np.abs(a.get("initial_h", 0))))
    rows = np.abs(a["W"]).sum(-1) * np.max(np.abs(a["X"])) + np.abs(a["R"]).sum(-1) * h
    if "B" in a:
        rows = rows + sum(np.abs(part) for part in np.split(a["B"], 2, axis=-1))
    return rows.max()


def run_onnx(implementation, case, a):
    onnx_needs(case, a)
    attrs = case["attrs"]
    D = len(a["W"])
    names = attrs.get("activations", ["Tanh"] * D) if case["op"] == "RNN" else ["Tanh"] * D
    direction = attrs.get("direction", "forward")
    wanted = {"forward": [0], "reverse": [1], "bidirectional": [0, 1]}[direction]
    # Directions with different activations come from two layers; of each the wanted half is used.
    halves = []
    for k, d in enumerate(wanted):
        y, parts = onnx_layer(implementation, case, a, names[k].lower(), direction)
        halves.append((y[:, :, d], [part[d] for part in parts]))
    y = np.stack([y for y, _ in halves], axis=2)  # (T, N, D, H)
    parts = [np.stack(column) for column in zip(*(parts for _, parts in halves), strict=True)]  # (D, N, H)
    if "sequence_lens" in a:
        for part in parts:
            part[:, a["sequence_lens"] == 0] = 0  # ONNX forgets the initial state of an empty row
    batch_first = attrs.get("layout", 0) == 1
    got = {"Y": y.transpose(1, 0, 2, 3) if batch_first else y.transpose(0, 2, 1, 3)}
    for name, part in zip(("Y_h", "Y_c"), parts, strict=False):
        got[name] = part.swapaxes(0, 1) if batch_first else part
    return {name: (got[name], a[name]) for name in case["outputs"]}


def onnx_layer(implementation, case, a, nonlinearity, direction):
    """The case as one layer: y (T, N, D', H) and the state's parts (D', N, H).

    A reverse node becomes the reverse half of a bidirectional layer with equal weights in both directions.
    """
    op, attrs = case["op"], case["attrs"]
    both = [0, 0] if direction == "reverse" else list(range(len(a["W"])))
    bidirectional = len(both) == 2
    batch_first = attrs.get("layout", 0) == 1
    options = dict(bias="B" in a, batch_first=batch_first, bidirectional=bidirectional)
    if op == "RNN":
        options["nonlinearity"] = nonlinearity
    if op == "GRU":
        options["reset_after"] = bool(attrs.get("linear_before_reset", 0))
    H = attrs["hidden_size"]
    layer = getattr(implementation, op)(a["X"].shape[2], H, dtype=a["X"].dtype, **options)
    parameters = {}
    for suffix, k in zip(("_l0", "_l0_reverse"), both, strict=False):
        parameters["weight_ih" + suffix] = reorder(a["W"][k], ONNX_BLOCKS[op])
        parameters["weight_hh" + suffix] = reorder(a["R"][k], ONNX_BLOCKS[op])
        if "B" in a:
            input_bias, recurrent_bias = np.split(a["B"][k], 2)
            parameters["bias_ih" + suffix] = reorder(input_bias, ONNX_BLOCKS[op])
            parameters["bias_hh" + suffix] = reorder(recurrent_bias, ONNX_BLOCKS[op])
    layer.load_state_dict(parameters)
    state = onnx_state(op, a, both, batch_first)
    y, state = layer(a["X"], state, lengths=a.get("sequence_lens"))
    y = y.swapaxes(0, 1) if batch_first else y
    return y.reshape(*y.shape[:2], len(both), H), list(state) if op == "LSTM" else [state]


def onnx_state(op, a, both, batch_first):
    """The initial state in our layout, or None."""

    def part(name):
        if name not in a:
            N = a["X"].shape[0 if batch_first else 1]
            return np.zeros((len(both), N, a["R"].shape[-1]), a["X"].dtype)
        return (a[name].swapaxes(0, 1) if batch_first else a[name])[both]

    if "initial_h" not in a and "initial_c" not in a:
        return None
    return (part("initial_h"), part("initial_c")) if op == "LSTM" else part("initial_h")


# Keras -----------------------------------------------------------------------------------------------------


def keras_parameters(kind, a, prefix, suffix, reset_after=True):
    """Our parameters of one Keras layer whose arrays are named `prefix` + kernel ..."""
    blocks = KERAS_BLOCKS[kind]
    parameters = {
        "weight_ih" + suffix: reorder(a[prefix + "kernel"].T, blocks),
        "weight_hh" + suffix: reorder(a[prefix + "recurrent_kernel"].T, blocks),
    }
    bias = a.get(prefix + "bias")
    if bias is not None:
        two = kind == "GRU" and reset_after
        input_bias, recurrent_bias = bias if two else (bias, np.zeros_like(bias))
        parameters["bias_ih" + suffix] = reorder(input_bias, blocks)
        parameters["bias_hh" + suffix] = reorder(recurrent_bias, blocks)
    return parameters


def keras_layer(implementation, kind, a, prefixes, config, num_layers=1):
    """One batch-first layer: `prefixes` name the arrays of each direction or, stacked, of each layer."""
    stacked = num_layers > 1
    suffixes = [f"_l{k}" for k in range(num_layers)] if stacked else ["_l0", "_l0_reverse"]
    options = dict(bias=prefixes[0] + "bias" in a, bidirectional=len(prefixes) == 2 and not stacked)
    reset_after = config.get("reset_after", True)
    if kind == "GRU":
        options["reset_after"] = reset_after
    I, GH = a[prefixes[0] + "kernel"].shape  # noqa: E741
    H = GH // len(KERAS_BLOCKS[kind])
    make = getattr(implementation, KERAS_LAYERS[kind])
    layer = make(I, H, num_layers, batch_first=True, dtype=a["x"].dtype, **options)
    parameters = {}
    for prefix, suffix in zip(prefixes, suffixes, strict=False):
        parameters |= keras_parameters(kind, a, prefix, suffix, reset_after)
    layer.load_state_dict(parameters)
    return layer


def compact(x, mask):
    """Move each row's valid steps to its front: a masked step only keeps the state.

    Returns x, lengths, and `place` (N, T): where in the compacted sequence each valid step went.
    """
    order = np.argsort(~mask, axis=1, kind="stable")
    place = np.cumsum(mask, axis=1) - 1
    return np.take_along_axis(x, order[:, :, None], axis=1), mask.sum(axis=1), place


def spread(y, mask, place, zero_output, reverse=False):
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


def keras_call(layer, x, mask, state, zero_output=False):
    """Run with a mask (N, T) or None: one sequence per direction, in time order, and the state."""
    if mask is None:
        y, state = layer(x, state)
        mask = np.ones(x.shape[:2], bool)
        place = np.cumsum(mask, axis=1) - 1
    else:
        x, lengths, place = compact(x, mask)
        y, state = layer(x, state, lengths=lengths)
    directions = 2 if layer.spec.bidirectional else 1
    parts = np.split(y, directions, axis=-1)
    return [spread(part, mask, place, zero_output, d == 1) for d, part in enumerate(parts)], state


def keras_merge(mode, forward, backward):
    """The outputs of a Bidirectional layer, as a list."""
    if mode is None:
        return [forward, backward]
    merged = {
        "concat": lambda: np.concatenate([forward, backward], axis=-1),
        "sum": lambda: forward + backward,
        "ave": lambda: (forward + backward) / 2,
        "mul": lambda: forward * backward,
    }
    return [merged[mode]()]


def keras_initial(a, kind, directions):
    """init0, init1 ... as our state, or None."""
    parts = [a[f"init{k}"] for k in range(4) if f"init{k}" in a]
    if not parts:
        return None
    if kind != "LSTM":
        return np.stack(parts)
    return np.stack(parts[0::2]), np.stack(parts[1::2])


def run_keras(implementation, case, a):
    """A Keras layer test: the output number `output_index` of the last of `n_calls` calls."""
    stack = case["layer"] == "stack"
    bidirectional = case["layer"] == "Bidirectional"
    cells = case["cells"] if stack else [case]
    if any(cell["config"].get("activation") == "linear" for cell in cells):
        raise Later("linear activation")
    config = case["config"]
    kind = case["cell"] if bidirectional else cells[0]["layer"]
    prefixes = ["fwd_", "bwd_"] if bidirectional else [""]
    if stack:
        assert all(cell["layer"] == kind and cell["units"] == cells[0]["units"] for cell in cells)
        prefixes = [f"cell{k}_" for k in range(len(cells))]
    layer = keras_layer(implementation, kind, a, prefixes, config, len(cells))
    x, mask = a["x"], a.get("mask")
    backwards = config.get("go_backwards", False)
    if backwards:
        x, mask = x[:, ::-1], None if mask is None else mask[:, ::-1]
    state = keras_initial(a, kind, len(prefixes))
    for _ in range(case["n_calls"]):
        sequences, state = keras_call(layer, x, mask, state, config.get("zero_output_for_mask", False))
        state = (
            tuple(np.asarray(part, x.dtype) for part in state) if kind == "LSTM" else state.astype(x.dtype)
        )
    if not config.get("return_sequences"):
        # The reverse direction's last output is the one at the first step.
        sequences = [part[:, 0 if d == 1 else -1] for d, part in enumerate(sequences)]
    outputs = keras_merge(case["merge_mode"], *sequences) if bidirectional else sequences
    for row in range(len(prefixes)):
        outputs += [part[row] for part in (state if kind == "LSTM" else (state,))]
    got = outputs[case["output_index"]]
    return {"expected": (got if case["batch_index"] is None else got[case["batch_index"]], a["expected"])}


# TensorFlow.js ---------------------------------------------------------------------------------------------


def run_tfjs(implementation, case, a):
    """A TensorFlow.js Layers test; training is plain SGD on the mean squared error."""
    needs = []
    kinds = case.get("layers", [case.get("layer")])
    if case["activation"] == "linear":
        needs.append("linear activation")
    if set(kinds) & {"GRU", "LSTM"} and case["recurrent_activation"] == "hard_sigmoid":
        needs.append("hard sigmoid")
    if needs:
        raise Later(", ".join(needs))
    if case["kind"] == "forward":
        return tfjs_forward(implementation, case, a)
    return tfjs_train(implementation, case, a)


def tfjs_forward(implementation, case, a):
    layer = keras_layer(implementation, case["layer"], a, [""], {})
    x = a["x"][:, ::-1] if case["go_backwards"] else a["x"]
    (sequence,), _state = keras_call(layer, x, a.get("mask"), None)
    assert case["n_calls"] == 1
    return {"expected_last": (sequence[:, -1], a["expected_last"])}


def tfjs_train(implementation, case, a):
    """Train layer and linear head on batches in order; weights at the end or the mean loss."""
    initial = {key.removeprefix("init_"): value for key, value in a.items() if key.startswith("init_")}
    layer = keras_layer(implementation, case["layer"], initial | {"x": a["x"]}, [""], {})
    dense = initial["dense"].astype(np.float64)
    size = case.get("batch_size", len(a["x"]))
    losses = []
    for _ in range(case["epochs"]):
        state = None
        for start in range(0, len(a["x"]), size):
            rows = slice(start, start + size)
            _, state, tape = layer.forward(a["x"][rows], state)
            h = np.asarray(state[-1], np.float64)
            error = h @ dense - a["y"][rows]
            losses.append(np.mean(error**2))
            dprediction = 2 * error / error.size
            dh = (dprediction @ dense.T)[np.newaxis].astype(layer.spec.dtype)
            grads = layer.backward(tape, None, dh)
            dense -= case["lr"] * h.T @ dprediction
            # Keras has one bias: bias_hh stays zero.
            trained = {name: value for name, value in layer.parameters().items() if "bias_hh" not in name}
            layer.update_parameters(
                {
                    name: (value - case["lr"] * grads.params[name]).astype(layer.spec.dtype)
                    for name, value in trained.items()
                }
            )
            state = state.astype(layer.spec.dtype)
    if case["kind"] == "train_stateful":
        return {"expected_loss": (np.mean(losses), a["expected_loss"])}
    after = layer.parameters()
    return {
        "expected_kernel": (after["weight_ih_l0"].T, a["expected_kernel"]),
        "expected_recurrent_kernel": (after["weight_hh_l0"].T, a["expected_recurrent_kernel"]),
        "expected_dense": (dense, a["expected_dense"]),
    }
