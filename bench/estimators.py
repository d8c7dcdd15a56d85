# SPDX-License-Identifier: MIT
"""RNNClassifier beside skorch and PyTorch on ragged sequences: `python bench/estimators.py`.

Both train the same network by the same optimiser for as many epochs, on one thread, in turn: fits of the speaker data
(270 utterances of 7 to 29 frames), processor seconds, and accuracies on 370 others. skorch's module runs packed
sequences, and where only one direction is read also padded ones.
"""

import argparse
import statistics
import time
import warnings

import numpy as np
import skorch
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import GradientNormClipping
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnncore
from examples import data
from rnncore.estimators import RNNClassifier, SequenceScaler

HIDDEN, BATCH, LR = 32, 32, 5e-3


class Module(torch.nn.Module):
    """A GRU, the mean of its outputs over each sequence, a linear map."""

    def __init__(self, both, packed):
        super().__init__()
        self.packed = packed
        self.gru = torch.nn.GRU(12, HIDDEN, batch_first=True, bidirectional=both)
        self.linear = torch.nn.Linear(HIDDEN * (2 if both else 1), 9)

    def forward(self, x, lengths):
        if self.packed:
            x = x[:, : lengths.max()]
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            y, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        else:
            y, _ = self.gru(x[:, : lengths.max()])
            y = y * (torch.arange(y.shape[1]) < lengths[:, None])[:, :, None]
        return self.linear(y.sum(1) / lengths[:, None])


def theirs(both, packed, epochs, seed, X, y):
    torch.manual_seed(seed)
    model = skorch.NeuralNetClassifier(
        Module, module__both=both, module__packed=packed,
        criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.Adam,
        lr=LR, batch_size=BATCH, max_epochs=epochs, iterator_train__shuffle=True, train_split=None, verbose=0,
        callbacks=[GradientNormClipping(1.0)], callbacks__print_log=None,
    )  # fmt: skip
    return model.fit(padded(X), y), padded


def ours(both, epochs, seed, X, y):
    model = RNNClassifier(
        hidden_size=HIDDEN, bidirectional=both, pooling="mean", batch_size=BATCH, learning_rate_init=LR,
        max_iter=epochs, n_iter_no_change=epochs, random_state=seed, num_threads=1,
    )  # fmt: skip
    return model.fit(X, y), lambda X: X


def padded(X):
    lengths = np.array([len(sequence) for sequence in X])
    x = np.zeros((len(X), lengths.max(), X[0].shape[1]), np.float32)
    for row, sequence in zip(x, X, strict=True):
        row[: len(sequence)] = sequence
    return {"x": x, "lengths": lengths}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rnncore.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)  # all train for the same number of epochs
    d = data.load("japanese_vowels")
    scaler = SequenceScaler().fit(data.ragged(d["train_x"], d["train_len"]))
    X, X_test = (
        scaler.transform(data.ragged(d[f"{part}_x"], d[f"{part}_len"])) for part in ("train", "test")
    )
    y, y_test = (d[f"{part}_y"].astype(np.int64) for part in ("train", "test"))
    print(
        f"{rnncore.isas()[0]}, PyTorch {torch.__version__}, skorch {skorch.__version__}, {arguments.epochs} epochs"
    )
    print("directions  system           seconds   accuracy  of ours")
    for both in (False, True):
        fits = {"rnncore": lambda seed, both=both: ours(both, arguments.epochs, seed, X, y)}
        for packed in (True, False)[: 1 if both else 2]:
            name = f"skorch, {'packed' if packed else 'padded'}"
            fits[name] = lambda seed, p=packed, both=both: theirs(both, p, arguments.epochs, seed, X, y)
        seconds, accuracies = {name: [] for name in fits}, {name: [] for name in fits}
        for seed in range(arguments.rounds):
            for name, fit in fits.items():
                began = time.process_time()
                model, form = fit(seed)
                seconds[name].append(time.process_time() - began)
                accuracies[name].append((model.predict(form(X_test)) == y_test).mean())
        for name in fits:
            ratio = statistics.median(np.divide(seconds[name], seconds["rnncore"]))
            line = f"{2 if both else 1:10}  {name:15} {statistics.median(seconds[name]):8.2f}"
            print(f"{line}   {np.mean(accuracies[name]):8.4f}  {ratio:7.2f}", flush=True)


if __name__ == "__main__":
    main()
