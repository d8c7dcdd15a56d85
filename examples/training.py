# SPDX-License-Identifier: MIT
"""Training runs that can be killed and resumed.

A training loop of an example reads

    training = Training(out, {"gru": gru, "head": head}, Adam([gru, head]), steps=1000, seed=1, settings={...})
    for step in training:                       # goes on where the checkpoint stopped
        rows = training.batch(len(x), 32)       # every row once per epoch
        ...                                     # forward, backward, optimizer.step
        training.show(loss, tokens)
        if training.every(100):
            training.judge(valid_loss())        # keeps the best parameters
    training.restore_best()
"""

import hashlib
import json
import time
from pathlib import Path

import numpy as np

from rnncore.formats import safetensors

FORMAT = "rnncore.example.checkpoint"
SHARE = 0.02
"""At most this share of the time goes into checkpoints, and at most one is written per second."""


def clock(seconds):
    """Seconds as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


class Training:
    """A training run: it counts steps, shows where it stands, and loses nothing when it is killed.

    Parameters
    ----------
    out : Path
        Folder of ``checkpoint.safetensors`` and ``log.txt``.
    modules : dict of str to module
        Everything that is trained (or frozen but changed): objects with `state_dict` and `load_state_dict`.
    optimizer : object with `state_dict` and `load_state_dict`
    steps : int
        How many steps the run has.
    seed : int
        Of `rng` and of the order of batches.
    settings : dict
        JSON; a checkpoint of other settings is refused.
    fresh : bool
        Start over even if there is a checkpoint.
    unit : str
        What `show` counts: "token", "hour", "point".

    Attributes
    ----------
    step : int
        Steps that are done.
    rng : numpy.random.Generator
        For dropout, noise, sampling: its state is part of the checkpoint. (The masks of a layer's own dropout
        are not: use `dropout`.)
    best, best_step : float, int
        Of `judge`.
    history : list of (step, training loss, judged loss)
    notes : dict
        JSON of the example's own, kept in the checkpoint.
    """

    def __init__(self, out, modules, optimizer, *, steps, seed, settings, fresh=False, unit="token"):
        self.out, self.modules, self.optimizer = Path(out), modules, optimizer
        self.steps, self.seed, self.unit = steps, seed, unit
        self.rng = np.random.default_rng(seed)
        self.step, self.best, self.best_step, self.stopped = 0, float("inf"), 0, False
        self.history, self.notes, self.lines = [], {}, []
        self.seconds, self.count, self.loss = 0.0, 0, None
        self._best_state, self._epoch, self._bar, self._task = None, (None, None), None, None
        identity = json.dumps([settings, steps, seed], sort_keys=True)
        self._identity = hashlib.sha256(identity.encode()).hexdigest()
        self._path = self.out / "checkpoint.safetensors"
        self._written, self._cost = time.perf_counter(), 0.0
        if fresh:
            self._path.unlink(missing_ok=True)
        self.resumed = self._path.exists()
        if self.resumed:
            self._resume()
        (self.out / "log.txt").write_text("".join(line + "\n" for line in self.lines), encoding="utf-8")

    # -- the loop -------------------------------------------------------------------------------------------

    def __iter__(self):
        """Yield the number of each step that is not done yet."""
        if self.step < self.steps and not self.stopped:
            with self._progress():
                while self.step < self.steps and not self.stopped:
                    started = time.perf_counter()
                    yield self.step
                    self.step += 1
                    self.seconds += time.perf_counter() - started
                    self._save_if_due()
        self._save()

    def batch(self, n, size):
        """Rows of this step's batch: a random order of all `n` rows in each epoch, `size` at a time."""
        batches = -(-n // size)
        epoch, number = divmod(self.step, batches)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, np.random.default_rng([self.seed, epoch]).permutation(n))
        return self._epoch[1][number * size : (number + 1) * size]

    def show(self, loss, count):
        """Report one step: its loss, and how many tokens it took."""
        self.count += count
        self.loss = loss if self.loss is None else 0.98 * self.loss + 0.02 * loss
        if self._bar is not None:
            self._bar.update(self._task, completed=self.step + 1, status=self.status())

    def status(self):
        """Loss, speed and time left, as text."""
        rate = self.count / self.seconds if self.seconds else 0.0
        left = self.seconds / max(self.step, 1) * (self.steps - self.step)
        loss = float("nan") if self.loss is None else self.loss
        return f"loss {loss:.4f}  {rate:,.0f} {self.unit}s/s  {clock(left)} left"

    def every(self, steps):
        """Whether this step ends a stretch of so many, or the run."""
        return (self.step + 1) % steps == 0 or self.step + 1 == self.steps

    def judge(self, loss, text=""):
        """Keep the parameters if this validation loss is the lowest so far; log it. Returns whether it is."""
        better = loss < self.best
        if better:
            self.best, self.best_step = float(loss), self.step + 1
            self._best_state = {name: module.state_dict() for name, module in self.modules.items()}
        self.history.append((self.step + 1, self.loss, float(loss)))
        mark = " *" if better else ""
        self.log(f"step {self.step + 1:6}  {self.status()}  validation {loss:.4f}{mark}{text}")
        return better

    def stop(self):
        """End the run after this step (early stopping); a resumed run stays ended."""
        self.stopped = True

    def restore_best(self):
        """Load the parameters of the best `judge` into the modules."""
        if self._best_state is not None:
            for name, module in self.modules.items():
                module.load_state_dict(self._best_state[name])

    def log(self, text):
        """Print a line and append it to log.txt; the lines up to a checkpoint are part of it."""
        self.lines.append(text)
        with open(self.out / "log.txt", "a", encoding="utf-8") as file:
            file.write(text + "\n")
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            print(text, flush=True)

    def _progress(self):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[status]}"))
        self._bar = Progress(*columns, transient=True)
        self._task = self._bar.add_task("", total=self.steps, completed=self.step, status=self.status())
        return _Shown(self)

    # -- the checkpoint -------------------------------------------------------------------------------------

    def _save_if_due(self):
        now = time.perf_counter()
        if now - self._written >= max(1.0, self._cost / SHARE):
            self._save()
            self._written = time.perf_counter()
            self._cost = self._written - now

    def _save(self):
        groups = {f"now.{name}": module.state_dict() for name, module in self.modules.items()}
        groups["optimizer"] = self.optimizer.state_dict()
        for name, state in (self._best_state or {}).items():
            groups[f"best.{name}"] = state
        tensors = {
            f"{group}/{key}": np.asarray(a) for group, state in groups.items() for key, a in state.items()
        }
        kept = (
            "step",
            "best",
            "best_step",
            "stopped",
            "history",
            "notes",
            "lines",
            "seconds",
            "count",
            "loss",
        )
        meta = {name: getattr(self, name) for name in kept}
        meta |= {"format": FORMAT, "identity": self._identity, "rng": self.rng.bit_generator.state}
        safetensors.write(self._path, tensors, {FORMAT: json.dumps(meta)})

    def _resume(self):
        tensors, metadata = safetensors.read(self._path)
        meta = json.loads(metadata.get(FORMAT, "{}"))
        if meta.get("identity") != self._identity:
            raise SystemExit(
                f"{self._path} is a checkpoint of other settings: choose another --out, or --fresh"
            )
        groups = {}
        for name, array in tensors.items():
            group, _, key = name.partition("/")
            groups.setdefault(group, {})[key] = np.array(array)
        for name, module in self.modules.items():
            module.load_state_dict(groups[f"now.{name}"])
        self.optimizer.load_state_dict(groups["optimizer"])
        best = {name: groups.get(f"best.{name}") for name in self.modules}
        self._best_state = None if None in best.values() else best
        self.rng.bit_generator.state = meta.pop("rng")
        for name in set(meta) - {"format", "identity"}:
            setattr(self, name, meta[name])


class _Shown:
    """The progress bar while the loop runs; not shown where the output is no terminal."""

    def __init__(self, training):
        self.training = training

    def __enter__(self):
        if self.training._bar.console.is_terminal:
            self.training._bar.start()
        else:
            self.training._bar = None

    def __exit__(self, *error):
        if self.training._bar is not None:
            self.training._bar.stop()
            self.training._bar = None


def dropout(x, rate, rng):
    """Inverted dropout: (x * mask, mask); multiply the gradient by the mask, too."""
    mask = (rng.random(x.shape, dtype=np.float32) >= rate).astype(x.dtype) / x.dtype.type(1 - rate)
    return x * mask, mask


def cosine(step, steps, high, low=0.0, warmup=0):
    """A learning rate that rises for `warmup` steps and then falls from `high` to `low` on half a cosine."""
    if step < warmup:
        return high * (step + 1) / warmup
    return low + (high - low) * 0.5 * (1 + np.cos(np.pi * (step - warmup) / max(steps - warmup, 1)))
