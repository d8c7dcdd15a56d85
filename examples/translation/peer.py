# SPDX-License-Identifier: MIT
"""The translator in PyTorch, for the comparison of speed: same sizes, same parameters, same loss."""

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ..common import torch_twin
from ..text import ragged, valid


class Peer(nn.Module):
    """The model of `Translator`; padding is packed away for the encoder and skipped in the head."""

    def __init__(self, model, rate):
        super().__init__()
        own = model.modules
        tables = ("source", "embedding")
        for name in tables:
            setattr(self, name, nn.Embedding(own[name].num_embeddings, own[name].embedding_dim))
        for name in set(own) - set(tables):
            setattr(self, name, torch_twin(own[name]))
        self.dropout = nn.Dropout(rate)

    def forward(self, ids, lengths, before, counts, after):
        """The loss of a batch."""
        x = pack_padded_sequence(self.dropout(self.source(ids)), lengths, enforce_sorted=False)
        h, last = self.encoder(x)
        memory = self.bridge(pad_packed_sequence(h)[0])
        state = torch.tanh(self.start(torch.cat([last[0], last[1]], -1)))[None]
        s, _ = self.gru(self.dropout(self.embedding(before)), state)
        queries, m = s.transpose(0, 1), memory.transpose(0, 1)
        scores = queries @ m.transpose(1, 2)
        behind = torch.arange(m.shape[1])[None, None] >= lengths[:, None, None]
        c = (torch.softmax(scores.masked_fill(behind, -torch.inf), -1) @ m).transpose(0, 1)
        o = torch.tanh(self.combine(torch.cat([c, s], -1)[counts]))
        return nn.functional.cross_entropy(self.head(self.dropout(o)), after)


def step(model, batch, settings):
    """A training step: forward, backward, update."""
    peer = Peer(model, settings["dropout"])
    optimizer = torch.optim.Adam(peer.parameters(), lr=0.0, fused=True)

    def run():
        ids, lengths = ragged([english for english, _ in batch])
        before, steps = ragged([[0, *french] for _, french in batch])
        after, _ = ragged([[*french, 1] for _, french in batch])
        counts = valid(steps, len(before))
        arrays = (ids, lengths, before, counts, np.ascontiguousarray(after[counts]))
        optimizer.zero_grad()
        peer(*map(torch.from_numpy, arrays)).backward()
        nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        optimizer.step()

    return run
