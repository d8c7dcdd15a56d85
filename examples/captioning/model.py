# SPDX-License-Identifier: MIT
"""The captioner: keywords are the memory that the decoder of `examples.decoder` reads.

    m_j = E_k k_j                                   a row for each keyword
    s_0 = tanh(W_s (m_1 + ... + m_K) / K + b_s)     what it starts from; the mean of no keywords is 0

The order of keywords makes no difference, and none at all leaves an ordinary language model.
"""

from pathlib import Path

import numpy as np

import rnncore
from rnncore.nn import Activation, Embedding, Sequential

from ..common import dropout, save_model
from ..decoder import Decoder
from ..text import Casing, Vocabulary, beam_search, detokenize, ragged, sample

LIMIT = 25
"""Largest number of words of a caption."""
NONE, PART = 0.1, 0.4
"""Share of the training captions that see no keywords, and of those that see the ones they use and no other."""


def choose(given, caption, rng):
    """The keywords that a caption is trained with: all of its image, those it uses, or none."""
    chance = rng.random()
    if chance < NONE:
        return []
    return [word for word in given if word in caption] if chance < NONE + PART else given


class Captioner:
    """Keywords, decoder and the vocabulary that both share.

    Parameters
    ----------
    vocabulary : Vocabulary
    features, hidden : int
    seed : int
    """

    def __init__(self, vocabulary, features, hidden, seed):
        self.vocabulary = vocabulary
        self.keywords = Embedding(len(vocabulary), hidden, seed=seed)
        self.start = rnncore.Linear(hidden, hidden, seed=seed)
        self.decoder = Decoder(len(vocabulary), features, hidden, [seed, 1])
        self.rate = 0.0  # of dropout

    @property
    def modules(self):
        """All trained parts by name."""
        return {"keywords": self.keywords, "start": self.start} | self.decoder.modules

    def mean(self, memory, lengths):
        """(N, H) mean of each row's keywords; 0 where there are none."""
        counts = (np.arange(len(memory))[:, np.newaxis] < lengths)[..., np.newaxis]
        return np.sum(memory, axis=0, where=counts) / np.maximum(lengths, 1)[:, np.newaxis].astype(np.float32)

    def train(self, keywords, captions, rate, rng):
        """Loss, tokens and gradients, in the order of `modules`, of keywords and captions; sums over tokens."""
        ids, lengths = ragged(keywords)
        memory, keyword_tape = self.keywords.forward(ids)
        memory, mask = dropout(memory, rate, rng)
        start, start_tape = self.start.forward(self.mean(memory, lengths))
        state = np.tanh(start)[np.newaxis]
        loss, tokens, grads, dmemory, dstate = self.decoder.train(captions, memory, lengths, state, rate, rng)
        start = self.start.backward(start_tape, (dstate * (1 - state * state))[0])
        counts = np.arange(len(memory))[:, np.newaxis] < lengths
        dmean = start.x / np.maximum(lengths, 1)[:, np.newaxis].astype(np.float32)
        dmemory = dmemory + dmean * counts[..., np.newaxis]
        own = self.keywords.backward(keyword_tape, dmemory * mask)
        return loss, tokens, [own.params, start.params, *grads]

    def gradients(self, batch):
        """What `rnncore.nn.fit` asks of a model, of pairs of numbered keywords and captions."""
        rng = batch.rng
        given = [choose(keywords, caption, rng) for keywords, caption in batch.samples]
        return self.train(given, [caption for _, caption in batch.samples], self.rate, rng)

    def evaluate(self, batch):
        """The same of validation captions, without gradients, given all keywords."""
        keywords, captions = zip(*batch.samples, strict=True)
        return self.decoder.score(captions, *self.read(keywords))

    def read(self, keywords):
        """Memory (K, N, H), lengths and s_0 of numbered keywords."""
        ids, lengths = ragged(keywords)
        memory = self.keywords(ids)
        return memory, lengths, np.tanh(self.start(self.mean(memory, lengths)))[np.newaxis]

    def loss(self, keywords, captions, size=256):
        """Mean of -log p per word of the captions."""
        parts = [slice(begin, begin + size) for begin in range(0, len(captions), size)]
        return self.decoder.loss((captions[part], *self.read(keywords[part])) for part in parts)

    def write(self, keywords, search, reward, width=1, size=200):
        """Captions, as lists of words, of numbered keywords; a keyword's first use adds `reward` to its score."""
        found = []
        for begin in range(0, len(keywords), size):
            part = keywords[begin : begin + size]
            memory, lengths, state = self.read(part)
            rewards = np.zeros((len(part), len(self.vocabulary)), np.float32)
            for row, given in enumerate(part):
                rewards[row, given] = reward
            found += search(self.decoder.stepper(memory, lengths, width), state, rewards)
        return [self.vocabulary.decode(numbers) for numbers in found]

    def beam(self, keywords, width=5, alpha=0.6, reward=0.0):
        """The likeliest captions, as lists of words."""

        def search(step, state, rewards):
            return beam_search(step, state, width=width, limit=LIMIT, alpha=alpha, rewards=rewards)

        return self.write(keywords, search, reward, width)

    def sample(self, keywords, rng, temperature=1.0, mass=1.0, reward=0.0):
        """Drawn captions, as lists of words."""

        def search(step, state, rewards):
            return sample(step, state, rng, limit=LIMIT, temperature=temperature, mass=mass, rewards=rewards)

        return self.write(keywords, search, reward)

    def attention(self, keywords, caption):
        """What each word of a numbered caption, and its end, reads: (words, keywords)."""
        return self.decoder.weights(caption, *self.read([keywords]))

    def text(self, tokens):
        """A caption for people to read."""
        return Casing.raise_(detokenize(tokens))

    def save(self, folder):
        """Write the four chains and the vocabulary; returns the bytes of the chains."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.vocabulary.save(folder / "words.json")
        ids, _ = ragged([[3, 4, 5], [6]])
        memory, lengths, state = self.read([[3, 4, 5], [6]])
        start = Sequential(self.start, Activation("tanh"))
        return (
            save_model(folder / "keywords.safetensors", Sequential(self.keywords), ids)
            + save_model(folder / "start.safetensors", start, memory)
            + self.decoder.save(folder, ids, lengths, memory, state)
        )

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote."""
        folder, self = Path(folder), cls.__new__(cls)
        self.vocabulary = Vocabulary.load(folder / "words.json")
        self.keywords, self.start = (
            rnncore.load(folder / f"{name}.safetensors")[0] for name in ("keywords", "start")
        )
        self.decoder = Decoder.load(folder)
        return self
