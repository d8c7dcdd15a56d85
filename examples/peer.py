# SPDX-License-Identifier: MIT
"""The decoder of `examples.decoder` and its training step in PyTorch, for the comparison of speed.

As one would write it there: no padding reaches the head, the attention and the optimiser are PyTorch's fused ones.
"""

import torch
from torch import nn

from .common import torch_twin
from .text import ragged, valid


def twins(peer, model):
    """Give `peer` PyTorch's twin of every part of `model`."""
    for name, part in model.modules.items():
        if hasattr(part, "num_embeddings"):
            weight = torch.from_numpy(part.state_dict()["weight"])
            setattr(peer, name, nn.Embedding.from_pretrained(weight, freeze=False))
        else:
            setattr(peer, name, torch_twin(part))


def read(peer, memory, lengths, state, before, counts, after):
    """The loss of the decoder, given its memory and first state."""
    s, _ = peer.gru(peer.dropout(peer.embedding(before)), state)
    queries, m = s.transpose(0, 1), memory.transpose(0, 1)
    mask = (torch.arange(m.shape[1]) < lengths[:, None])[:, None]
    c = nn.functional.scaled_dot_product_attention(queries, m, m, attn_mask=mask).transpose(0, 1)
    o = torch.tanh(peer.combine(torch.cat([c, s], -1)[counts]))
    return nn.functional.cross_entropy(peer.head(peer.dropout(o)), after)


def train_step(peer, source, sentences):
    """A step of training on a batch: forward, backward, clip, update; `source` gives ids and lengths."""
    optimizer = torch.optim.Adam(peer.parameters(), lr=0.0, fused=True)

    def run():
        before, steps = ragged([[0, *sentence] for sentence in sentences])
        after, _ = ragged([[*sentence, 1] for sentence in sentences])
        counts = valid(steps, len(before))
        optimizer.zero_grad()
        peer(*map(torch.from_numpy, (*source(), before, counts, after[counts]))).backward()
        nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        optimizer.step()

    return run
