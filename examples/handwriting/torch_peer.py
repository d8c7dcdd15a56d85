# SPDX-License-Identifier: MIT
"""The writer's training step in PyTorch: the same model, batch and numbers, as one would write it there."""

import math

from examples.common import torch_twin


def make_step(writer, moves, lr, clip_norm):
    """A function that does one training step on a `Batch` and returns the loss; ImportError without PyTorch."""
    import torch

    lstm, head = torch_twin(writer.lstm), torch_twin(writer.head)
    parameters = [*lstm.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=lr)
    valid = torch.from_numpy(moves.valid)
    target = torch.from_numpy(moves.offsets)[valid]
    states = torch.from_numpy(moves.states)[valid]

    def step():
        y, _ = lstm(torch.from_numpy(writer.inputs(moves)))  # padded: packing is slower still
        h = torch.nn.functional.dropout(y[valid], writer.rate)
        outputs = head(h)
        w, m, n, a, b, r = outputs[:, : writer.split].unflatten(1, (6, -1)).unbind(1)
        x, y = (target[:, :1] - m) * torch.exp(-a), (target[:, 1:] - n) * torch.exp(-b)
        u, v, e = x - y, x + y, torch.exp(2 * r)
        q = (u * u * (1 + e) + v * v * (1 + 1 / e)) / 4
        log_n = torch.log1p(e) - r - a - b - q / 2 - math.log(4 * math.pi)
        xy = -torch.logsumexp(torch.log_softmax(w, 1) + log_n, 1).mean()
        loss = xy + torch.nn.functional.cross_entropy(outputs[:, writer.split :], states)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
        optimizer.step()
        return loss.item()

    return step
