# SPDX-License-Identifier: MIT
"""What `fit_groups` does with one table; engines hand it partitions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from .. import spec
from ..errors import ArgumentError, shown
from ..formats import native
from ..nn import Adam
from . import groups_packs, groups_parts
from .groups_packs import Job
from .groups_parts import Folder, named, run_parts, text_of
from .groups_table import (
    Groups,
    arrow,
    check_columns,
    check_free,
    grouped,
    key_type,
    name_of,
    names_of,
    seed_of,
    table_of,
)

RATE = 1e-2
"""Learning rate of the optimiser of models that come without one."""
FITTED: tuple[str, ...] = (
    "config",
    "model",
    "samples",
    "epochs",
    "loss",
    "validation_loss",
    "best_epoch",
    "error",
)
"""Columns of the result beside the key's."""


class Fitting:
    """`fit_groups` of one table; picklable where its functions are, for the tasks of an engine."""

    def __init__(
        self,
        key: str | Sequence[str],
        model: Any,
        seed: int,
        data: Any,
        time: str | None,
        configs: Any,
        loss: Any,
        epochs: int,
        batch_size: int,
        patience: int | None,
        schedule: Any,
        folder: Any,
    ) -> None:
        self.keys: list[str] = names_of("key", key)
        check_free("key", self.keys, FITTED)
        functions = {"model": model, "data": data, "loss": loss, "schedule": schedule}
        for name, value in functions.items():
            if not callable(value) and (name != "schedule" or value is not None):
                raise ArgumentError(name, "a function", shown(value))
        self.model: Any = model
        self.data: Any = data
        self.loss: Any = loss
        self.seed: int = spec.check_int("seed", seed, 0)
        self.time: str | None = name_of("time", time)
        self.configs: list[dict[str, Any]] | None = _checked_configs(configs)
        spec.check_int("epochs", epochs, 1)
        spec.check_int("batch_size", batch_size, 1)
        if patience is not None:
            spec.check_int("patience", patience, 1)
        self.options: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "patience": patience}
        self.options |= {"schedule": schedule, "shards": 1}
        self.folder: Folder | None = None if folder is None else Folder(folder, self._recipe())

    def _recipe(self) -> dict[str, str]:
        """All that results follow from beside the rows, each as text."""
        options = {
            name: str(value) for name, value in self.options.items() if name not in {"schedule", "shards"}
        }
        functions = {
            "data": self.data,
            "loss": self.loss,
            "schedule": self.options["schedule"],
            "of": self.model,
        }
        return {
            **options,
            **{name: named(value) for name, value in functions.items()},
            "seed": str(self.seed),
            "key": json.dumps(self.keys),
            "time": str(self.time),
            "configs": repr(self.configs),
            "models": " ".join(self._example(config) for config in self.configs or [{}]),
        }

    def _example(self, config: Mapping[str, Any]) -> str:
        """A digest of the model of seed 0 and of its optimiser: another factory of the same name has another one."""
        try:
            module, optimizer = self._made(0, config)
            settings = {name: value for name, value in vars(optimizer).items() if name[0] != "_"}
            return hashlib.sha256(native.to_bytes(module) + f"{optimizer!r} {settings}".encode()).hexdigest()
        except Exception as error:  # a factory that fails does so for every group, too, and says it there
            return text_of(error)

    def schema(self, table: Any) -> Any:
        """Names and types of the result, of those of a table."""
        pa = arrow()
        check_columns("key", self.keys, table)
        keys = [(name, key_type(name, table.field(name).type)) for name in self.keys]
        config = [] if self.configs is None else [("config", pa.int64())]
        own = {
            "model": pa.binary(),
            "error": pa.string(),
            "loss": pa.float64(),
            "validation_loss": pa.float64(),
        }
        return pa.schema([*keys, *config, *((name, own.get(name, pa.int64())) for name in FITTED[1:])])

    def __call__(self, table: Any, progress: Any = None) -> Any:
        """The result of a table; see `fit_groups`."""
        pa, table = arrow(), table_of("table", table)
        schema = self.schema(table.schema)
        groups = grouped(table, self.keys, self.time)

        def work(pack: Groups) -> Any:
            jobs = [job for one in pack for job in self._jobs(*one)]
            groups_packs.train(jobs, self.loss, self.options)
            return pa.Table.from_pylist([job.row for job in jobs], schema)

        parts = run_parts(groups.packs(groups_parts.PACK), len(groups), work, self.folder, progress)
        return pa.concat_tables([schema.empty_table(), *parts])

    # One group

    def _jobs(self, key: tuple[Any, ...], group: Any, error: Exception | None) -> list[Job]:
        """The jobs of one group: one, or one for each config."""
        jobs, samples = [], None
        if error is None:
            try:
                samples = _samples(self.data(group))
            except Exception as found:  # it is the group's: the row says so
                error = found
        for number, config in enumerate(self.configs or [{}]):
            row = dict(zip(self.keys, key, strict=True)) | ({"config": number} if self.configs else {})
            try:
                if samples is None:
                    jobs.append(Job(row | {"error": text_of(error)}))
                    continue
                seed = seed_of(self.seed, key)
                jobs.append(Job(row, seed, samples, self._made(seed, config)))
            except Exception as found:  # as above
                jobs.append(Job(row | {"error": text_of(found)}))
        return jobs

    def _made(self, seed: int, config: Mapping[str, Any]) -> tuple[Any, Any]:
        """A new model and its optimiser."""
        made = self.model(seed, **config)
        if isinstance(made, tuple):
            if len(made) != 2:
                raise ArgumentError("model", "a module, or a pair of it and its optimiser", shown(made))
            return made
        return made, Adam(made, lr=RATE, clip_norm=1.0)


def _checked_configs(value: Any) -> list[dict[str, Any]] | None:
    if value is None:
        return None
    sound = isinstance(value, (list, tuple)) and all(
        isinstance(one, Mapping) and all(isinstance(name, str) for name in one) for one in value
    )
    if not sound or not value:
        raise ArgumentError("configs", "a list of dicts by name, not empty, or None", shown(value))
    return [dict(one) for one in value]


def _samples(found: Any) -> tuple[Any, Any, Any]:
    """Inputs, targets, and a pair for validation or None."""
    if not isinstance(found, tuple) or len(found) not in (2, 3):
        raise ArgumentError("data", "(x, target) or (x, target, validation)", shown(found))
    return found if len(found) == 3 else (*found, None)
