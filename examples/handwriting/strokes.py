# SPDX-License-Identifier: MIT
"""Digits as pen movements: from recorded points to batches for the layers, and back to points.

A digit of n points is n - 1 moves. A move is the offset (dx, dy) from the point before and the state of the pen after
it: DOWN, the next move draws; LIFT, the next move is a jump; END, nothing follows.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from examples import data


class State(IntEnum):
    """Of the pen after a move; PADDING where there is none."""

    DOWN, LIFT, END, PADDING = range(4)


STATES, DIGITS = 3, 10
FEATURES = 2 + STATES
UNIT = 10.0
"""Tablet units; dividing by it brings offsets to about unit size, their root mean square is 9.9."""
VALIDATION_WRITERS = (6, 12, 18, 24, 30)
"""Of the 30 writers of the training file; everything is chosen by these five, never by the 14 of the test file."""

# Spread of the random affine maps that a training digit goes through: people write larger, wider, more slanted.
SCALE, ASPECT, SLANT, TURN = 0.10, 0.08, 0.12, 0.06


@dataclass
class Drawings:
    """Moves of N digits: lists `offsets`, (n - 1, 2) in tablet units, and `states`, (n - 1,); `labels` (N,)."""

    offsets: list
    states: list
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, k):
        return self.offsets[k], self.states[k], self.labels[k]

    def take(self, rows):
        """The digits of these numbers."""
        return Drawings([self.offsets[k] for k in rows], [self.states[k] for k in rows], self.labels[rows])


def moves(points):
    """Offsets and pen states of points (n, 3): x, y, 1 where the pen goes up after the point."""
    states = points[1:, 2].astype(np.int64) * State.LIFT
    states[-1] = State.END
    return np.diff(points[:, :2].astype(np.float32), axis=0), states


def load():
    """The digits of training, validation and test writers, three `Drawings`."""
    fields = data.load("pendigits_unipen")
    found = {}
    for split in ("train", "test"):
        points, lengths = fields[f"{split}_pts"], fields[f"{split}_len"]
        offsets, states = zip(*map(moves, data.ragged(points, lengths)), strict=True)
        found[split] = Drawings(list(offsets), list(states), fields[f"{split}_y"].astype(np.int64))
    held_out = np.isin(fields["train_comment"][:, 1], VALIDATION_WRITERS)
    train = found["train"]
    return train.take(np.flatnonzero(~held_out)), train.take(np.flatnonzero(held_out)), found["test"]


def parts(drawings, size=500):
    """`drawings` in pieces of at most `size`."""
    for start in range(0, len(drawings), size):
        yield drawings.take(np.arange(start, min(start + size, len(drawings))))


@dataclass
class Batch:
    """Padded moves, time first: `offsets` (T, N, 2) of unit size, `states` (T, N), `lengths` and `labels` (N,)."""

    offsets: np.ndarray
    states: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray

    @property
    def valid(self):
        """Where there is a move, (T, N)."""
        return self.states != State.PADDING

    def features(self):
        """Moves as numbers, (T, N, 5): the offset, then the state one-hot."""
        one_hot = np.eye(STATES + 1, STATES, dtype=np.float32)
        return np.concatenate([self.offsets, one_hot[self.states]], axis=2)


def batch(drawings, rng, augment=False):
    """A `Batch` of all `drawings`.

    Coordinates come rounded to whole tablet units. A density could grow without bound on such points, so each offset
    is spread over its rounding interval; what is learned and judged is then a bound of the probability of the rounded
    offsets (L. Theis, A. van den Oord, M. Bethge, arXiv:1511.01844, section 3.1).
    """
    lengths = np.array([len(states) for states in drawings.states])
    T, N = lengths.max(), len(drawings)
    offsets, states = np.zeros((T, N, 2), np.float32), np.full((T, N), State.PADDING)
    for k, length in enumerate(lengths):
        offsets[:length, k], states[:length, k] = drawings.offsets[k], drawings.states[k]
    offsets += noise(rng, offsets.shape)
    if augment:
        offsets = np.einsum("tni,nij->tnj", offsets, distortions(N, rng))
    return Batch(offsets / np.float32(UNIT), states, lengths, drawings.labels)


def noise(rng, shape):
    """Uniform over the rounding interval of one unit."""
    return rng.random(shape, np.float32) - np.float32(0.5)


def distortions(N, rng):
    """Random affine maps (N, 2, 2): size, aspect, slant, rotation."""
    size, aspect, slant, turn = rng.standard_normal((4, N)) * np.array([SCALE, ASPECT, SLANT, TURN])[:, None]
    wide, high, cos, sin = np.exp(size + aspect), np.exp(size - aspect), np.cos(turn), np.sin(turn)
    shear = np.stack([np.stack([wide, 0 * wide], -1), np.stack([slant * high, high], -1)], -2)
    rotation = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
    return (shear @ rotation).astype(np.float32)
