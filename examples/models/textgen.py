# SPDX-License-Identifier: MIT
"""Text, character by character, with textgenrnn's two LSTMs and attention (Max Woolf, MIT).

    python -m examples.models textgen [PROMPT]

The weights are Keras': they go through `rnncore.formats.from_system("keras", ...)`. With a prompt it is
continued; without one the reference prompts are run, checked against Keras' outputs, and timed against plain
NumPy.
"""

import json

import numpy as np

import rnncore
from examples.models.common import agree, best_time, numpy_lstm, open_model, report
from rnncore.nn import Embedding, Linear, softmax

WINDOW, TEMPERATURE, LENGTH = 40, 0.5, 120
LAYER_TOLERANCE = 1e-5
PROBABILITY_TOLERANCE = 1e-5
LOGITS_TOLERANCE = 1e-4


def lstm(weights, name):
    """A batch-first LSTM from Keras arrays."""
    kernel, recurrent, bias = (weights[f"{name}_{part}"] for part in ("kernel", "recurrent_kernel", "bias"))
    parameters = rnncore.formats.from_system("keras", "lstm", kernel, recurrent, bias)
    layer = rnncore.LSTM(len(kernel), len(recurrent), batch_first=True)
    layer.load_state_dict({f"{key}_l0": value for key, value in parameters.items()})
    return layer


class Model:
    """Embedding, two LSTMs, attention over all steps of all three, softmax."""

    def __init__(self, weights):
        self.embedding = Embedding(*weights["embedding"].shape)
        self.embedding.load_state_dict({"weight": weights["embedding"]})
        self.layers = [lstm(weights, "rnn_1"), lstm(weights, "rnn_2")]
        self.attention = weights["attention_W"]
        self.head = Linear(*weights["out_kernel"].shape)
        self.head.load_state_dict({"weight": weights["out_kernel"].T, "bias": weights["out_bias"]})

    def __call__(self, ids):
        """ids (N, 40): logits (N, 465) and the two layers' outputs (N, 40, 128)."""
        e = self.embedding(ids)
        first, _ = self.layers[0](e)
        second, _ = self.layers[1](first)
        return self.head(attend(np.concatenate([e, first, second], axis=-1), self.attention)), first, second


def attend(features, weight):
    """The steps' features (N, T, F), weighted and summed: (N, F)."""
    scores = features @ weight
    a = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (features * (a / (a.sum(axis=1, keepdims=True) + 1e-7))).sum(axis=1)


def numpy_run(weights, ids):
    """The logits in plain NumPy."""
    x = e = weights["embedding"][ids]
    sequences = [e]
    for name in ("rnn_1", "rnn_2"):
        w_ih, w_hh = weights[f"{name}_kernel"].T, weights[f"{name}_recurrent_kernel"].T
        h = c = np.zeros((len(ids), 128), np.float32)
        steps = []
        for t in range(ids.shape[1]):
            h, c = numpy_lstm(x[:, t], h, c, w_ih, w_hh, weights[f"{name}_bias"])
            steps.append(h)
        x = np.stack(steps, axis=1)
        sequences.append(x)
    v = attend(np.concatenate(sequences, axis=-1), weights["attention_W"])
    return v @ weights["out_kernel"] + weights["out_bias"]


def check(log, repeats):
    """Run the reference prompts, compare, time."""
    _, weights, reference = open_model("textgenrnn")
    model = Model(weights)
    ids = reference["ids"].astype(int)
    logits, first, second = model(ids)
    agree(log, "first LSTM", first, reference["lstm1_keras"], LAYER_TOLERANCE)
    agree(log, "second LSTM", second, reference["lstm2_keras"], LAYER_TOLERANCE)
    agree(log, "logits", logits, reference["logits"], LOGITS_TOLERANCE)
    agree(log, "probabilities", softmax(logits), reference["probs"], PROBABILITY_TOLERANCE)
    for k in range(len(ids)):
        assert logits[k].argmax() == reference["logits"][k].argmax(), f"prompt {k}: another character"
    ours, plain = (best_time(call, repeats) for call in (lambda: model(ids), lambda: numpy_run(weights, ids)))
    report(log, "next characters", ours, plain, len(ids), "prompt of 40")


def run(prompts):
    """Continue prompts."""
    folder, weights, _ = open_model("textgenrnn")
    vocabulary = json.loads((folder / "vocab.json").read_text())
    for prompt in prompts:
        generate(Model(weights), vocabulary, prompt)


def generate(model, vocabulary, prompt, seed=0):
    """Continue a prompt."""
    characters = {k: character for character, k in vocabulary.items()}
    ids = [vocabulary["<s>"], *(vocabulary[c] for c in prompt if c in vocabulary)]
    rng = np.random.default_rng(seed)
    for _ in range(LENGTH):
        window = np.zeros((1, WINDOW), int)
        recent = ids[-WINDOW:]
        window[0, WINDOW - len(recent) :] = recent
        p = softmax(model(window)[0][0].astype(np.float64) / TEMPERATURE)
        ids.append(int(rng.choice(len(p), p=p)))
        if characters.get(ids[-1]) == "<s>":
            break
    print("".join(characters.get(k, "") for k in ids).replace("<s>", ""))
