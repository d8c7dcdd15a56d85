# SPDX-License-Identifier: MIT
"""The networks of a `Forecaster` and the run that trains them, one after the other.

A network (member) sees a window through one view and learns what the linear path leaves over. The run
stops each early by its fold's validation block, shares out a time budget and keeps checkpoints.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import forecasting
from .errors import ArgumentError
from .modelfile import prefixed, read_file, strip, write_file
from .nn import Adam, Linear, mse_loss

CHECKPOINT_FORMAT = "rnncore-forecaster-checkpoint-1"
CHECKPOINT_SECONDS = 1.0
"""A checkpoint is written at most this often: what a killed run repeats is bounded by it."""
MAX_WINDOWS = 4_000
"""Training windows per fold; longer series are thinned, their windows overlap almost entirely."""


@dataclass(frozen=True)
class Progress:
    """State of a training run after an epoch, as given to the `progress` callback."""

    member: int
    members: int
    epoch: int
    epochs: int
    loss: float
    valid_loss: float
    best_loss: float
    windows_per_second: float
    elapsed: float
    remaining: float


@dataclass
class Member:
    """One network with its linear path, its fold's scaling and its view."""

    view: str
    fold: int
    mean: float
    std: float
    weights: np.ndarray
    intercept: np.ndarray
    scale: float
    layer: object
    head: Linear

    def linear(self, inputs: np.ndarray[Any, Any]) -> Any:
        return inputs @ self.weights + self.intercept

    def predict(
        self,
        values: np.ndarray[Any, Any],
        origins: np.ndarray[Any, Any],
        window: int,
        num_threads: int | None,
    ) -> Any:
        """Forecast (n, horizon) in series units from the windows before `origins`."""
        seen = forecasting.look(self.view, (values - self.mean) / self.std, origins, window)
        y, _ = self.layer(steps_first(seen.inputs, self.head.dtype), num_threads=num_threads)
        outputs = self.linear(seen.inputs) + self.scale * self.head(y[-1])
        return seen.show(outputs) * self.std + self.mean


@dataclass
class Task:
    """Training and validation data of one member; x (window, n, 1), targets (n, horizon), weights (n, 1)."""

    x: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    valid_x: np.ndarray
    valid_target: np.ndarray
    valid_weight: np.ndarray


def steps_first(inputs: np.ndarray[Any, Any], dtype: Any) -> Any:
    return np.ascontiguousarray(inputs.T[:, :, None], dtype=dtype)


class Run:
    """One training run: builds the members, trains them in turn, keeps checkpoints."""

    model: Any
    progress: Any
    checkpoint: Any
    fold_list: Any
    tasks: Any
    identity: Any
    number: Any
    epoch: Any
    best: Any
    best_epoch: Any
    best_state: Any
    elapsed: Any
    boundary: Any
    resumed: Any
    started: Any
    written: Any

    def __init__(
        self, model: Any, values: np.ndarray[Any, Any], progress: Callable[..., Any] | None, checkpoint: Any
    ) -> None:
        self.model, self.progress = model, progress
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.fold_list = forecasting.blocked_folds(
            values, model.window, model.horizon, model.folds, MAX_WINDOWS
        )
        self.tasks = []
        members = []
        for view in forecasting.VIEWS:
            members += self._prepare(view, values, len(members))
        model._members = members
        # More time or other threads continue the same run; anything else would be another one.
        settings = {k: v for k, v in model._config().items() if k not in ("seconds", "num_threads")}
        identity = json.dumps([settings, hashlib.sha256(values.tobytes()).hexdigest()], sort_keys=True)
        self.identity = hashlib.sha256(identity.encode()).hexdigest()
        self.number, self.epoch, self.best, self.best_epoch = 0, 0, np.inf, 0
        self.best_state, self.elapsed = None, 0.0
        self.boundary = None
        self.resumed = self._resume()

    def _prepare(self, view: Any, values: np.ndarray[Any, Any], first: int) -> Any:
        """Make the members of one view, with the data they train on."""
        model, dtype = self.model, np.dtype(self.model.dtype)
        looks, pairs = [], []
        for fold in self.fold_list:
            scaled = (values - fold.mean) / fold.std
            train, valid = (forecasting.look(view, scaled, o, model.window) for o in (fold.train, fold.valid))
            targets = [
                seen.hide(forecasting.gather(scaled, o, 0, model.horizon))
                for seen, o in ((train, fold.train), (valid, fold.valid))
            ]
            looks.append((train, valid))
            pairs.append((train.inputs, targets[0], valid.inputs, targets[1], valid.scale))
        members = []
        for index, (weights, intercept) in enumerate(forecasting.fit_linear(pairs)):
            inputs, targets, valid_inputs, valid_targets, _ = pairs[index]
            rest = targets - (inputs @ weights + intercept)
            valid_rest = valid_targets - (valid_inputs @ weights + intercept)
            # What is left is brought to unit size; the floor is for series the linear path fits exactly.
            scale = max(float(rest.std()), 1e-6)
            train, valid = looks[index]
            # Errors count in units of the series: a window divided by its spread weighs spread squared.
            squares = [
                np.broadcast_to(np.square(s.scale / s.scale.mean()), r.shape)
                for s, r in ((train, rest), (valid, valid_rest))
            ]
            self.tasks.append(
                Task(
                    steps_first(inputs, dtype),
                    (rest / scale).astype(dtype),
                    squares[0],
                    steps_first(valid_inputs, dtype),
                    (valid_rest / scale).astype(dtype),
                    squares[1],
                )
            )
            fold = self.fold_list[index]
            members.append(
                model._new_member(first + index, view, index, fold.mean, fold.std, weights, intercept, scale)
            )
        return members

    # -- the loop -----------------------------------------------------------------------------------------

    def train(self) -> None:
        members = self.model._members
        self.started = time.perf_counter() - self.elapsed
        self.written = time.perf_counter()
        while self.number < len(members):
            self._train_member(members[self.number], self.tasks[self.number])
            self.keep_best()
            self.number, self.epoch, self.best, self.best_epoch = self.number + 1, 0, np.inf, 0
            self.best_state = self.boundary = None
        if self.checkpoint is not None:
            self._write_checkpoint()

    def keep_best(self) -> None:
        """Put the best weights of the member in training in place."""
        if self.best_state is not None:
            member = self.model._members[self.number]
            member.layer.load_state_dict(self.best_state[0])
            member.head.load_state_dict(self.best_state[1])

    def stop(self) -> None:
        """End an interrupted run: write down where it stands, keep the best."""
        if self.checkpoint is not None and self.boundary is not None:
            self._write_checkpoint()
        if self.number < len(self.model._members):
            self.keep_best()

    def _train_member(self, member: Any, task: Any) -> Any:
        model = self.model
        optimizer = Adam(
            [member.layer, member.head],
            lr=model.lr,
            clip_norm=model.clip_norm,
            weight_decay=model.weight_decay,
        )
        rng = np.random.default_rng([model.seed, self.number])
        if self.resumed is not None:
            self._restore(member, optimizer, rng)
        else:
            self._judge(member, task)
        left = len(model._members) - self.number
        now = time.perf_counter() - self.started
        # The budget is shared out evenly, so that the last members are trained as long as the first.
        deadline = np.inf if model.seconds is None else now + (model.seconds - now) / left
        while self.epoch < model.epochs and self.epoch - self.best_epoch < model.patience:
            if time.perf_counter() - self.started >= deadline:
                break
            began = time.perf_counter()
            loss, seen = self._epoch(member, task, optimizer, rng, deadline)
            self.epoch += 1
            rate = seen / (time.perf_counter() - began)
            valid_loss = self._judge(member, task)
            self.elapsed = time.perf_counter() - self.started
            # One assignment, so that an interrupt finds the whole of this epoch or the whole of the last.
            self.boundary = {
                "meta": {
                    "epoch": self.epoch,
                    "best": self.best,
                    "best_epoch": self.best_epoch,
                    "rng": rng.bit_generator.state,
                },
                "now.rnn.": member.layer.state_dict(),
                "now.head.": member.head.state_dict(),
                "now.opt.": optimizer.state_dict(),
                "best.rnn.": self.best_state[0],
                "best.head.": self.best_state[1],
            }
            if self.checkpoint is not None and time.perf_counter() - self.written >= CHECKPOINT_SECONDS:
                self._write_checkpoint()
            self._report(loss, valid_loss, rate)

    def _epoch(
        self, member: Any, task: Any, optimizer: Any, rng: np.random.Generator, deadline: float
    ) -> Any:
        """Pass over the training windows in random order until `deadline`; return mean loss and count."""
        model = self.model
        order = rng.permutation(task.target.shape[0])
        total, seen = 0.0, 0
        for start in range(0, len(order), model.batch_size):
            rows = order[start : start + model.batch_size]
            y, _, tape = member.layer.forward(task.x[:, rows], num_threads=model.num_threads)
            pred, head_tape = member.head.forward(y[-1])
            loss, dpred = mse_loss(pred, task.target[rows], task.weight[rows])
            head_grads = member.head.backward(head_tape, dpred)
            dy = np.zeros_like(y)
            dy[-1] = head_grads.x
            grads = member.layer.backward(tape, dy)
            optimizer.step([grads.params, head_grads.params])
            total += loss * len(rows)
            seen += len(rows)
            if time.perf_counter() - self.started >= deadline:
                break
        return total / seen, seen

    def _judge(self, member: Any, task: Any) -> Any:
        """Return the validation loss and remember the weights if they are the best so far."""
        y, _ = member.layer(task.valid_x, num_threads=self.model.num_threads)
        loss, _ = mse_loss(member.head(y[-1]), task.valid_target, task.valid_weight)
        if loss < self.best:
            self.best, self.best_epoch = loss, self.epoch
            self.best_state = (member.layer.state_dict(), member.head.state_dict())
        return loss

    def _report(self, loss: float, valid_loss: float, rate: float) -> Any:
        if self.progress is None:
            return
        model, members = self.model, len(self.model._members)
        done = (self.number + self.epoch / model.epochs) / members
        remaining = self.elapsed * (1.0 - done) / done
        if model.seconds is not None:
            remaining = min(remaining, max(model.seconds - self.elapsed, 0.0))
        self.progress(
            Progress(
                self.number + 1,
                members,
                self.epoch,
                model.epochs,
                loss,
                valid_loss,
                self.best,
                rate,
                self.elapsed,
                remaining,
            )
        )

    # -- checkpoints --------------------------------------------------------------------------------------

    def _write_checkpoint(self) -> Any:
        """Write finished members and the state at the last epoch boundary."""
        tensors = {}
        for i, m in enumerate(self.model._members[: self.number]):
            tensors.update(prefixed(f"{i}.rnn.", m.layer.state_dict()))
            tensors.update(prefixed(f"{i}.head.", m.head.state_dict()))
        meta = {
            "format": CHECKPOINT_FORMAT,
            "identity": self.identity,
            "number": self.number,
            "elapsed": self.elapsed,
            "now": None,
        }
        if self.boundary is not None:
            meta["now"] = self.boundary["meta"]
            for prefix, state in self.boundary.items():
                if prefix != "meta":
                    tensors.update(prefixed(prefix, state))
        write_file(self.checkpoint, tensors, meta)
        self.written = time.perf_counter()

    def _resume(self) -> Any:
        """Load the checkpoint file if there is one; return its tensors for the member in training."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return None
        tensors, meta = read_file(self.checkpoint, CHECKPOINT_FORMAT)
        if meta.get("identity") != self.identity:
            raise ArgumentError(
                "checkpoint",
                "a run with the same series and settings",
                f"another run in {self.checkpoint}",
                "choose another file or remove it",
            )
        self.number, self.elapsed, now = meta["number"], meta["elapsed"], meta["now"]
        for i, member in enumerate(self.model._members[: self.number]):
            member.layer.load_state_dict(strip(tensors, f"{i}.rnn."))
            member.head.load_state_dict(strip(tensors, f"{i}.head."))
        if now is None:
            return None
        self.epoch, self.best, self.best_epoch = now["epoch"], now["best"], now["best_epoch"]
        return tensors, now["rng"]

    def _restore(self, member: Any, optimizer: Any, rng: np.random.Generator) -> Any:
        tensors, rng_state = self.resumed
        member.layer.load_state_dict(strip(tensors, "now.rnn."))
        member.head.load_state_dict(strip(tensors, "now.head."))
        optimizer.load_state_dict(strip(tensors, "now.opt."))
        rng.bit_generator.state = rng_state
        self.best_state = (strip(tensors, "best.rnn."), strip(tensors, "best.head."))
        self.resumed = None
