# SPDX-License-Identifier: MIT
"""The writer: an LSTM that is told a digit and predicts the pen's next move, as a density to draw moves from."""

import numpy as np

import rnncore
from examples.common import dropout
from examples.handwriting.strokes import DIGITS, FEATURES, STATES, UNIT, Drawings, State, batch, parts
from rnncore.nn import softmax

PLACE = slice(FEATURES, FEATURES + 2)
INPUTS = FEATURES + 2 + DIGITS
NEAR = 0.1
"""Brings the pen's distance from where it began, some 10 offsets, to unit size."""
RARE = 0.02
"""A pen state less likely than this is not drawn where a bias asks for neat digits: one early END ruins a digit."""
MAX_MOVES = 250
"""Drawing stops here if the pen is never put away; the longest recorded digit has 231 points."""


class Writer:
    """LSTM and linear head; the head's outputs are 6*M numbers of a mixture and the logits of the pen's states."""

    def __init__(self, lstm, head, rate=0.0):
        self.lstm, self.head, self.rate = lstm, head, rate
        self.split = head.out_features - STATES
        self.modules = {"lstm": lstm, "head": head}

    @classmethod
    def new(cls, hidden, components, rate, seed):
        """With drawn parameters; `rate` is that of dropout before the head."""
        seeds = np.random.SeedSequence(seed).spawn(2)
        lstm = rnncore.LSTM(INPUTS, hidden, seed=seeds[0])
        return cls(lstm, rnncore.Linear(hidden, 6 * components + STATES, seed=seeds[1]), rate)

    def inputs(self, moves):
        """What the LSTM reads, (T, N, 17): the move before (none at first), where the pen is, the digit one-hot."""
        T, N = moves.states.shape
        x = np.zeros((T, N, INPUTS), np.float32)
        x[1:, :, :FEATURES] = moves.features()[:-1]
        x[1:, :, PLACE] = NEAR * np.cumsum(moves.offsets[:-1], axis=0)
        x[:, np.arange(N), PLACE.stop + moves.labels] = 1
        return x

    def losses(self, outputs, offsets, states):
        """Losses of offsets and of states in nats per move, and the gradient of their sum."""
        xy, d_xy = rnncore.mixture_loss(outputs[:, : self.split], offsets)
        pen, d_pen = rnncore.cross_entropy(outputs[:, self.split :], states)
        return xy, pen, np.concatenate([d_xy, d_pen], axis=1)

    def train(self, moves, rng):
        """Loss, number of moves and gradients of a `strokes.Batch`; sums over moves."""
        valid, count = moves.valid, int(moves.lengths.sum())
        y, _, tape = self.lstm.forward(self.inputs(moves), lengths=moves.lengths)
        h, mask = dropout(y[valid], self.rate, rng)
        outputs, head_tape = self.head.forward(h)
        xy, pen, d_outputs = self.losses(outputs, moves.offsets[valid], moves.states[valid])
        d_outputs *= np.float32(count)
        head_grads = self.head.backward(head_tape, d_outputs)
        dy = np.zeros_like(y)
        dy[valid] = head_grads.x * mask
        grads = self.lstm.backward(tape, dy, input_grad=False)
        return (xy + pen) * count, count, [grads.params, head_grads.params]

    def gradients(self, some):
        """What `rnncore.nn.fit` asks of a model, of digits that are distorted by chance."""
        rng = some.rng
        return self.train(batch(some.data.take(some.rows), rng, augment=True), rng)

    def evaluate(self, some):
        """The same of validation digits, without gradients."""
        drawings = some.data.take(some.rows)
        count = sum(map(len, drawings.states))
        return float(self.judge(drawings, some.rng).sum()) * count, count

    def judge(self, drawings, rng):
        """Losses of offsets and of states, in nats per move, over all `drawings`."""
        sums, count = np.zeros(2), 0
        for part in parts(drawings):
            moves = batch(part, rng)
            y, _ = self.lstm(self.inputs(moves), lengths=moves.lengths)
            valid = moves.valid
            losses = self.losses(self.head(y[valid]), moves.offsets[valid], moves.states[valid])[:2]
            sums += np.array(losses) * valid.sum()
            count += valid.sum()
        return sums / count

    def write(self, labels, rng, bias=0.0):
        """Draw these digits; `Drawings` in whole tablet units, as they are recorded."""
        N = len(labels)
        offsets, states = np.zeros((MAX_MOVES, N, 2), np.float32), np.full((MAX_MOVES, N), State.PADDING)
        x = np.zeros((N, INPUTS), np.float32)
        x[np.arange(N), PLACE.stop + np.asarray(labels)] = 1
        stream, rows = self.lstm.stream(N), np.arange(N)
        for t in range(MAX_MOVES):
            outputs = self.head(stream.step(x))
            offsets[t, rows] = rnncore.mixture_sample(outputs[:, : self.split], rng, bias)
            p = softmax(outputs[:, self.split :])
            p[p < (RARE if bias else 0.0)] = 0
            p = (p / p.sum(axis=1, keepdims=True)).cumsum(axis=1)
            states[t, rows] = (p < rng.random((len(rows), 1))).sum(axis=1).clip(max=State.END)
            x[:, :2], x[:, 2:FEATURES] = offsets[t, rows], np.eye(STATES)[states[t, rows]]
            x[:, PLACE] += NEAR * offsets[t, rows]
            keep = np.flatnonzero(states[t, rows] != State.END)
            rows, x = rows[keep], x[keep]
            if not len(rows):
                break
            stream.select(keep)
        lengths, offsets = (states != State.PADDING).sum(axis=0), np.round(offsets * UNIT)
        cut = [[moves[:n, k] for k, n in enumerate(lengths)] for moves in (offsets, states)]
        return Drawings(*cut, np.asarray(labels))

    def expect(self, drawings, rng, draws):
        """Where the next point may lie: for each digit `draws` samples of every offset, (n, draws, 2) tablet units."""
        moves = batch(drawings, rng)
        y, _ = self.lstm(self.inputs(moves), lengths=moves.lengths)
        outputs = [self.head(y[:n, k])[:, np.newaxis, : self.split] for k, n in enumerate(moves.lengths)]
        return [rnncore.mixture_sample(np.repeat(params, draws, axis=1), rng) * UNIT for params in outputs]
