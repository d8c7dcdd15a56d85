# SPDX-License-Identifier: MIT
"""The equations of every cell, forward and backward, and the time loop: the specification of rnncore.

Each cell is one block of equations and two short functions side by side.  F lines are the forward pass of
one step, B lines reverse the F line of the same number.  The blocks stand, letter for letter, in
csrc/cells/*.c and docs/equations.md; those of cells with options are in cells_general.py.  Products with W
are matrix products, * is element by element; X[k] is the block of gate k in a stacked matrix; += adds to a
gradient that all steps share, or to the term before.

In the code rows are batch rows, so W x reads x @ W.T and a sum over the batch is a product or .sum(axis=0).
`w` holds the weights of one layer and direction, `dw` their gradients, `s` what the forward step saved.
All arrays are float64.
"""

from types import SimpleNamespace as Saved

import numpy as np

from ..spec.activations import sigmoid


def blocks(stacked, count):
    """The gates' parts of a stacked array, split along its last axis."""
    return np.split(stacked, count, axis=-1)


# Basic RNN -------------------------------------------------------------------------------------------------
#
#   F1  a    = b_ih + b_hh + W_ih x_t + W_hh h_{t-1}
#   F2  h_t  = tanh(a)          or relu(a)
#
#   B2  da       = dh_t * (1 - h_t^2)          or 0 where h_t <= 0, else dh_t
#   B1  dx_t     = W_ih^T da        dh_{t-1}  = W_hh^T da
#       dW_ih   += da x_t^T         dW_hh    += da h_{t-1}^T
#       db_ih   += da               db_hh    += da


def rnn_forward_step(w, x, state, relu=False):
    """x (N, in), state (h,) of (N, H): the next state and what to save."""
    (h,) = state
    a = w.bias_ih + w.bias_hh + x @ w.weight_ih.T + h @ w.weight_hh.T  # F1
    h_t = np.maximum(a, 0.0) if relu else np.tanh(a)  # F2
    return (h_t,), Saved(x=x, h=h, h_t=h_t)


def rnn_backward_step(w, dw, s, dstate, relu=False):
    """dstate (dh_t,): dx and the gradient of the state before the step; adds to dw."""
    (dh_t,) = dstate
    da = np.where(s.h_t <= 0, 0.0, dh_t) if relu else dh_t * (1 - s.h_t**2)  # B2
    return linear_backward(w, dw, s.x, s.h, da)  # B1


def linear_backward(w, dw, x, h, da):
    """Reverse a = b_ih + b_hh + W_ih x + W_hh h; gives dx and the tuple (dh,)."""
    dw.weight_ih += da.T @ x
    dw.weight_hh += da.T @ h
    dw.bias_ih += da.sum(axis=0)
    dw.bias_hh += da.sum(axis=0)
    return da @ w.weight_ih, (da @ w.weight_hh,)


# LSTM ------------------------------------------------------------------------------------------------------
#
#   F1  a    = b_ih + b_hh + W_ih x_t + W_hh h_{t-1}
#   F2  i    = sigmoid(a[i])
#   F3  f    = sigmoid(a[f])
#   F4  g    = tanh(a[g])
#   F5  o    = sigmoid(a[o])
#   F6  c_t  = f * c_{t-1} + i * g
#   F7  m    = o * tanh(c_t)
#   F8  h_t  = W_hr m           (without projection: h_t = m)
#
#   B8  dm       = W_hr^T dh_t      dW_hr    += dh_t m^T          (without projection: dm = dh_t)
#   B7  do       = dm * tanh(c_t)   dc_t     += dm * o * (1 - tanh(c_t)^2)
#   B6  df       = dc_t * c_{t-1}   dc_{t-1}  = dc_t * f          di = dc_t * g          dg = dc_t * i
#   B5  da[o]    = do * o * (1 - o)
#   B4  da[g]    = dg * (1 - g^2)
#   B3  da[f]    = df * f * (1 - f)
#   B2  da[i]    = di * i * (1 - i)
#   B1  dx_t     = W_ih^T da        dh_{t-1}  = W_hh^T da
#       dW_ih   += da x_t^T         dW_hh    += da h_{t-1}^T
#       db_ih   += da               db_hh    += da


def lstm_forward_step(w, x, state):
    """x (N, in), state (h, c) of (N, H or P) and (N, H): the next state and what to save."""
    h, c = state
    a = w.bias_ih + w.bias_hh + x @ w.weight_ih.T + h @ w.weight_hh.T  # F1
    a_i, a_f, a_g, a_o = blocks(a, 4)
    i = sigmoid(a_i)  # F2
    f = sigmoid(a_f)  # F3
    g = np.tanh(a_g)  # F4
    o = sigmoid(a_o)  # F5
    c_t = f * c + i * g  # F6
    tanh_c = np.tanh(c_t)
    m = o * tanh_c  # F7
    h_t = m if w.weight_hr is None else m @ w.weight_hr.T  # F8
    return (h_t, c_t), Saved(x=x, h=h, c=c, i=i, f=f, g=g, o=o, tanh_c=tanh_c, m=m)


def lstm_backward_step(w, dw, s, dstate):
    """dstate (dh_t, dc_t): dx and the gradient of the state before the step; adds to dw."""
    dh_t, dc_t = dstate
    if w.weight_hr is None:  # B8
        dm = dh_t
    else:
        dm = dh_t @ w.weight_hr
        dw.weight_hr += dh_t.T @ s.m
    do = dm * s.tanh_c  # B7
    dc_t = dc_t + dm * s.o * (1 - s.tanh_c**2)
    df, dc, di, dg = dc_t * s.c, dc_t * s.f, dc_t * s.g, dc_t * s.i  # B6
    da_o = do * s.o * (1 - s.o)  # B5
    da_g = dg * (1 - s.g**2)  # B4
    da_f = df * s.f * (1 - s.f)  # B3
    da_i = di * s.i * (1 - s.i)  # B2
    da = np.concatenate([da_i, da_f, da_g, da_o], axis=-1)
    dx, (dh,) = linear_backward(w, dw, s.x, s.h, da)  # B1
    return dx, (dh, dc)


# GRU, reset after the recurrent product (reset_after=True, PyTorch's form) ----------------------------------
#
#   F1  r    = sigmoid(b_ih[r] + b_hh[r] + W_ih[r] x_t + W_hh[r] h_{t-1})
#   F2  z    = sigmoid(b_ih[z] + b_hh[z] + W_ih[z] x_t + W_hh[z] h_{t-1})
#   F3  q    = b_hh[n] + W_hh[n] h_{t-1}
#   F4  n    = tanh(b_ih[n] + W_ih[n] x_t + r * q)
#   F5  h_t  = (1 - z) * n + z * h_{t-1}
#
#   B5  dn       = dh_t * (1 - z)   dz        = dh_t * (h_{t-1} - n)          dh_{t-1} = dh_t * z
#   B4  da[n]    = dn * (1 - n^2)   dq        = da[n] * r                     dr = da[n] * q
#   B3  dh_{t-1} += W_hh[n]^T dq    dW_hh[n] += dq h_{t-1}^T                  db_hh[n] += dq
#   B2  da[z]    = dz * z * (1 - z)
#   B1  da[r]    = dr * r * (1 - r)
#       dx_t     = W_ih^T da        dh_{t-1} += W_hh[r,z]^T da[r,z]
#       dW_ih   += da x_t^T         dW_hh[r,z] += da[r,z] h_{t-1}^T
#       db_ih   += da               db_hh[r,z] += da[r,z]


def gru_forward_step(w, x, state):
    """x (N, in), state (h,) of (N, H): the next state and what to save."""
    (h,) = state
    x_r, x_z, x_n = blocks(w.bias_ih + x @ w.weight_ih.T, 3)
    h_r, h_z, q = blocks(w.bias_hh + h @ w.weight_hh.T, 3)  # F3
    r = sigmoid(x_r + h_r)  # F1
    z = sigmoid(x_z + h_z)  # F2
    n = np.tanh(x_n + r * q)  # F4
    h_t = (1 - z) * n + z * h  # F5
    return (h_t,), Saved(x=x, h=h, r=r, z=z, n=n, q=q)


def gru_backward_step(w, dw, s, dstate):
    """dstate (dh_t,): dx and the gradient of the state before the step; adds to dw."""
    (dh_t,) = dstate
    dn, dz, dh = dh_t * (1 - s.z), dh_t * (s.h - s.n), dh_t * s.z  # B5
    da_n = dn * (1 - s.n**2)  # B4
    dq, dr = da_n * s.r, da_n * s.q
    da_z = dz * s.z * (1 - s.z)  # B2
    da_r = dr * s.r * (1 - s.r)  # B1
    da_ih = np.concatenate([da_r, da_z, da_n], axis=-1)
    da_hh = np.concatenate([da_r, da_z, dq], axis=-1)  # B3 and B1: the recurrent side sees dq for n
    dw.weight_ih += da_ih.T @ s.x
    dw.weight_hh += da_hh.T @ s.h
    dw.bias_ih += da_ih.sum(axis=0)
    dw.bias_hh += da_hh.sum(axis=0)
    return da_ih @ w.weight_ih, (dh + da_hh @ w.weight_hh,)


# GRU, reset before the recurrent product (reset_after=False, ONNX's default form) ---------------------------
#
#   F1  r    = sigmoid(b_ih[r] + b_hh[r] + W_ih[r] x_t + W_hh[r] h_{t-1})
#   F2  z    = sigmoid(b_ih[z] + b_hh[z] + W_ih[z] x_t + W_hh[z] h_{t-1})
#   F3  q    = r * h_{t-1}
#   F4  n    = tanh(b_ih[n] + b_hh[n] + W_ih[n] x_t + W_hh[n] q)
#   F5  h_t  = (1 - z) * n + z * h_{t-1}
#
#   B5  dn       = dh_t * (1 - z)   dz        = dh_t * (h_{t-1} - n)          dh_{t-1} = dh_t * z
#   B4  da[n]    = dn * (1 - n^2)   dq        = W_hh[n]^T da[n]               dW_hh[n] += da[n] q^T
#   B3  dr       = dq * h_{t-1}     dh_{t-1} += dq * r
#   B2  da[z]    = dz * z * (1 - z)
#   B1  da[r]    = dr * r * (1 - r)
#       dx_t     = W_ih^T da        dh_{t-1} += W_hh[r,z]^T da[r,z]
#       dW_ih   += da x_t^T         dW_hh[r,z] += da[r,z] h_{t-1}^T
#       db_ih   += da               db_hh    += da


def gru_before_forward_step(w, x, state):
    """As `gru_forward_step`."""
    (h,) = state
    a = w.bias_ih + w.bias_hh + x @ w.weight_ih.T
    x_r, x_z, x_n = blocks(a, 3)
    w_r, w_z, w_n = np.split(w.weight_hh, 3)
    r = sigmoid(x_r + h @ w_r.T)  # F1
    z = sigmoid(x_z + h @ w_z.T)  # F2
    q = r * h  # F3
    n = np.tanh(x_n + q @ w_n.T)  # F4
    h_t = (1 - z) * n + z * h  # F5
    return (h_t,), Saved(x=x, h=h, r=r, z=z, n=n, q=q)


def gru_before_backward_step(w, dw, s, dstate):
    """As `gru_backward_step`."""
    (dh_t,) = dstate
    H = s.n.shape[-1]
    dn, dz, dh = dh_t * (1 - s.z), dh_t * (s.h - s.n), dh_t * s.z  # B5
    da_n = dn * (1 - s.n**2)  # B4
    dq = da_n @ w.weight_hh[2 * H :]
    dw.weight_hh[2 * H :] += da_n.T @ s.q
    dr = dq * s.h  # B3
    dh = dh + dq * s.r
    da_z = dz * s.z * (1 - s.z)  # B2
    da_r = dr * s.r * (1 - s.r)  # B1
    da_rz = np.concatenate([da_r, da_z], axis=-1)
    da = np.concatenate([da_rz, da_n], axis=-1)
    dw.weight_ih += da.T @ s.x
    dw.weight_hh[: 2 * H] += da_rz.T @ s.h
    dw.bias_ih += da.sum(axis=0)
    dw.bias_hh += da.sum(axis=0)
    return da @ w.weight_ih, (dh + da_rz @ w.weight_hh[: 2 * H],)


def steps_of(layer_spec, direction):
    """The (forward, backward) step functions of a layer's direction."""
    if layer_spec.general:
        from . import cells_general

        return cells_general.steps_of(layer_spec, direction)
    if layer_spec.cell == "lstm":
        return lstm_forward_step, lstm_backward_step
    if layer_spec.cell == "gru":
        if layer_spec.reset_after:
            return gru_forward_step, gru_backward_step
        return gru_before_forward_step, gru_before_backward_step
    relu = layer_spec.nonlinearity == "relu"
    return (
        lambda w, x, state: rnn_forward_step(w, x, state, relu),
        lambda w, dw, s, dstate: rnn_backward_step(w, dw, s, dstate, relu),
    )


# Time loop of one layer in one direction ------------------------------------------------------------------


def walk(T, lengths, reverse):
    """Steps in the order of computation, each with the rows that are valid there.

    A row takes part in step t iff t < its length; otherwise it keeps its state.  So the forward direction
    ends, and the reverse direction starts, at each row's own last step.
    """
    for t in range(T - 1, -1, -1) if reverse else range(T):
        yield t, np.flatnonzero(lengths > t)


# Zoneout (Krueger et al. 2017) of any cell's h, and of the LSTM's c: new is what the cell gives, and the LSTM's m sees
# c before zoneout.  z is 1 with probability p, else 0; without a tape it is its expectation, p.
#
#   h_t = z * h_{t-1} + (1 - z) * new
#
#   dnew = (1 - z) * dh_t           dh_{t-1} += z * dh_t


class Zone:
    """Zoneout of one part of the state: `keep` and `take`, float64 scalars or (T, N, features) of 0 and 1."""

    def __init__(self, keep, take):
        self.keep, self.take = keep, take

    def of(self, rows):
        """The zone of some rows of the batch."""
        return Zone(self.keep[:, rows], self.take[:, rows]) if np.ndim(self.keep) else self

    def at(self, t, rows):
        """`keep` and `take` of a step."""
        return (self.keep[t, rows], self.take[t, rows]) if np.ndim(self.keep) else (self.keep, self.take)


NO_ZONES = (Zone(0.0, 1.0),) * 2


def zone_forward(zone, t, rows, old, new):
    """The new value of a part of the state; a factor of 0 takes nothing, not even NaN."""
    keep, take = zone.at(t, rows)
    return np.where(keep == 0, new, np.where(take == 0, old, keep * old + take * new))


def run_forward(step, w, x, state, lengths, reverse, zones=NO_ZONES):
    """One layer, one direction.

    Parameters
    ----------
    x : float64 (T, N, in)
    state : tuple of float64 (N, features); updated in place to the final state
    lengths : int (N,)
    zones : Zone of each part of the state

    Returns
    -------
    y : float64 (T, N, H or P), zero at padding
    records : list, what the backward pass needs, one entry per step in order of computation
    """
    T, N, _ = x.shape
    y = np.zeros((T, N, state[0].shape[1]))
    records = []
    for t, rows in walk(T, lengths, reverse):
        new, saved = step(w, x[t, rows], tuple(part[rows] for part in state))
        for part, part_new, zone in zip(state, new, zones, strict=False):
            part[rows] = zone_forward(zone, t, rows, part[rows], part_new)
        y[t, rows] = state[0][rows]
        records.append((t, rows, saved))
    return y, records


def run_backward(step, w, dw, records, x_shape, dy, dstate, zones=NO_ZONES):
    """Reverse `run_forward`: adds to `dw`, turns `dstate` into the initial state's gradient, gives dx."""
    dx = np.zeros(x_shape)
    for t, rows, saved in reversed(records):
        dh, *others = (part[rows] for part in dstate)
        after = (dh + dy[t, rows], *others)
        factors = [zone.at(t, rows) for zone in zones[: len(after)]]
        new = tuple(take * part for (_, take), part in zip(factors, after, strict=True))
        dx[t, rows], before = step(w, dw, saved, new)
        for part, part_before, d, (keep, _) in zip(dstate, before, after, factors, strict=True):
            part[rows] = part_before + keep * d
    return dx
