# SPDX-License-Identifier: MIT
"""What the examples share: arguments, models on disk, speed beside PyTorch, pictures."""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

import rnncore
from examples import data
from rnncore.errors import ArgumentError


def parser(name, description, *, trains=True):
    """The arguments that all examples have, and those of the ones that train.

    The results go to ``runs/<name>`` unless told otherwise.
    """
    found = argparse.ArgumentParser(prog=f"python -m examples.{name}", description=description)
    found.add_argument("--quick", action="store_true", help="a smaller run, under a minute")
    found.add_argument("--out", type=Path, help="folder for log, pictures, checkpoint and model")
    found.add_argument("--threads", type=int, default=1, help="threads of rnncore and PyTorch (default: 1)")
    if trains:
        found.add_argument("--seed", type=int, default=1, help="of parameters and batches (default: 1)")
        found.add_argument("--fresh", action="store_true", help="start over, whatever checkpoint there is")
    return found


def start(main):
    """Run an example; a data set that is not there, or another run's checkpoint, is one sentence and exit code 1."""
    try:
        main()
    except data.DataNotFoundError as error:
        sys.exit(str(error))
    except ArgumentError as error:
        if error.field != "checkpoint":
            raise
        sys.exit(f"{error}: choose another --out, or --fresh")


def out_folder(arguments, name):
    """The folder of the results, made if it is not there."""
    folder = arguments.out or Path("runs") / (name + ("-quick" if arguments.quick else ""))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Log:
    """A function that prints a line and appends it to a new ``log.txt``; in `fit` it notes the losses of each epoch."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log.txt").write_text("", encoding="utf-8")

    def __call__(self, text):
        self._append(text)
        print(text, flush=True)

    def on_start(self, run):
        """The epochs that were done before a run was interrupted."""
        for epoch in range(1, run.epoch + 1):
            self._note(run, epoch)

    def on_epoch(self, run):
        """What `rnncore.nn.Progress` shows."""
        self._note(run, run.epoch)

    def on_end(self, run):
        """How long it took."""
        best = f", best after epoch {run.best_epoch}" if run.best_epoch else ""
        self(f"trained for {run.seconds:.0f} s{best}")

    def _note(self, run, epoch):
        judged = run.validation_losses[:epoch]
        text = f"epoch {epoch:3}/{run.epochs}  loss {run.losses[epoch - 1]:.4f}"
        if judged:
            text += f"  validation {judged[-1]:.4f}" + (" *" if judged[-1] == min(judged) else "")
        self._append(text)

    def _append(self, text):
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(text + "\n")


def training(log, arguments, unit="token"):
    """What the examples tell `rnncore.nn.fit` alike: where the log is there is the checkpoint.

    A step is one call of the model (``shards=1``): these models are too small to be shared between processes.
    """
    return {
        "seed": arguments.seed,
        "shards": 1,
        "checkpoint": log.folder,
        "resume": not arguments.fresh,
        "callbacks": [rnncore.nn.Progress(unit), log],
    }


def dropout(x, rate, rng):
    """Inverted dropout: (x * mask, mask); multiply the gradient by the mask, too."""
    mask = (rng.random(x.shape, dtype=np.float32) >= rate).astype(x.dtype) / x.dtype.type(1 - rate)
    return x * mask, mask


# -- models and speed -----------------------------------------------------------------------------------------


def save_model(path, model, *inputs):
    """Write a layer or Sequential and check that the library loads it back to the last bit."""
    model.save(path)
    again = rnncore.load(path)
    same = [np.array_equal(a, b) for a, b in zip(outputs(again, inputs), outputs(model, inputs), strict=True)]
    if not all(same):
        raise RuntimeError(f"{path}: the loaded model computes something else")
    return os.path.getsize(path)


def outputs(model, inputs):
    """The arrays that a call of a layer or Sequential returns."""
    found = model(*inputs)
    return [found] if isinstance(found, np.ndarray) else [found[0]]


def torch_twin(module):
    """A layer or `Linear` as a PyTorch module with the same parameters; ImportError without PyTorch."""
    import torch

    if isinstance(module, rnncore.Linear):
        bias = "bias" in module.parameters()
        twin = torch.nn.Linear(module.in_features, module.out_features, bias=bias)
    else:
        s = module.spec
        kind = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[s.cell]
        options = {"batch_first": s.batch_first, "bidirectional": s.bidirectional, "dropout": s.dropout}
        twin = kind(s.input_size, s.hidden_size, s.num_layers, bias=s.bias, **options)
    twin.load_state_dict({name: torch.from_numpy(array) for name, array in module.state_dict().items()})
    return twin


def compare_speed(ours, make_theirs, count, log, *, unit="token", threads=1, seconds=8.0):
    """Log the training speed of `ours` beside the same model in PyTorch, where that is installed.

    Parameters
    ----------
    ours : callable
        One training step: forward, backward, update.
    make_theirs : callable
        Imports torch (ImportError: not installed) and returns the same step in PyTorch.
    count : int
        Tokens of a step.
    log : callable of str

    Returns
    -------
    dict
        Medians in tokens per second: ``rnncore``, and ``torch`` if it is installed.

    Notes
    -----
    The two take turns, so that other load on the machine meets both.
    """
    sides = {"rnncore": ours}
    try:
        import torch

        torch.set_num_threads(threads)
        sides["torch"] = make_theirs()
    except ImportError:
        log("PyTorch is not installed: no comparison")
    times = {name: [] for name in sides}
    for step in sides.values():
        step()
    started = time.perf_counter()
    while len(times["rnncore"]) < 3 or time.perf_counter() - started < seconds:
        for name, step in sides.items():
            began = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - began)
    speed = {name: count / statistics.median(values) for name, values in times.items()}
    text = f"training speed, {threads} thread(s): rnncore {speed['rnncore']:,.0f} {unit}s/s"
    if "torch" in speed:
        factor = speed["rnncore"] / speed["torch"]
        text += f", PyTorch {torch.__version__} {speed['torch']:,.0f} {unit}s/s ({factor:.1f} times as fast)"
    log(text)
    return speed


# -- pictures -------------------------------------------------------------------------------------------------


def pyplot():
    """matplotlib.pyplot without a window, in the examples' style."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style = {"axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10, "font.size": 9}
    pyplot.rcParams.update(style)
    return pyplot


def save_picture(figure, path, credit):
    """Write a figure with its data's credit below it."""
    figure.supxlabel(f"data: {credit}", fontsize=6, color="0.4", x=0.99, ha="right")
    write_picture(figure, path, dpi=120)
    pyplot().close(figure)


def write_picture(figure, path, **options):
    """Write a figure; as PNG with at most 256 colours, which charts do not miss, in a third of the bytes."""
    figure.savefig(path, **options)
    if path.suffix == ".png":
        from PIL import Image

        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        small.save(path, optimize=True)
