# SPDX-License-Identifier: MIT
"""The translator: a bidirectional GRU reads English, the decoder of `examples.decoder` writes French.

h_j = [GRU_forward(F x_j); GRU_reverse(F x_j)]  F: embedding of the English words
m_j = W_m h_j + b_m                             the memory that the decoder reads
s_0 = tanh(W_s [last h of both directions] + b_s)
"""

from pathlib import Path

import numpy as np

import rnncore
from rnncore.nn import Activation, Embedding, Sequential

from ..common import dropout, save_model
from ..decoder import Decoder
from ..text import Casing, Vocabulary, beam_search, detokenize, ragged, tokenize

LIMIT = 20
"""Largest number of words of a translation."""


class Translator:
    """Encoder, decoder and the words of both languages.

    Parameters
    ----------
    source, target : Vocabulary
    casing : Casing
        Of English.
    features, hidden : int
    seed : int
    """

    def __init__(self, source, target, casing, features, hidden, seed):
        self.source, self.target, self.casing = source, target, casing
        self.embedding = Embedding(len(source), features, seed=seed)
        self.encoder = rnncore.GRU(features, hidden, bidirectional=True, seed=seed)
        self.bridge = rnncore.Linear(2 * hidden, hidden, seed=seed)
        self.start = rnncore.Linear(2 * hidden, hidden, seed=seed + 1)
        self.decoder = Decoder(len(target), features, hidden, [seed, 1])
        self.rate = 0.0  # of dropout

    @property
    def modules(self):
        """All trained parts by name."""
        own = {"source": self.embedding, "encoder": self.encoder, "bridge": self.bridge, "start": self.start}
        return own | self.decoder.modules

    def train(self, pairs, rate, rng):
        """Loss, tokens and gradients, in the order of `modules`, of pairs of numbered sentences; sums over tokens."""
        ids, lengths = ragged([english for english, _ in pairs])
        x, embedding_tape = self.embedding.forward(ids)
        x, mask = dropout(x, rate, rng)
        h, last, encoder_tape = self.encoder.forward(x, lengths=lengths)
        memory, bridge_tape = self.bridge.forward(h)
        ends, start_tape = self.start.forward(np.concatenate([*last], axis=-1))
        state = np.tanh(ends)[np.newaxis]
        loss, tokens, grads, dmemory, dstate = self.decoder.train(
            [french for _, french in pairs], memory, lengths, state, rate, rng
        )
        start = self.start.backward(start_tape, (dstate * (1 - state * state))[0])
        bridge = self.bridge.backward(bridge_tape, dmemory)
        dlast = np.stack(np.split(start.x, 2, axis=-1))
        encoder = self.encoder.backward(encoder_tape, bridge.x, dlast)
        embedding = self.embedding.backward(embedding_tape, encoder.x * mask)
        return loss, tokens, [embedding.params, encoder.params, bridge.params, start.params, *grads]

    def gradients(self, batch):
        """What `rnncore.nn.fit` asks of a model, of pairs of numbered sentences."""
        return self.train(batch.samples, self.rate, batch.rng)

    def evaluate(self, batch):
        """The same of validation pairs, without gradients."""
        english, french = zip(*batch.samples, strict=True)
        return self.decoder.score(french, *self.read(english))

    def read(self, sentences):
        """Memory (S, N, H), lengths and s_0 of numbered English sentences."""
        ids, lengths = ragged(sentences)
        h, last = self.encoder(self.embedding(ids), lengths=lengths)
        state = np.tanh(self.start(np.concatenate([*last], axis=-1)))
        return self.bridge(h), lengths, state[np.newaxis]

    def numbers(self, text):
        """An English text as numbers."""
        return self.source.encode(self.casing.lower(tokenize(text)))

    def translate(self, texts, width=1, alpha=0.0, size=200):
        """French texts of English ones; width 1 is greedy."""
        found = []
        for begin in range(0, len(texts), size):
            memory, lengths, state = self.read([self.numbers(text) for text in texts[begin : begin + size]])
            step = self.decoder.stepper(memory, lengths, width)
            found += beam_search(step, state, width=width, limit=LIMIT, alpha=alpha)
        return [Casing.raise_(detokenize(self.target.decode(numbers))) for numbers in found]

    def attention(self, text, width=1, alpha=0.0):
        """Words of the text, words of its translation with the end, and the weights between them."""
        numbers = self.numbers(text)
        memory, lengths, state = self.read([numbers])
        step = self.decoder.stepper(memory, lengths, width)
        (found,) = beam_search(step, state, width=width, limit=LIMIT, alpha=alpha)
        weights = self.decoder.weights(found, memory, lengths, state)
        return self.source.decode(numbers), self.target.decode([*found, 1]), weights

    def save(self, folder):
        """Write the four chains and the vocabularies; returns the bytes of the chains."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.source.save(folder / "english.json")
        self.target.save(folder / "french.json")
        Vocabulary(sorted(self.casing.small)).save(folder / "casing.json")
        ids, lengths = ragged([[3, 4, 5], [6]])
        memory, _, state = self.read([[3, 4, 5], [6]])
        encoder = Sequential(self.embedding, self.encoder, self.bridge)
        start = Sequential(self.start, Activation("tanh"))
        return (
            save_model(folder / "encoder.safetensors", encoder, ids, lengths)
            + save_model(folder / "start.safetensors", start, np.repeat(memory[0], 2, axis=-1))
            + self.decoder.save(folder, ids, lengths, memory, state)
        )

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote."""
        folder, self = Path(folder), cls.__new__(cls)
        self.source, self.target = (
            Vocabulary.load(folder / "english.json"),
            Vocabulary.load(folder / "french.json"),
        )
        self.casing = Casing([])
        self.casing.small = set(Vocabulary.load(folder / "casing.json").words)
        encoder, start = (rnncore.load(folder / f"{name}.safetensors") for name in ("encoder", "start"))
        self.embedding, self.encoder, self.bridge = encoder[0], encoder[1].layer, encoder[2]
        self.start = start[0]
        self.decoder = Decoder.load(folder)
        return self
