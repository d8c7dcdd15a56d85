# SPDX-License-Identifier: MIT
"""The reader: a bidirectional GRU that reads moves and says which digit they draw; trained on real writers only."""

import numpy as np

import rnncore
from examples.common import dropout
from examples.handwriting.strokes import DIGITS, FEATURES, batch, parts
from rnncore.nn import Recurrent, Sequential


class Reader:
    """Both directions' last states, dropout, a linear head."""

    def __init__(self, hidden, rate, seed):
        self.rate = rate
        seeds = np.random.SeedSequence(seed).spawn(2)
        self.gru = rnncore.GRU(FEATURES, hidden, bidirectional=True, seed=seeds[0])
        self.head = rnncore.Linear(2 * hidden, DIGITS, seed=seeds[1])
        self.modules = {"gru": self.gru, "head": self.head}
        self.model = Sequential(Recurrent(self.gru, return_sequences=False), self.head)

    def train(self, moves, rng):
        """Loss, number of digits and gradients of a `strokes.Batch`; sums over digits."""
        count = len(moves.labels)
        _, state, tape = self.gru.forward(moves.features(), lengths=moves.lengths)
        h, mask = dropout(np.concatenate(list(state), axis=1), self.rate, rng)
        logits, head_tape = self.head.forward(h)
        loss, d_logits = rnncore.cross_entropy(logits, moves.labels)
        head_grads = self.head.backward(head_tape, d_logits * np.float32(count))
        d_state = np.stack(np.split(head_grads.x * mask, 2, axis=1))
        grads = self.gru.backward(tape, None, d_state, input_grad=False)
        return loss * count, count, [grads.params, head_grads.params]

    def gradients(self, some):
        """What `rnncore.nn.fit` asks of a model, of digits that are distorted by chance."""
        rng = some.rng
        return self.train(batch(some.data.take(some.rows), rng, augment=True), rng)

    def evaluate(self, some):
        """The same of validation digits, without gradients."""
        return self.read(some.data.take(some.rows), some.rng)[0] * len(some.rows), len(some.rows)

    def logits(self, moves):
        """Of a `Batch`, (N, 10)."""
        return self.model(moves.features(), moves.lengths)

    def read(self, drawings, rng):
        """Loss on `drawings` and the digits read, (N,)."""
        logits = np.concatenate([self.logits(batch(part, rng)) for part in parts(drawings)])
        return rnncore.cross_entropy(logits, drawings.labels)[0], logits.argmax(axis=1)
