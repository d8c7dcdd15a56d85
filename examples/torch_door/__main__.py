# SPDX-License-Identifier: MIT
"""A tagger in PyTorch (packed sequences, DataLoader, Adam), timed before and after `rnncore.torch.accelerate`."""

import time

import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

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
        y, _ = self.rnn(packed._replace(data=self.words(packed.data)))
        return self.tags(y.data)


def sentences(count):
    """(words, tags) of random sentences of 5 to 40 words."""
    for length in torch.randint(5, 41, (count,)):
        words = torch.randint(20, (int(length),))
        yield words, torch.tensor([int(word in words[:k]) for k, word in enumerate(words)])


def batch(rows):
    return [pack_sequence(part, enforce_sorted=False) for part in zip(*rows, strict=True)]


def train(data, epochs, accelerated):
    """Seconds, and the share of right tags in the last epoch."""
    torch.manual_seed(0)
    model = Tagger()
    if accelerated:
        rnncore.torch.accelerate(model)  # the one line
    optimiser, began = torch.optim.Adam(model.parameters(), lr=1e-2), time.perf_counter()
    for _ in range(epochs):
        right = total = 0
        for words, tags in torch.utils.data.DataLoader(data, batch_size=32, shuffle=True, collate_fn=batch):
            scores = model(words)
            optimiser.zero_grad()
            nn.functional.cross_entropy(scores, tags.data).backward()
            optimiser.step()
            right, total = right + int((scores.argmax(-1) == tags.data).sum()), total + len(scores)
    return time.perf_counter() - began, right / total


def main(argv=None):
    arguments = common.parser("torch_door", __doc__, trains=False).parse_args(argv)
    torch.set_num_threads(arguments.threads)
    rnncore.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    data, epochs = list(sentences(200 if arguments.quick else 1000)), 2 if arguments.quick else 5
    log = common.open_log(common.out_folder(arguments, "torch_door"))
    for name, accelerated in (("torch.nn", False), ("rnncore.torch", True)):
        log("{:13} {:6.2f} s, {:.1%} of the tags right".format(name, *train(data, epochs, accelerated)))


if __name__ == "__main__":
    common.start(main)
