# SPDX-License-Identifier: MIT
"""English spelling to phonemes with the GRU encoder and decoder of g2p_en (Park and Kim, Apache-2.0).

    python -m examples.models g2p [WORD ...]

All words are encoded in one ragged batch; the decoder then runs them together, one step per phoneme. Without
words the 159 reference words are run, checked against the package's own output, and timed against plain
NumPy.
"""

import json

import numpy as np

import rnncore
from examples.models.common import agree, best_time, numpy_gru, open_model, report
from rnncore.nn import Embedding, Linear

START, STOP, END_OF_WORD, STEPS = 2, 3, 2, 20
LOGITS_TOLERANCE = 2e-4  # of logits up to 40, in float32
STATE_TOLERANCE = 3e-5  # after up to 29 steps in float32 on either side


def gru(weights, prefix):
    """A GRU from the file's arrays, which have PyTorch's layout."""
    parameters = {
        f"{long}_l0": weights[f"{prefix}_{short}"]
        for long, short in (
            ("weight_ih", "w_ih"),
            ("weight_hh", "w_hh"),
            ("bias_ih", "b_ih"),
            ("bias_hh", "b_hh"),
        )
    }
    layer = rnncore.GRU(parameters["weight_ih_l0"].shape[1], parameters["weight_hh_l0"].shape[1])
    layer.load_state_dict(parameters)
    return layer


def table(array):
    """An Embedding that holds `array`."""
    module = Embedding(*array.shape)
    module.load_state_dict({"weight": array})
    return module


class Model:
    """Encoder and decoder."""

    def __init__(self, weights):
        self.letters, self.encoder = table(weights["enc_emb"]), gru(weights, "enc")
        self.phonemes, self.decoder = table(weights["dec_emb"]), gru(weights, "dec")
        self.head = Linear(256, 74)
        self.head.load_state_dict({"weight": weights["fc_w"], "bias": weights["fc_b"]})

    def encode(self, ids, lengths):
        """ids (N, T) padded with anything: the encoder's last states (N, 256)."""
        _, h = self.encoder(self.letters(ids.T), lengths=lengths)
        return h[0]

    def decode(self, h):
        """Greedy phonemes (N, 20), -1 after the stop, and the first logits (N, 74)."""
        stream = self.decoder.stream(len(h))
        stream.state = h[np.newaxis]
        token = np.full(len(h), START)
        found, first, running = np.full((len(h), STEPS), -1), None, np.ones(len(h), bool)
        for step in range(STEPS):
            logits = self.head(stream.step(self.phonemes(token)))
            first = logits if first is None else first
            token = logits.argmax(axis=-1)
            running &= token != STOP
            if not running.any():
                break
            found[running, step] = token[running]
        return found, first


def numpy_run(weights, ids, lengths):
    """The same for one word after the other, as the package does it."""
    found = []
    for row, length in zip(ids, lengths, strict=True):
        h = np.zeros((1, 256), np.float32)
        for k in row[:length]:
            x = weights["enc_emb"][k][np.newaxis]
            h = numpy_gru(x, h, *(weights[f"enc_{name}"] for name in ("w_ih", "w_hh", "b_ih", "b_hh")))
        token, phonemes = START, []
        for _ in range(STEPS):
            x = weights["dec_emb"][token][np.newaxis]
            h = numpy_gru(x, h, *(weights[f"dec_{name}"] for name in ("w_ih", "w_hh", "b_ih", "b_hh")))
            token = int((h @ weights["fc_w"].T + weights["fc_b"]).argmax())
            if token == STOP:
                break
            phonemes.append(token)
        found.append(phonemes)
    return found


def check(log, repeats):
    """Run the reference words, compare, time."""
    _, weights, reference = open_model("g2p_en")
    model = Model(weights)
    ids, lengths = reference["ids"].astype(int), reference["ids_len"].astype(int)
    h = model.encode(ids, lengths)
    phonemes, first = model.decode(h)
    agree(log, "encoder", h, reference["enc_last"], STATE_TOLERANCE)
    agree(log, "first logits", first, reference["first_logits"], LOGITS_TOLERANCE)
    assert np.array_equal(phonemes, reference["phonemes"]), "the phonemes differ"
    log(f"phonemes of {len(ids)} words: all equal")
    ours = best_time(lambda: model.decode(model.encode(ids, lengths)), repeats)
    plain = best_time(lambda: numpy_run(weights, ids, lengths), repeats=1)
    report(log, "spelling to phonemes", ours, plain, len(ids), "word")


def run(words):
    """Print the phonemes of words."""
    folder, weights, _ = open_model("g2p_en")
    model, symbols = Model(weights), json.loads((folder / "symbols.json").read_text())
    numbers = {letter: k for k, letter in enumerate(symbols["graphemes"])}
    rows = [[*(numbers.get(letter, 1) for letter in word.lower()), END_OF_WORD] for word in words]
    lengths = np.array([len(row) for row in rows])
    ids = np.zeros((len(rows), lengths.max()), int)
    for k, row in enumerate(rows):
        ids[k, : len(row)] = row
    phonemes, _ = model.decode(model.encode(ids, lengths))
    for word, row in zip(words, phonemes, strict=True):
        print(word, *(symbols["phonemes"][k] for k in row if k >= 0))
