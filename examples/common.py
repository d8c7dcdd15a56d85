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


def parser(name, description, *, trains=True):
    """The arguments that all examples have, and those of the ones that train with `examples.training`.

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
    """Run an example; a data set that is not there is one sentence and exit code 1."""
    try:
        main()
    except data.DataNotFoundError as error:
        sys.exit(str(error))


def out_folder(arguments, name):
    """The folder of the results, made if it is not there."""
    folder = arguments.out or Path("runs") / (name + ("-quick" if arguments.quick else ""))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def open_log(folder):
    """A function that prints a line and appends it to a new ``log.txt``."""
    path = folder / "log.txt"
    path.write_text("", encoding="utf-8")

    def log(text):
        with path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
        print(text, flush=True)

    return log


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
