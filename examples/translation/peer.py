# SPDX-License-Identifier: MIT
"""The translator in PyTorch, for the comparison of speed: same sizes, same loss."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ..peer import read, train_step, twins
from ..text import ragged


class Peer(nn.Module):
    """The model of `Translator`; the encoder's padding is packed away."""

    def __init__(self, model, rate):
        super().__init__()
        twins(self, model)
        self.dropout = nn.Dropout(rate)

    def forward(self, ids, lengths, *decoder):
        """The loss of a batch."""
        x = pack_padded_sequence(self.dropout(self.source(ids)), lengths, enforce_sorted=False)
        h, last = self.encoder(x)
        memory = self.bridge(pad_packed_sequence(h)[0])
        state = torch.tanh(self.start(torch.cat([last[0], last[1]], -1)))[None]
        return read(self, memory, lengths, state, *decoder)


def step(model, pairs, rate):
    """A training step: forward, backward, update."""
    english, french = zip(*pairs, strict=True)
    return train_step(Peer(model, rate), lambda: ragged(english), french)
