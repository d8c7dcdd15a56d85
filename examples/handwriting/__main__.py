# SPDX-License-Identifier: MIT
"""Handwriting: train a writer and a reader, judge both, draw pictures, write numbers. See README.md.

python -m examples.handwriting                  the full run
python -m examples.handwriting --quick          a small one, under a minute
python -m examples.handwriting --write 31415    with what was trained: a number as PNG and SVG
"""

from dataclasses import dataclass, replace

import numpy as np

import rnncore
from examples import common, data
from examples.handwriting import baselines, drawing, torch_peer
from examples.handwriting.reader import Reader
from examples.handwriting.strokes import DIGITS, batch, load
from examples.handwriting.writer import Writer
from rnncore.nn import Adam, Cosine, Sequential, fit

JUDGE = 7
"""Seed of the noise in test digits, and of the digits that are judged: the same in every evaluation."""
BIASES, BIAS = (0.0, 0.5, 1.0, 2.0), 0.5
"""Of the digits that are judged, and of the pictures."""
TEST_WRITERS = 14


@dataclass(frozen=True)
class Settings:
    """Of one training run; chosen by the validation writers."""

    hidden: int
    epochs: int
    lr: float
    rate: float
    size: int
    clip_norm: float = 1.0
    warmup: int = 50


READER = {False: Settings(64, 16, 4e-3, 0.4, 64), True: Settings(48, 4, 6e-3, 0.2, 64)}
WRITER = {False: Settings(256, 30, 5e-3, 0.2, 32), True: Settings(128, 6, 6e-3, 0.1, 32)}
COMPONENTS = 20


def writer_settings(arguments):
    """Of the writer, with the units that were asked for."""
    settings = WRITER[arguments.quick]
    return replace(settings, hidden=arguments.hidden) if arguments.hidden else settings


def train(model, settings, digits, valid, log, arguments):
    """Train a writer or reader and keep what is best on the validation digits; returns the run."""
    points = sum(map(len, digits.states))
    numbers = sum(p.size for module in model.modules.values() for p in module.parameters().values())
    log(f"{', '.join(map(repr, model.modules.values()))}, {numbers:,} numbers")
    log(f"{len(digits)} digits, {points:,} points; {settings}; seed {arguments.seed}")
    return fit(
        model,
        digits,
        None,
        Adam(model.modules.values(), clip_norm=settings.clip_norm),
        epochs=settings.epochs,
        batch_size=settings.size,
        validation=valid,
        schedule=Cosine(settings.lr, warmup=settings.warmup),
        **common.training(log, arguments, "point" if isinstance(model, Writer) else "digit"),
    )


def train_reader(digits, valid, log, arguments):
    """A reader of real digits; returns it and the run."""
    settings = READER[arguments.quick]
    reader = Reader(settings.hidden, settings.rate, arguments.seed)
    run = train(reader, settings, digits, valid, log, arguments)
    read = reader.read(valid, np.random.default_rng(JUDGE))[1]
    log(f"of the validation writers' digits {(read == valid.labels).mean():.2%} are read correctly")
    return reader, run


def train_writer(digits, valid, log, arguments):
    """A writer; returns it and the run."""
    settings = writer_settings(arguments)
    writer = Writer.new(settings.hidden, COMPONENTS, settings.rate, arguments.seed)
    return writer, train(writer, settings, digits, valid, log, arguments)


def judge(writer, reader, train_digits, test, log, count):
    """Figures of the test writers' digits and of `count` generated ones per bias; a dict."""
    found = {}
    rng = np.random.default_rng(JUDGE)
    read = reader.read(test, rng)[1]
    found["real"] = float((read == test.labels).mean())
    log(
        f"reader: {found['real']:.2%} of {len(test)} digits of {TEST_WRITERS} other people are read correctly"
    )
    losses = {"writer": writer.judge(test, np.random.default_rng(JUDGE))}
    losses |= baselines.both(train_digits, test, np.random.default_rng(JUDGE))
    found["log_likelihood"] = {name: -float(sum(loss)) for name, loss in losses.items()}
    log("log-likelihood of the same digits, nats per point (offsets + pen):")
    for name, (xy, pen) in losses.items():
        behind = found["log_likelihood"]["writer"] + xy + pen
        end = "" if name == "writer" else f"   {behind:.3f} behind the writer"
        log(f"  {name:22} {-xy - pen:7.3f} ({-xy:7.3f} {-pen:+.3f}){end}")
    labels = np.arange(count) % DIGITS
    found["generated"] = {}
    for bias in BIASES:
        read = reader.read(writer.write(labels, np.random.default_rng(JUDGE), bias), rng)[1]
        found["generated"][bias] = float((read == labels).mean())
        worst = min(range(DIGITS), key=lambda d: (read == labels)[labels == d].mean())
        log(
            f"generated with bias {bias}: {found['generated'][bias]:.2%} of {count} are read correctly, "
            f"least of the {worst}s: {(read == labels)[labels == worst].mean():.0%}"
        )
    return found


def pictures(writer, test, out, seed):
    """Real and generated digits, the effect of the bias, predicted densities, a number."""
    rng = np.random.default_rng(seed)
    one_of_each = np.arange(DIGITS)
    real = [
        test.take(np.array([rng.choice(np.flatnonzero(test.labels == d)) for d in one_of_each]))
        for _ in range(4)
    ]
    rows = [("people" if k == 0 else "", row, drawing.INK) for k, row in enumerate(real)]
    written = [writer.write(one_of_each, rng, BIAS) for _ in range(4)]
    rows += [
        (f"network, bias {BIAS}" if k == 0 else "", row, drawing.GENERATED) for k, row in enumerate(written)
    ]
    drawing.grid(out / "digits.png", rows)
    rows = [
        (f"bias {bias}" if k == 0 else "", writer.write(one_of_each, rng, bias), drawing.GENERATED)
        for bias in BIASES
        for k in range(2)
    ]
    drawing.grid(out / "bias.png", rows)
    some = test.take(np.array([np.flatnonzero(test.labels == d)[3] for d in (2, 3, 4, 5, 8)]))
    drawing.densities(out / "densities.png", some, writer.expect(some, rng, 4000))


def write(text, bias, out, seed):
    """Draw a number with the saved writer."""
    path = out / "writer.safetensors"
    if not path.is_file():
        raise SystemExit(f"no {path}: train one first, `python -m examples.handwriting`")
    if not (text.isascii() and text.isdigit()):
        raise SystemExit(f"--write: expected digits, got {text!r}")
    recurrent, head = rnncore.load(path)
    drawings = Writer(recurrent.layer, head).write([int(c) for c in text], np.random.default_rng(seed), bias)
    for kind in ("png", "svg"):
        drawing.number(out / f"number.{kind}", drawings)
    print(f"{text}: {out / 'number.png'}, {out / 'number.svg'}")


def speed(digits, arguments, log):
    """Training speed of a fresh writer beside the same one in PyTorch."""
    settings = writer_settings(arguments)
    writer = Writer.new(settings.hidden, COMPONENTS, settings.rate, arguments.seed)
    optimizer = Adam(writer.modules.values(), lr=settings.lr, clip_norm=settings.clip_norm)
    rng = np.random.default_rng(arguments.seed)
    moves = batch(digits.take(rng.integers(len(digits), size=settings.size)), rng)

    def ours():
        _, count, grads = writer.train(moves, rng)
        optimizer.step(grads, grad_scale=1.0 / count)

    return common.compare_speed(
        ours,
        lambda: torch_peer.make_step(writer, moves, settings.lr, settings.clip_norm),
        int(moves.lengths.sum()), log, unit="point", threads=arguments.threads, seconds=2.0 if arguments.quick else 8.0,
    )  # fmt: skip


def main(argv=None):
    """Run the example; returns its figures."""
    parser = common.parser(
        "handwriting", "Train a network that writes digits with a pen, and one that reads them."
    )
    parser.add_argument(
        "--write", metavar="DIGITS", help="write this number with the trained model, train nothing"
    )
    parser.add_argument(
        "--bias", type=float, default=BIAS, help=f"with --write: 0 as people do, more is neater ({BIAS})"
    )
    parser.add_argument("--hidden", type=int, metavar="H", help="units of the writer (256; 128 with --quick)")
    arguments = parser.parse_args(argv)
    out = common.out_folder(arguments, "handwriting")
    if arguments.write:
        return write(arguments.write, arguments.bias, out, arguments.seed)
    rnncore.set_num_threads(arguments.threads)
    train_digits, valid, test = load()
    log = common.Log(out)
    reader, _ = train_reader(train_digits, valid, common.Log(out / "reader"), arguments)
    writer, _ = train_writer(train_digits, valid, log, arguments)
    model = Sequential(writer.lstm, writer.head)
    moves = batch(valid.take(np.arange(20)), np.random.default_rng(JUDGE))
    common.save_model(out / "writer.safetensors", model, writer.inputs(moves), moves.lengths)
    common.save_model(out / "reader.safetensors", reader.model, moves.features(), moves.lengths)
    found = judge(writer, reader, train_digits, test, log, 200 if arguments.quick else 2000)
    pictures(writer, test, out, arguments.seed)
    write("3141592653", BIAS, out, arguments.seed)
    found["speed"] = speed(train_digits, arguments, log)
    log(f"data: {data.SOURCES['pendigits_unipen'].credit}")
    print(f"pictures, models and log: {out}")
    return found


if __name__ == "__main__":
    common.start(main)
