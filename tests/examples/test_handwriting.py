# SPDX-License-Identifier: MIT
"""The handwriting example: the quick run on real data reaches its bars; moves, drawings, resuming without data."""

import argparse
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import tables_training as tables

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "examples" / "handwriting").is_dir():
    pytest.skip("the examples are not here", allow_module_level=True)
sys.path.insert(0, str(ROOT))

import rnncore  # noqa: E402
from examples import common, data  # noqa: E402
from examples.handwriting import baselines, drawing, strokes  # noqa: E402
from examples.handwriting.reader import Reader  # noqa: E402
from examples.handwriting.strokes import UNIT, Drawings, State, batch, moves  # noqa: E402
from examples.handwriting.writer import Writer  # noqa: E402
from rnncore.nn import training  # noqa: E402

program = importlib.import_module("examples.handwriting.__main__")
arguments = argparse.Namespace(quick=True, seed=3, fresh=False, threads=1, hidden=None)


def drawn(count, seed=0):
    """`Drawings` of random walks in whole units, some with a jump; label k drifts in a direction of its own."""
    rng = np.random.default_rng(seed)
    offsets, states = [], []
    for k in range(count):
        n = int(rng.integers(5, 15))
        turn = 2 * np.pi * (k % 10) / 10
        offsets.append(
            np.round(8 * np.array([np.cos(turn), np.sin(turn)]) + rng.normal(size=(n, 2))).astype(np.float32)
        )
        states.append(np.full(n, State.DOWN))
        states[-1][n // 2 : n // 2 + k % 2] = State.LIFT
        states[-1][-1] = State.END
    return Drawings(offsets, states, np.arange(count) % 10)


# -- moves --------------------------------------------------------------------------------------------------


def test_moves_of_points_and_back():
    points = np.array([[5, 5, 0], [7, 5, 1], [0, 9, 0], [1, 9, 0], [1, 8, 1]])
    offsets, states = moves(points)
    np.testing.assert_array_equal(offsets, [[2, 0], [-7, 4], [1, 0], [0, -1]])
    assert list(states) == [State.LIFT, State.DOWN, State.DOWN, State.END]
    first, second = drawing.strokes(offsets, states)
    np.testing.assert_array_equal(first + 5, points[:2, :2])
    np.testing.assert_array_equal(second + 5, points[2:, :2])


def test_a_batch_is_the_drawings_within_their_rounding():
    drawings = drawn(7)
    made = batch(drawings, np.random.default_rng(0))
    assert made.valid.sum() == made.lengths.sum() == sum(map(len, drawings.states))
    for k, n in enumerate(made.lengths):
        assert np.abs(made.offsets[:n, k] * UNIT - drawings.offsets[k]).max() <= tables.HALF_A_UNIT
        np.testing.assert_array_equal(made.states[:n, k], drawings.states[k])
        assert not made.features()[n:, k, 2:].any()


def test_distortions_keep_the_digit():
    plain, turned = (batch(drawn(50), np.random.default_rng(0), augment) for augment in (False, True))
    lengths = [np.linalg.norm(made.offsets[made.valid], axis=1) for made in (plain, turned)]
    assert 0.5 < (lengths[1] / lengths[0]).min() < (lengths[1] / lengths[0]).max() < 2
    assert not np.array_equal(plain.offsets, turned.offsets)


# -- the writer ---------------------------------------------------------------------------------------------


class Recorder:
    """A stream that keeps what it was fed, by row of the first step."""

    def __init__(self, stream, N):
        self.stream, self.rows, self.seen = stream, np.arange(N), [[] for _ in range(N)]

    def step(self, x):
        for row, values in zip(self.rows, x, strict=True):
            self.seen[row].append(values.copy())
        return self.stream.step(x)

    def select(self, keep):
        self.rows = self.rows[keep]
        self.stream.select(keep)


def test_writing_feeds_the_network_what_training_does(monkeypatch):
    writer = Writer.new(16, 2, 0.0, seed=1)
    bias = np.zeros(writer.head.out_features, np.float32)
    bias[-3:] = 1.5, 0.0, -0.5  # so that digits have a few moves and jumps
    writer.head.update_parameters({"bias": bias})
    sample = rnncore.mixture_sample
    whole = lambda *args: np.round(sample(*args) * UNIT) / np.float32(UNIT)  # noqa: E731
    monkeypatch.setattr(rnncore, "mixture_sample", whole)
    recorders, make = [], writer.lstm.stream
    monkeypatch.setattr(
        writer.lstm, "stream", lambda N: recorders.append(Recorder(make(N), N)) or recorders[-1]
    )
    written = writer.write([3, 1, 4, 1, 5, 9], np.random.default_rng(2))
    lengths = np.array([len(states) for states in written.states])
    assert len(set(lengths)) > 2
    assert all(states[-1] == State.END and not (states[:-1] == State.END).any() for states in written.states)
    still = np.random.default_rng(0)
    monkeypatch.setattr(strokes, "noise", lambda rng, shape: np.zeros(shape, np.float32))
    x = writer.inputs(batch(written, still))
    for k, n in enumerate(lengths):
        np.testing.assert_allclose(x[:n, k], recorders[0].seen[k], atol=tables.FLOAT32_ATOL * 10)


def test_training_learns_where_each_digit_goes():
    drawings = drawn(200)
    writer = Writer.new(16, 2, 0.0, seed=1)
    optimizer = rnncore.Adam(writer.modules.values(), lr=0.02)
    rng = np.random.default_rng(0)
    for _ in range(150):
        _, count, grads = writer.train(batch(drawings, rng), rng)
        optimizer.step(grads, grad_scale=1.0 / count)
    held_out = drawn(100, seed=1)
    losses = writer.judge(held_out, np.random.default_rng(1))
    others = baselines.both(drawings, held_out, np.random.default_rng(1))
    # Offsets are normal around a mean that the digit alone decides: one Gaussian for all digits is far behind, and
    # one for each digit, which the autoregression is here, cannot be beaten by much.
    assert losses[0] < others["Gaussian"][0] - 1
    assert abs(losses[0] - others["linear autoregression"][0]) < 0.3


def test_a_gaussian_has_the_entropy_of_its_covariance():
    errors = np.random.default_rng(0).normal(size=(500, 2)) @ np.array([[1.0, 0.5], [0.0, 2.0]])
    loss = baselines.gaussian_loss(errors, errors).mean()
    covariance = errors.T @ errors / 500
    expected = np.log(2 * np.pi * np.e) + 0.5 * np.log(np.linalg.det(covariance))
    np.testing.assert_allclose(loss, expected, rtol=tables.OPTIMIZER_RTOL["float64"])


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_a_killed_run_loses_nothing(kind, tmp_path, monkeypatch):
    drawings = drawn(40)
    settings = program.Settings(hidden=8, epochs=4, lr=0.01, rate=0.3, size=16)
    monkeypatch.setitem(program.READER, True, settings)
    monkeypatch.setitem(program.WRITER, True, settings)
    train = getattr(program, f"train_{kind}")
    whole, _ = train(drawings, drawings, common.Log(tmp_path / "whole"), arguments)

    STEPS = 4 * 3

    class Killed(Exception):
        pass

    step = {"reader": Reader, "writer": Writer}[kind].train
    left = [7]

    def dies(*args):
        left[0] -= 1
        if not left[0]:
            raise Killed
        return step(*args)

    monkeypatch.setattr({"reader": Reader, "writer": Writer}[kind], "train", dies)
    monkeypatch.setattr(training._Fit, "_save_if_due", training._Fit._save)  # after each step
    with pytest.raises(Killed):
        train(drawings, drawings, common.Log(tmp_path / "killed"), arguments)
    left[0] = STEPS - 6 + 1  # what is left to do, and no more
    resumed, run = train(drawings, drawings, common.Log(tmp_path / "killed"), arguments)
    assert run.step == run.steps == STEPS and left[0] == 1
    for path in (tmp_path / "whole", tmp_path / "killed"):
        epochs = [line for line in (path / "log.txt").read_text().splitlines() if line.startswith("epoch")]
        assert len(epochs) == 4 and " *" in epochs[0]
    for name, module in whole.modules.items():
        for key, values in module.state_dict().items():
            np.testing.assert_array_equal(resumed.modules[name].state_dict()[key], values)


# -- the example --------------------------------------------------------------------------------------------


def run(folder, *more):
    """What a quick run finds."""
    try:
        return program.main(["--quick", "--out", str(folder), *more])
    except data.DataNotFoundError as error:
        pytest.skip(str(error))


@pytest.mark.full
def test_the_quick_run_reaches_its_bars(tmp_path):
    found = run(tmp_path)
    ahead = {
        name: found["log_likelihood"]["writer"] - value for name, value in found["log_likelihood"].items()
    }
    assert ahead["Gaussian"] > 3.4
    assert ahead["linear autoregression"] > 1.4
    assert found["real"] > 0.92
    assert max(found["generated"].values()) > 0.85
    assert_whole(tmp_path)


def test_a_small_run(tmp_path, monkeypatch):
    """Everything that the example does, on few digits; better than chance already."""
    load, compare = program.load, program.common.compare_speed
    few = lambda: [digits.take(np.arange(0, len(digits), 12)) for digits in load()]  # noqa: E731
    glance = lambda *args, seconds, **options: compare(*args, seconds=0, **options)  # noqa: E731
    settings = program.Settings(hidden=24, epochs=4, lr=0.02, rate=0.1, size=32)
    monkeypatch.setattr(program, "load", few)
    monkeypatch.setattr(program.common, "compare_speed", glance)
    monkeypatch.setitem(program.READER, True, settings)
    monkeypatch.setitem(program.WRITER, True, settings)
    found = run(tmp_path)
    assert found["real"] > 0.3
    assert found["log_likelihood"]["writer"] > found["log_likelihood"]["Gaussian"]
    assert_whole(tmp_path)


def assert_whole(folder):
    """Pictures and models are there, and what was trained writes digits."""
    for name in (
        "digits.png",
        "bias.png",
        "densities.png",
        "number.png",
        "number.svg",
        "log.txt",
    ):
        assert (folder / name).stat().st_size > 500
    assert isinstance(rnncore.load(folder / "writer.safetensors")[0].layer, rnncore.LSTM)
    assert rnncore.load(folder / "reader.safetensors")[0].layer.spec.bidirectional
    run(folder, "--write", "2024", "--bias", "1")
    with pytest.raises(SystemExit, match="digits"):
        run(folder, "--write", "two")


def test_nothing_to_write_with(tmp_path):
    with pytest.raises(SystemExit, match="train one first"):
        program.main(["--out", str(tmp_path), "--write", "1"])
