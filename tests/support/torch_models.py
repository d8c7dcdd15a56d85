# SPDX-License-Identifier: MIT
"""Small models of usual shapes around recurrent layers, each with an input, and a process of a distributed run."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Voice(nn.Module):
    """Speech or not, chunk by chunk: convolutions over frames, an LSTM whose state goes on, a probability."""

    def __init__(self, width=1):
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv1d(1, 8, 8, 4), nn.ReLU(), nn.Conv1d(8, 12 * width, 4, 2), nn.ReLU()
        )
        self.rnn = nn.LSTM(12 * width, 16 * width, num_layers=2, batch_first=True)
        self.head = nn.Linear(16 * width, 1)

    def forward(self, sound):
        state, found = None, []
        for chunk in sound.split(128, dim=-1):
            y, state = self.rnn(self.encode(chunk).transpose(1, 2), state)
            found.append(torch.sigmoid(self.head(y)).mean(1))
        return torch.cat(found, 1), state


class Denoiser(nn.Module):
    """Filters of frequency bands: grouped linear layers around stacked GRUs with a skip connection."""

    def __init__(self, width=1):
        super().__init__()
        self.inward = nn.ModuleList([nn.Linear(8, 10 * width) for _ in range(2)])
        self.rnn = nn.GRU(20 * width, 20 * width, num_layers=2, batch_first=True)
        self.outward = nn.Linear(20 * width, 16)

    def forward(self, bands):
        parts = [layer(part) for layer, part in zip(self.inward, bands.chunk(2, -1), strict=True)]
        x = torch.relu(torch.cat(parts, -1))
        y, h = self.rnn(x)
        return torch.tanh(self.outward(y + x)) * bands, h


class Reader(nn.Module):
    """Text in a picture: convolutions, columns as steps, two bidirectional LSTMs with a linear layer each."""

    def __init__(self, width=1):
        super().__init__()
        self.see = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1),
            nn.ReLU(),
        )
        units = 10 * width
        self.first, self.between = nn.LSTM(8 * 4, units, bidirectional=True), nn.Linear(2 * units, units)
        self.second, self.letters = nn.LSTM(units, units, bidirectional=True), nn.Linear(2 * units, 11)

    def forward(self, picture):
        columns = self.see(picture).flatten(1, 2).permute(2, 0, 1)  # steps, rows, features: not contiguous
        y = self.between(self.first(columns)[0])
        return self.letters(self.second(y)[0]).log_softmax(-1)


class Separator(nn.Module):
    """Sources of a mixture: down by convolutions, a bidirectional LSTM on (T, N, I) views, up with skips."""

    def __init__(self, width=1):
        super().__init__()
        units = 8 * width
        self.down = nn.Conv1d(2, units, 8, 4)
        self.rnn = nn.LSTM(units, units, num_layers=2, bidirectional=True)
        self.linear = nn.Linear(2 * units, units)
        self.up = nn.ConvTranspose1d(units, 4, 8, 4)

    def forward(self, mixture):
        x = torch.relu(self.down(mixture))
        y = self.linear(self.rnn(x.permute(2, 0, 1))[0]).permute(1, 2, 0)
        return self.up(y + x)


class Tagger(nn.Module):
    """A tag per word: embedding, packed bidirectional GRU over sentences of unequal lengths."""

    def __init__(self, width=1):
        super().__init__()
        self.words = nn.Embedding(30, 12 * width)
        self.rnn = nn.GRU(12 * width, 10 * width, batch_first=True, bidirectional=True)
        self.tags = nn.Linear(20 * width, 6)

    def forward(self, words, lengths):
        packed = pack_padded_sequence(self.words(words), lengths, batch_first=True, enforce_sorted=False)
        y, h = self.rnn(packed)
        return self.tags(pad_packed_sequence(y, batch_first=True)[0]), h


def sentences(rows, words):
    """Words of padded sentences, and their lengths."""
    lengths = torch.randint(1, words + 1, (rows,))
    lengths[0] = words
    return torch.randint(30, (rows, words)), lengths


# Each a model and its input: layers `width` times as wide, of `rows` rows, `steps` times as long.
MODELS = {
    "voice": lambda width=1, rows=2, steps=1: (Voice(width), (torch.randn(rows, 1, 384 * steps),)),
    "denoiser": lambda width=1, rows=2, steps=1: (Denoiser(width), (torch.randn(rows, 12 * steps, 16),)),
    "reader": lambda width=1, rows=2, steps=1: (Reader(width), (torch.randn(rows, 1, 8, 24 * steps),)),
    "separator": lambda width=1, rows=2, steps=1: (Separator(width), (torch.randn(rows, 2, 64 * steps),)),
    "tagger": lambda width=1, rows=3, steps=1: (Tagger(width), sentences(rows, 9 * steps)),
}


def replica(rank, processes, folder):
    """Average the gradients of one layer over processes that saw different data; each writes what it has."""
    import rnncore.torch

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=processes
    )
    torch.manual_seed(0)
    layer = nn.LSTM(3, 4)
    rnncore.torch.accelerate(layer)
    model = nn.parallel.DistributedDataParallel(layer)
    torch.manual_seed(rank + 1)
    model(torch.randn(5, 2, 3))[0].square().sum().backward()
    torch.save([weight.grad for weight in layer.parameters()], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()
