# SPDX-License-Identifier: MIT
"""The decoder of the examples about language: a GRU that looks at a memory with attention before each word.

    s_t = GRU(E y_{t-1}, s_{t-1})                   E: embedding of the word before
    a_t = softmax_j(s_t . m_j / sqrt(H))            what it reads where in the memory m_1..m_S
    c_t = sum_j a_tj m_j
    o_t = tanh(W_o [c_t; s_t] + b_o)
    p(y_t | y_<t, m) = softmax(W_v o_t + b_v)

Luong, Pham and Manning (2015), global attention without input feeding, so that the GRU takes all steps of a
sentence in one call. The loss is the mean of -log p(y_t) over the words of the batch, their ends included.
"""

import numpy as np

import rnncore
from rnncore.nn import Activation, Attention, Embedding, Sequential

from .common import dropout, save_model
from .text import ragged, valid


class Decoder:
    """See the module. `modules` are its trained parts by name.

    Parameters
    ----------
    words, features, hidden : int
        Size of the vocabulary, of the embedding, and H, which the memory has too.
    seed : list of int
    """

    def __init__(self, words, features, hidden, seed):
        seeds = np.random.SeedSequence(seed).generate_state(4)
        self.embedding = Embedding(words, features, seed=int(seeds[0]))
        self.gru = rnncore.GRU(features, hidden, seed=int(seeds[1]))
        self.combine = rnncore.Linear(2 * hidden, hidden, seed=int(seeds[2]))
        self.head = rnncore.Linear(hidden, words, seed=int(seeds[3]))
        self.attention = Attention(scale=hidden**-0.5)

    @property
    def modules(self):
        """The trained parts by name."""
        return {"embedding": self.embedding, "gru": self.gru, "combine": self.combine, "head": self.head}

    def save(self, folder, ids, lengths, memory, state):
        """Write two chains, words to states, and context with states to logits; checked on these inputs; bytes."""
        decoder = Sequential(self.embedding, self.gru)
        output = Sequential(self.combine, Activation("tanh"), self.head)
        context = np.concatenate([memory[0], state[0]], axis=-1)
        return save_model(folder / "decoder.safetensors", decoder, ids, lengths) + save_model(
            folder / "output.safetensors", output, context
        )

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote."""
        self = cls.__new__(cls)
        decoder, output = (rnncore.load(folder / f"{name}.safetensors") for name in ("decoder", "output"))
        self.embedding, self.gru = decoder[0], decoder[1].layer
        self.combine, self.head = output[0], output[2]
        self.attention = Attention(scale=self.gru.spec.hidden_size**-0.5)
        return self

    def train(self, sentences, memory, lengths, state, rate, rng):
        """Loss and gradients of a batch, with teacher forcing; sums over its words.

        Parameters
        ----------
        sentences : list of list of int
            Without begin and end.
        memory, lengths : array (S, N, H), ints (N,)
        state : array (1, N, H)
            s_0.
        rate, rng
            Of dropout, on the embedding and before the head.

        Returns
        -------
        loss : float
        tokens : int
        grads : list of dict
            In the order of `modules`.
        dmemory, dstate : gradients of memory and state
        """
        before, steps = ragged([[0, *sentence] for sentence in sentences])
        after, _ = ragged([[*sentence, 1] for sentence in sentences])
        counts = valid(steps, len(before))  # the head works on words alone, never on padding
        rows, embedding_tape = self.embedding.forward(before)
        rows, row_mask = dropout(rows, rate, rng)
        s, _, gru_tape = self.gru.forward(rows, state, lengths=steps)
        c, _, attention_tape = self.attention.forward(s, memory, lengths)
        o, combine_tape = self.combine.forward(np.concatenate([c[counts], s[counts]], axis=-1))
        np.tanh(o, out=o)
        dropped, mask = dropout(o, rate, rng)
        logits, head_tape = self.head.forward(dropped)
        loss, dlogits = rnncore.cross_entropy(logits, after[counts])
        dlogits *= np.float32(len(dlogits))

        head = self.head.backward(head_tape, dlogits)
        combine = self.combine.backward(combine_tape, head.x * mask * (1 - o * o))
        H = s.shape[-1]
        dc, ds = np.zeros_like(c), np.zeros_like(s)
        dc[counts], ds[counts] = combine.x[:, :H], combine.x[:, H:]
        read = self.attention.backward(attention_tape, dc)
        gru = self.gru.backward(gru_tape, ds + read.queries)
        embedding = self.embedding.backward(embedding_tape, gru.x * row_mask)
        grads = [embedding.params, gru.params, combine.params, head.params]
        return loss * len(dlogits), len(dlogits), grads, read.memory, gru.state

    def score(self, sentences, memory, lengths, state):
        """Sum of -log p over a batch's words and ends, and their number."""
        before, steps = ragged([[0, *sentence] for sentence in sentences])
        after, _ = ragged([[*sentence, 1] for sentence in sentences])
        counts = valid(steps, len(before))
        s, _ = self.gru(self.embedding(before), state, lengths=steps)
        c, _ = self.attention(s, memory, lengths)
        loss, _ = rnncore.cross_entropy(self.logits(c[counts], s[counts]), after[counts])
        return loss * int(counts.sum()), int(counts.sum())

    def loss(self, batches):
        """Mean of -log p per word over batches (sentences, memory, lengths, state)."""
        total, tokens = np.sum([self.score(*batch) for batch in batches], axis=0)
        return float(total / tokens)

    def logits(self, c, s):
        """Scores of all words, given contexts and states (..., H)."""
        return self.head(np.tanh(self.combine(np.concatenate([c, s], axis=-1))))

    def stepper(self, memory, lengths, width=1):
        """The ``step(tokens, state) -> (logits, state)`` of `text.beam_search` and `text.sample`."""
        memory, lengths = np.repeat(memory, width, axis=1), np.repeat(lengths, width)

        def step(tokens, state):
            s, state = self.gru(self.embedding(tokens[np.newaxis]), state)
            c, _ = self.attention(s, memory, lengths)
            return self.logits(c[0], s[0]), state

        return step

    def weights(self, sentence, memory, lengths, state):
        """What each word of one sentence, its end included, took from the memory: (words, S)."""
        s, _ = self.gru(self.embedding(np.array([[0, *sentence]]).T), state)
        return self.attention(s, memory, lengths)[1][0]
