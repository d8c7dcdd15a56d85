# SPDX-License-Identifier: MIT
"""A tagger in PyTorch (packed sequences, DataLoader, Adam), timed before and after `rnncore.torch.accelerate`."""

import time

import torch
from torch import nn

import rnncore.torch
from examples import common


class Tagger(nn.Module):
    """A tag per word: whether it has stood in the sentence before."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(20, 16)
        self.rnn = nn.GRU(16, 64, bidirectional=True)
        self.tags = nn.Linear(128, 2)

    def forward(self, packed):
        return self.tags(self.rnn(packed._replace(data=self.words(packed.data)))[0].data)


def batch(sentences):
    tags = [(words[:, None] == words).tril(-1).any(1).long() for words in sentences]
    return [nn.utils.rnn.pack_sequence(part, enforce_sorted=False) for part in (sentences, tags)]


def train(model, data, epochs):
    """Seconds, and the share of right tags in the last batch."""
    optimiser, began = torch.optim.Adam(model.parameters(), lr=1e-2), time.perf_counter()
    for _ in range(epochs):
        for words, tags in torch.utils.data.DataLoader(data, batch_size=32, shuffle=True, collate_fn=batch):
            optimiser.zero_grad()
            scores = model(words)
            nn.functional.cross_entropy(scores, tags.data).backward()
            optimiser.step()
    return time.perf_counter() - began, (scores.argmax(-1) == tags.data).float().mean()


def main(argv=None):
    arguments = common.parser("torch_door", __doc__, trains=False).parse_args(argv)
    torch.set_num_threads(arguments.threads)
    rnncore.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    count, epochs = (200, 2) if arguments.quick else (1000, 5)
    data = [torch.randint(20, (length,)) for length in torch.randint(5, 41, (count,)).tolist()]
    log = common.Log(common.out_folder(arguments, "torch_door"))
    for name in ("torch.nn", "rnncore.torch"):
        torch.manual_seed(0)
        model = Tagger()
        if name != "torch.nn":
            rnncore.torch.accelerate(model)  # the one line
        log("{:13} {:6.2f} s, {:.1%} of the tags right".format(name, *train(model, data, epochs)))


if __name__ == "__main__":
    common.start(main)
