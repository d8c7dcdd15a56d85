# SPDX-License-Identifier: MIT
"""Training runs: `fit`. The same bits with any number of workers, and after any interruption."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .. import spec
from ..errors import ArgumentError, UnsupportedError, shown
from ..spec.parameters import flat_views
from ..version import __version__
from . import checkpoints
from .accounts import Account, FleetAccount
from .batches import Supervised
from .callbacks import Run, call
from .fleet_run import FleetRun
from .fleet_training import FleetSupervised
from .fleets import FleetOptimizer
from .order import counts_of, part
from .run_arguments import check_callbacks, check_comm, check_folder, check_function, check_shards
from .samples import FleetSamples, Samples
from .sequential import models_of
from .workers import STOPS, Comm, WorkerError, Workers, noted

STOPPED = ("", "callback", "interrupted")
"""What ends a run, by the state that workers agree on."""
SHARE = 0.02
"""At most this share of the time goes into checkpoints, and at most one is written per second."""


def fit(
    model: Any,
    data: Any,
    loss: Callable[..., tuple[float, np.ndarray]] | None,
    optimizer: Any,
    *,
    epochs: int,
    batch_size: int,
    shards: int = 16,
    seed: Any = 0,
    validation: Any = None,
    patience: int | None = None,
    schedule: Callable[[int, int], Any] | None = None,
    comm: Comm | None = None,
    checkpoint: Any = None,
    resume: bool = True,
    callbacks: Iterable[Any] = (),
) -> Run:
    """Train a model; the same bits on every instruction set, with any number of threads and workers.

    Parameters
    ----------
    model : Module or recurrent layer, a fleet of them, or an object of one's own
        A fleet, such as `stack` gives, is trained by its `FleetAdam` or `FleetSGD`: each model gets the weights that a
        run of its own would have given it, to the last bit.
        An object of one's own has ``gradients(batch) -> (total, count, grads)`` of a `Batch`: the loss summed over
        tokens, their number, and gradients of the sum as ``optimizer.step`` takes them; for validation also
        ``evaluate(batch) -> (total, count)``.
    data : pair of inputs and targets, or an object with ``len(data)`` and ``data[i]``
        Inputs and targets are arrays with a row per sample, or lists of arrays (T_i, ...) of different lengths, such as
        `rnncore.ragged.rows` gives. An object's samples are pairs (input, target), or what a model of one's own takes;
        `rnncore.blocks.Blocks` are those of files that are larger than memory. All models of a fleet read these, or
        each its own of a list of M; one with fewer samples than others rests until their epoch is done.
        Steps are the axis behind the samples, whatever the model's layout. Integer targets of -100 do not count.
    loss : callable or None
        ``loss(y, target) -> (mean, dy)`` over tokens (n, K), such as `cross_entropy` and `mse_loss`; None with a
        model of one's own. A fleet's is the same one, as if for each model alone.
    optimizer : Adam or SGD, FleetAdam or FleetSGD
        Of the model; its `clip_norm` clips.
    epochs, batch_size : int
        Batches have so many samples, over all workers; the last one of an epoch may have fewer.
    shards : int
        A power of two: pieces of a batch, whose gradients are summed in the order of a binary tree. It is part of the
        result, the number of workers is not; more workers than shards have nothing to do.
    seed : int
        Of the order of samples and of dropout; of a fleet one for all models, or a list of M.
    validation : data, or a number p, 0 < p < 1, optional
        Judged after each epoch, of the kind of `data`, or this share of it. In the end the model has the best epoch's
        parameters, each of a fleet those of its own best one.
    patience : int, optional
        Stop after so many epochs without a lower validation loss. A model of a fleet then rests.
    schedule : callable, optional
        The learning rate of (step, steps), such as `Cosine`, of a fleet also one for each model, (M,), and asked for
        each number of steps that models have; the optimiser's `lr` stays as it is without one.
    comm : optional
        What connects workers, from `rnncore.cluster.connect`. All workers call `fit` with the same arguments.
    checkpoint : path, optional
        Folder of ``checkpoint.npz``, which is written once a second at most, and in the end; by worker 0 alone.
    resume : bool
        Go on from the checkpoint, if there is one, with any number of workers.
    callbacks : callables and objects
        A callable is called after each epoch with the `Run`; an object's `on_start`, `on_step`, `on_epoch`, `on_end`
        are, where it has them. True ends the run. Every worker calls its own.

    Returns
    -------
    Run
        Of a fleet a `FleetRun`.

    Raises
    ------
    RnncoreError
        Arguments do not fit, the checkpoint is another run's, or the training has diverged; a model of a fleet that
        diverges leaves the others alone, and `FleetRun.diverged` says so.
    WorkerError
        Another worker failed, is gone or silent, or has other arguments.
    KeyboardInterrupt
        After Ctrl-C, when the step is done and the checkpoint written; a second one does not wait.

    Notes
    -----
    A step sends about twice the bytes of the parameters from and to each worker, if their number is a power of two;
    every worker holds all parameters. Each shard is one call of the layers, so few samples in a shard cost speed.

    Examples
    --------
    >>> import numpy as np
    >>> model = rnncore.nn.Sequential(rnncore.GRU(3, 8, seed=0), rnncore.Linear(8, 2, seed=1))
    >>> x = np.random.default_rng(0).random((64, 10, 3), dtype=np.float32)
    >>> labels = (x[:, :, 0] > 0.5).astype(int)
    >>> adam = rnncore.Adam(model, lr=0.03)
    >>> run = rnncore.nn.fit(model, (x, labels), rnncore.cross_entropy, adam, epochs=4, batch_size=16)
    >>> run.epoch, run.step, run.losses[-1] < run.losses[0]
    (4, 16, True)
    """
    given = {name: value for name, value in locals().items() if name not in {"comm", "callbacks"}}
    workers = Workers(check_comm(comm))
    try:
        return _Fit(workers, check_callbacks(callbacks), **given).run_all()
    except BaseException as error:
        workers.fail(error)
        raise


class _Fit:
    """One call of `fit`."""

    def __init__(self, workers: Workers, callbacks: list[Any], **given: Any) -> None:
        self.workers, self.callbacks = workers, callbacks
        self.optimizer = given["optimizer"]
        self.schedule = check_function("schedule", given["schedule"], "of (step, steps)")
        self.batch_size = spec.check_int("batch_size", given["batch_size"], 1)
        self.shards = check_shards(given["shards"])
        patience, self.resume = given["patience"], spec.check_bool("resume", given["resume"])
        self.patience = None if patience is None else spec.check_int("patience", patience, 1)
        if self.patience and given["validation"] is None:
            raise ArgumentError("patience", "None without validation", str(patience))
        self.groups = list(getattr(self.optimizer, "_groups", ()))
        loss = self._check_loss(given["model"], given["loss"])
        dtypes = {group.dtype for group in self.groups}
        if len(dtypes) > 1:
            raise UnsupportedError("optimizer", "modules of one dtype", ", ".join(sorted(map(str, dtypes))))
        self.dtype = dtypes.pop()
        self.sizes = [sum(math.prod(shape) for shape in group.shapes.values()) for group in self.groups]
        self._take(given["model"], loss, (given["data"], given["validation"], given["seed"]), given["epochs"])
        self.folder = check_folder(given["checkpoint"])
        self.written, self.cost = time.perf_counter(), 0.0

    def _check_loss(self, model: Any, loss: Any) -> Any:
        if not self.groups:
            raise ArgumentError("optimizer", "an optimiser of rnncore.nn", shown(self.optimizer))
        if check_function("loss", loss, "of (y, target)") is None:
            if not hasattr(model, "gradients") or isinstance(self.optimizer, FleetOptimizer):
                raise ArgumentError("loss", "a function, or a model with gradients(batch)", "None")
        elif len(self.groups) != 1 or self.groups[0].module is not model:
            raise ArgumentError("optimizer", "an optimiser of this model alone", shown(self.optimizer))
        return loss

    def _take(self, model: Any, loss: Any, data: tuple[Any, Any, Any], epochs: Any) -> None:
        """The samples, the run, its account and what gives gradients: of one model, or of a fleet, by the optimiser."""
        fleet = isinstance(self.optimizer, FleetOptimizer)
        models = (self.optimizer.models,) if fleet else ()
        self.samples = FleetSamples(*data, *models) if fleet else Samples(*data)
        self.batches = -(-self.samples.count // self.batch_size)
        epochs, workers = spec.check_int("epochs", epochs, 1), self.workers
        course = {
            "epochs": epochs,
            "steps": epochs * self.batches,
            "rank": workers.rank,
            "workers": workers.size,
        }
        if fleet:
            batches = -(-self.samples.counts // self.batch_size)
            self.run: Run = FleetRun(**course, models=models[0], batches=batches)
            self.account: Account = FleetAccount(self.run, self.optimizer)
            self.samples.active = self.run.active
            self.model: Any = FleetSupervised(model, loss, self.run.active)
        else:
            if models_of(model):
                raise ArgumentError("optimizer", "FleetAdam or FleetSGD for a fleet", shown(self.optimizer))
            self.run = Run(**course)
            self.account = Account(self.run, self.optimizer)
            self.model = model if loss is None else Supervised(model, loss)

    # The run

    def run_all(self) -> Run:
        """Everything, from the first words between workers on."""
        self._agree()
        self._resume()
        run = self.run
        self._call("on_start")
        self._started = time.perf_counter() - run.seconds
        with noted(self.workers):
            self.account.stop_if_stale(self.patience)
            while run.epoch < run.epochs and not run.stopped:
                self._epoch()
            if self.folder is not None and self.workers.rank == 0:
                self._save()
        if run.stopped == "interrupted":
            raise KeyboardInterrupt
        self.account.restore_best()
        self._call("on_end")
        return run

    def _epoch(self) -> None:
        """The rest of an epoch, or of its steps up to the one after which the run is to stop."""
        run = self.run
        self.samples.begin(run.epoch)
        order = self.samples.order
        for batch in range(run.step - run.epoch * self.batches, self.batches):
            rows = order[..., batch * self.batch_size : (batch + 1) * self.batch_size]
            if rows.size:  # else those of a fleet that have so many samples rest
                self._step(rows)
            run.step += 1
            run.seconds = time.perf_counter() - self._started
            self._call("on_step")
            if batch + 1 == self.batches:
                self._end_epoch()
            self._save_if_due()
            if run.stopped:
                return

    def _step(self, rows: np.ndarray) -> None:
        """One step of the optimiser."""
        alone = self.shards == 1 and self.workers.size == 1
        total, count, grads = self._gradients(rows) if alone else self._sums(rows)
        if alone:  # there is nothing to add up and nobody to ask
            self.workers.agreed = self.workers.state
        self.run.stopped = STOPPED[self.workers.agreed]
        self.account.step(total, count, grads, self.schedule)

    def _gradients(self, rows: np.ndarray) -> tuple[Any, Any, Any]:
        """Total loss, number of tokens and gradients of a shard."""
        return self.model.gradients(self.samples.batch(rows))

    def _sums(self, rows: np.ndarray) -> tuple[Any, Any, Any]:
        """The same of all shards of a batch, of all workers."""

        def shard(k: int) -> Any:
            some = part(rows, k, self.shards)
            if not some.size:
                return None
            total, count, grads = self._gradients(some)
            dense = [array.reshape(-1) for own in self.optimizer._check(grads) for array in own]
            return self.account.packed(total, count), np.concatenate(dense)

        found = self.workers.sum(self.shards, shard, self.dtype, sum(self.sizes))
        assert found is not None  # a batch has at least one sample
        numbers, gradient = found
        cuts = np.split(gradient, np.cumsum(self.sizes)[:-1])
        grads = [flat_views(group.shapes, cut) for group, cut in zip(self.groups, cuts, strict=True)]
        return *self.account.unpacked(numbers), grads

    def _end_epoch(self) -> None:
        """Judge, keep what is best, and let all workers know whether one is to stop."""
        account = self.account
        account.end_epoch()
        if self.samples.held.size:
            account.judged(*self._judge())
        self._call("on_epoch")
        self.workers.share(np.zeros(0, np.uint8))
        self.run.stopped = STOPPED[self.workers.agreed]
        account.stop_if_stale(self.patience)

    def _judge(self) -> tuple[Any, Any]:
        """The loss over the validation samples and their tokens, summed in an order that their number defines."""
        held, account = self.samples.held, self.account
        batches = -(-np.atleast_1d(counts_of(held)) // self.batch_size)
        pieces = np.array([max(self.shards, 1 << (n - 1).bit_length()) for n in batches.tolist()])

        def piece(k: int) -> np.ndarray:
            some = part(held, k, pieces if held.ndim > 1 else pieces[0])
            if not some.size:
                return np.zeros(account.size)
            return account.packed(*self.model.evaluate(self.samples.held_batch(some)))

        # Of a fleet each model's pieces are a tree of their own, the first in that of the model that has most.
        return account.unpacked(self.workers.numbers(int(pieces.max()), piece))

    def _call(self, when: str) -> None:
        if call(self.callbacks, when, self.run):
            self.workers.state = max(self.workers.state, STOPS)

    # Agreement

    def _recipe(self) -> dict[str, str]:
        """What must be the same in a run that goes on, each as text."""
        own = vars(self.optimizer).items()
        options = {name: value for name, value in own if name[0] != "_" and name not in ("lr", "step_count")}
        shapes = [[[name, list(shape)] for name, shape in group.shapes.items()] for group in self.groups]
        return {
            "batch_size": str(self.batch_size),
            "shards": str(self.shards),
            "optimizer": f"{type(self.optimizer).__name__} {json.dumps(options, sort_keys=True, default=str)}",
            "parameters": f"{self.dtype} {json.dumps(shapes)}",
            **self.samples.recipe(),
        }

    def _agree(self) -> None:
        """Make sure that all workers do the same."""
        if self.workers.size == 1 and self.folder is None:
            return
        self.recipe = self._recipe()
        if self.workers.size == 1:
            return
        values = hashlib.sha256()
        for group in self.groups:
            for array in group.module.parameters().values():
                values.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        facts = {
            "version": __version__,
            **self.recipe,
            "epochs": str(self.run.epochs),
            "values": values.hexdigest(),
        }
        text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
        found = [json.loads(part.tobytes()) for part in self.workers.share(text)]
        for rank, other in enumerate(found):
            for name, value in found[0].items():
                if other.get(name) != value:
                    raise WorkerError(f"worker {rank}", f"{name} of worker 0, {value}", other.get(name))

    def _resume(self) -> None:
        """Go on where worker 0's checkpoint stops."""
        data = b""
        if self.folder is not None and self.workers.rank == 0:
            checkpoints.prepare(self.folder)
            data = checkpoints.read(self.folder) if self.resume else b""
        data = self.workers.share(np.frombuffer(data, np.uint8))[0].tobytes()
        if not data:
            return
        arrays, kept = checkpoints.from_bytes(data, str(self.folder))
        for name, value in self.recipe.items():
            if kept["recipe"].get(name) != value:
                got = f"{name} {kept['recipe'].get(name)} instead of {value}"
                raise ArgumentError("checkpoint", "a run of these arguments", got, "resume=False starts over")
        groups: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            group, _, inner = name.partition("/")
            groups.setdefault(group, {})[inner] = array
        self.optimizer.load_state_dict(groups["optimizer"])
        for k, group in enumerate(self.groups):
            group.module.update_parameters(groups.get(f"module{k}", {}))
        best = [groups[f"best{k}"] for k in range(len(self.groups))] if "best0" in groups else None
        self.account.restore(kept["run"], best)

    def _save_if_due(self) -> None:
        now = time.perf_counter()
        if self.folder is None or self.workers.rank or now - self.written < max(1.0, self.cost / SHARE):
            return
        self._save()
        self.written = time.perf_counter()
        self.cost = self.written - now

    def _save(self) -> None:
        states = {f"module{k}": group.module.parameters() for k, group in enumerate(self.groups)}
        states["optimizer"] = self.optimizer.state_dict()
        states |= {f"best{k}": values for k, values in enumerate(self.account.best or ())}
        arrays = {f"{group}/{name}": array for group, own in states.items() for name, array in own.items()}
        run = {"run": self.account.kept(), "recipe": self.recipe, "version": __version__}
        assert self.folder is not None
        checkpoints.write(self.folder, checkpoints.to_bytes(arrays, run))
