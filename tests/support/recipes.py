# SPDX-License-Identifier: MIT
"""Six training runs of 51 steps, and a worker that carries them out and prints a hash of each.

python recipes.py [--recipe NAME] [--isa ISA] [--threads N] [--checkpoint FOLDER] [--at STEP --rank RANK --how HOW]
"""

import argparse
import hashlib
import json
import os
import signal
import time

import numpy as np

import rnncore
from rnncore import cluster, nn
from rnncore.nn import training
from rnncore.nn.batches import collated
from rnncore.nn.order import drawing, keyed
from rnncore.verify import numbers

N, INPUTS = 48, 5
LENGTHS = [1 + 7 * k % 13 for k in range(N)]
X = [numbers((T, INPUTS), 3, k) for k, T in enumerate(LENGTHS)]
IDS = [(x[:, 0] > 0).astype(np.int64) + 2 * (x[:, 1] > 0) for x in X]
LABELS = [(x[:, 0] + x[:, 1] > 0).astype(np.int64) for x in X]
FULL = np.stack([numbers((9, INPUTS), 4, k) for k in range(N)])


class Reader:
    """A GRU whose last state asks, by attention, what the sequence says; a model of one's own."""

    def __init__(self):
        self.layer, self.attention = rnncore.GRU(INPUTS, 8, seed=1), nn.Attention(scale=0.25)
        self.head = nn.Linear(16, 2, seed=2)
        self.modules = [self.layer, self.head]

    def _run(self, batch):
        x, labels, lengths = collated(batch)
        lengths = np.full(len(x), x.shape[1]) if lengths is None else lengths
        with keyed(drawing(self.layer), lambda: batch.keys):
            y, h, tape = self.layer.forward(x.swapaxes(0, 1), lengths=lengths, recurrent_dropout=0.1)
        context, _, asked = self.attention.forward(h, y, lengths)
        logits, read = self.head.forward(np.concatenate([h, context], axis=-1)[0])
        loss, dlogits = nn.cross_entropy(logits, labels)
        return loss, dlogits, (tape, asked, read)

    def gradients(self, batch):
        loss, dlogits, (tape, asked, read) = self._run(batch)
        n = np.float32(len(batch.rows))
        head = self.head.backward(read, dlogits * n)
        dh, dcontext = np.split(head.x[np.newaxis], 2, axis=-1)
        found = self.attention.backward(asked, dcontext)
        layer = self.layer.backward(tape, found.memory, dh + found.queries)
        return loss * float(n), len(batch.rows), [layer.params, head.params]


def last_label(ids):
    return np.array([one[-1] for one in ids])


def recipes():
    """Model, data, loss, modules of the optimiser and more arguments of `fit`, by name."""
    stack = nn.Sequential(
        rnncore.GRU(INPUTS, 6, num_layers=2, bidirectional=True, dropout=0.3, seed=1),
        nn.Dropout(0.2, seed=2),
        nn.Linear(12, 2, seed=3),
    )
    words = nn.Sequential(
        nn.Embedding(4, 6, seed=1), rnncore.LSTM(6, 8, seed=2), nn.LayerNorm(8), nn.Linear(8, 2, seed=3)
    )
    reader = Reader()
    rnn, lstm, gru = (
        rnncore.RNN(INPUTS, 8, seed=1),
        rnncore.LSTM(INPUTS, 8, seed=1),
        rnncore.GRU(INPUTS, 8, seed=1),
    )
    targets = [numbers((T, 8), 5, k) for k, T in enumerate(LENGTHS)]
    return {
        "rnn": (
            rnn,
            (FULL, np.tile(FULL[:, :, :2], 4)),
            nn.mse_loss,
            rnn,
            {"schedule": nn.Cosine(0.02, warmup=5)},
        ),
        "lstm-ragged": (lstm, (X, targets), nn.mse_loss, lstm, {"shards": 8}),
        "gru-ragged": (gru, (X, targets), nn.mse_loss, gru, {"validation": 0.25}),
        "both-directions": (stack, (X, LABELS), nn.cross_entropy, stack, {}),
        "embedding": (words, (IDS, LABELS), nn.cross_entropy, words, {"validation": 0.25, "patience": 9}),
        # Of three workers one has no sample, of four two.
        "attention": (reader, (X, last_label(LABELS)), None, reader.modules, {"shards": 2}),
    }


class Misfortune:
    """What happens to one worker when a step is done."""

    def __init__(self, step, how):
        self.step, self.how = step, how

    def on_step(self, run):
        if run.step == self.step:
            if self.how == "raise":
                raise OSError("the disk is on fire")
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep({"slow": 60}[self.how])


class Slowly:
    """A step takes a while, so that a kill from outside meets it."""

    def on_step(self, run):
        time.sleep(0.04)


def arguments():
    found = argparse.ArgumentParser()
    found.add_argument("--recipe", action="append")
    found.add_argument("--isa", action="append", help='"mixed": each worker another one')
    found.add_argument("--threads", action="append", type=int)
    found.add_argument("--checkpoint")
    found.add_argument("--at", type=int)
    found.add_argument("--rank", type=int, default=0)
    found.add_argument("--how", default="")
    found.add_argument("--silence", type=float, default=30.0)
    return found.parse_args()


def train(name, given, comm):
    """Carry out one recipe, with what is to happen to this worker; its hash."""
    model, data, loss, modules, options = recipes()[name]
    strikes = given.how and comm.rank == given.rank
    if strikes and given.how == "data":
        data = (data[0][::-1], data[1])
    if strikes and given.how == "version":
        training.__version__ = "0.0.0"
    callbacks = [Misfortune(given.at, given.how)] if strikes and given.at else []
    if given.how == "slowly":
        callbacks = [Slowly()]
    adam = nn.Adam(modules, lr=0.02, weight_decay=0.05, clip_norm=0.5)
    size = 12 if "validation" in options else 16  # of 36 samples, or of 48: three batches
    options = {"epochs": 17, "batch_size": size, "comm": comm, "callbacks": callbacks} | options
    if given.checkpoint:
        options["checkpoint"] = f"{given.checkpoint}/{name}"
    nn.fit(model, data, loss, adam, **options)
    own = modules if isinstance(modules, list) else [modules]
    values = b"".join(array.tobytes() for module in own for array in module.parameters().values())
    return hashlib.sha256(values).hexdigest()


def main():
    given = arguments()
    comm = cluster.connect(timeout=given.silence)
    found = {}
    isas = rnncore.isas()
    for isa in given.isa or isas[:1]:
        for threads in given.threads or (1,):
            rnncore.set_num_threads(threads)
            with rnncore.use_isa(isas[comm.rank % len(isas)] if isa == "mixed" else isa):
                for name in given.recipe or recipes():
                    found.setdefault(name, []).append(train(name, given, comm))
    if comm.rank == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
