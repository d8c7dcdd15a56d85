# SPDX-License-Identifier: MIT
"""The captioner in PyTorch, for the comparison of speed: same sizes, same loss."""

import torch
from torch import nn

from ..peer import read, train_step, twins
from ..text import ragged


class Peer(nn.Module):
    """The model of `Captioner`."""

    def __init__(self, model, rate):
        super().__init__()
        twins(self, model)
        self.dropout = nn.Dropout(rate)

    def forward(self, ids, lengths, *decoder):
        """The loss of a batch."""
        memory = self.dropout(self.keywords(ids))
        counts = torch.arange(len(ids))[:, None] < lengths
        mean = (memory * counts[..., None]).sum(0) / lengths.clamp(min=1)[:, None]
        return read(self, memory, lengths, torch.tanh(self.start(mean))[None], *decoder)


def step(model, keywords, captions, rate):
    """A training step: forward, backward, update."""
    return train_step(Peer(model, rate), lambda: ragged(keywords), captions)
