# SPDX-License-Identifier: MIT
"""What the writer is compared with: Gaussians without a network, in nats per move like its own losses."""

import numpy as np

from examples.handwriting.strokes import DIGITS, FEATURES, STATES, State, batch

ORDER = 8
"""Moves that the linear autoregression looks back on."""


def gaussian(train, held_out):
    """One Gaussian for all offsets, one frequency for each state; batches in, (loss, loss) of the held-out one."""
    offsets, states = train.offsets[train.valid], train.states[train.valid]
    xy = gaussian_loss(
        offsets - offsets.mean(axis=0), held_out.offsets[held_out.valid] - offsets.mean(axis=0)
    )
    frequency = np.bincount(states, minlength=STATES) / len(states)
    return xy.mean(), -np.log(frequency)[held_out.states[held_out.valid]].mean()


def autoregression(train, held_out):
    """Offsets linear in the digit and the last moves, with Gaussian errors; frequencies of states for each digit.

    Draws and jumps (the moves after LIFT) have coefficients and errors of their own.
    """
    xy = np.zeros(held_out.valid.sum())
    (x, y, jump), (x_new, y_new, jump_new) = regressors(train), regressors(held_out)
    for kind in (False, True):
        coefficients = np.linalg.lstsq(x[jump == kind], y[jump == kind], rcond=None)[0]
        errors, errors_new = (b - a @ coefficients for a, b in ((x, y), (x_new, y_new)))
        xy[jump_new == kind] = gaussian_loss(errors[jump == kind], errors_new[jump_new == kind])
    counts = np.ones((DIGITS, STATES))  # one each beforehand: no state is impossible
    np.add.at(counts, (owners(train), train.states[train.valid]), 1)
    frequency = counts / counts.sum(axis=1, keepdims=True)
    return xy.mean(), -np.log(frequency)[owners(held_out), held_out.states[held_out.valid]].mean()


def gaussian_loss(errors, errors_new):
    """Negative log-density of each of `errors_new` (n, 2) under the Gaussian of mean 0 that fits `errors` best."""
    covariance = errors.T @ errors / len(errors)
    squares = np.einsum("ni,ij,nj->n", errors_new, np.linalg.inv(covariance), errors_new)
    return np.log(2 * np.pi) + 0.5 * (np.linalg.slogdet(covariance)[1] + squares)


def owners(moves):
    """The digit that each valid move belongs to."""
    return np.broadcast_to(moves.labels, moves.states.shape)[moves.valid]


def regressors(moves):
    """Of each valid move: what is known before it, the offset, whether it is a jump."""
    T, N = moves.states.shape
    features = moves.features()
    known = np.zeros((T, N, ORDER, FEATURES))
    for back in range(min(ORDER, T - 1)):
        known[back + 1 :, :, back] = features[: T - back - 1]
    jump = known[:, :, 0, 2 + State.LIFT] == 1
    valid = moves.valid
    digit = np.eye(DIGITS)[owners(moves)]
    return (
        np.concatenate([known[valid].reshape(valid.sum(), -1), digit], axis=1),
        moves.offsets[valid],
        jump[valid],
    )


def both(train, held_out, rng):
    """Losses of both baselines on `Drawings`: {"Gaussian": (offsets, states), "linear autoregression": ...}."""
    pair = [batch(drawings, rng) for drawings in (train, held_out)]
    return {"Gaussian": gaussian(*pair), "linear autoregression": autoregression(*pair)}
