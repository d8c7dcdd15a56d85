# SPDX-License-Identifier: MIT
"""A recurrent layer as a module: the reading order and outputs that other frameworks give their layers."""

import numpy as np

from .. import spec
from ..errors import ArgumentError
from ..layers.module import Module

MERGES = {
    "concat": lambda forward, reverse: np.concatenate([forward, reverse], axis=-1),
    "sum": lambda forward, reverse: forward + reverse,
    "mul": lambda forward, reverse: forward * reverse,
    "ave": lambda forward, reverse: (forward + reverse) / 2,
}
ORDERS = ("forward", "reverse", "backwards")


def reverse_valid(x, lengths=None, batch_first=False):
    """Turn round each row's valid steps and leave its padding in place.

    Parameters
    ----------
    x : (T, N, features), with batch_first (N, T, features), or unbatched (T, features)
    lengths : int64 (N,), optional
        Checked already; all T if left out.
    """
    axis = 1 if batch_first and x.ndim == 3 else 0
    if lengths is None:
        return np.flip(x, axis)
    T = x.shape[axis]
    t = np.arange(T)[:, np.newaxis]
    source = np.where(t < lengths, lengths - 1 - t, t)  # (T, N)
    if x.ndim == 2:
        return x[source[:, 0]]
    return np.take_along_axis(x, (source.T if axis else source)[:, :, np.newaxis], axis)


class Recurrent(Module):
    """A recurrent layer with the reading order and outputs that other frameworks give their layers.

    Parameters
    ----------
    layer : RNN, LSTM or GRU
    order : {"forward", "reverse", "backwards"}
        "reverse" reads each row's valid steps from the end and leaves each output at its own step;
        "backwards" returns the outputs in the order of computation. Of one direction only.
    merge : {"concat", "sum", "mul", "ave", None}
        How two directions become one output; None gives the pair.
    return_sequences : bool
        Whether y has all steps, or only the last one computed in each direction.

    Raises
    ------
    ArgumentError
    """

    arguments = ("layer", "order", "merge", "return_sequences")

    def __init__(self, layer, *, order="forward", merge="concat", return_sequences=True):
        if order not in ORDERS or (order != "forward" and layer.spec.bidirectional):
            expected = "'forward'" if layer.spec.bidirectional else "one of " + ", ".join(ORDERS)
            raise ArgumentError("order", expected, repr(order))
        if merge is not None and merge not in MERGES:
            raise ArgumentError("merge", "None or one of " + ", ".join(MERGES), repr(merge))
        self.layer, self.order, self.merge = layer, order, merge
        self.return_sequences = spec.check_bool("return_sequences", return_sequences)
        super().__init__()

    def config(self):
        return {
            "kind": self.kind,
            "architecture": self.layer.spec.to_dict(),
            "order": self.order,
            "merge": self.merge,
            "return_sequences": self.return_sequences,
        }

    def parameters(self):
        """The layer's."""
        return self.layer.parameters()

    def state_dict(self):
        """The layer's."""
        return self.layer.state_dict()

    def update_parameters(self, values):
        """The layer's."""
        self.layer.update_parameters(values)

    def load_state_dict(self, values):
        """The layer's."""
        self.layer.load_state_dict(values)

    @property
    def streams(self):
        """Whether steps alone give what the whole sequence gives."""
        return self.order == "forward" and self.return_sequences and not self.layer.spec.bidirectional

    def __call__(self, x, lengths=None):
        """x and lengths as the layer takes them.

        Returns
        -------
        y : in x's layout, or without the time axis if not return_sequences; with merge None a pair, else one
        array
        """
        return self.call(x, lengths=lengths)[0]

    def call(self, x, state=None, *, lengths=None):
        """As `__call__`, with the initial state, giving (y, state)."""
        s = self.layer.spec
        x, T, N, _ = spec.check_x(s, x)
        lengths = spec.check_lengths(lengths, T, N)
        if self.order != "forward":
            x = reverse_valid(x, lengths, s.batch_first)
        y, state = self.layer(x, state, lengths=lengths)
        if self.return_sequences:
            parts = np.split(y, s.directions, axis=-1)
            if self.order == "reverse":
                parts = [reverse_valid(part, lengths, s.batch_first) for part in parts]
        else:
            h = state[0] if isinstance(state, tuple) else state
            parts = list(h[-s.directions :])
        if s.directions == 1:
            return parts[0], state
        return (tuple(parts) if self.merge is None else MERGES[self.merge](*parts)), state
