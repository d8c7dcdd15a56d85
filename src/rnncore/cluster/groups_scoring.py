# SPDX-License-Identifier: MIT
"""What `score_groups` does with one table; engines hand it partitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import spec
from ..errors import ArgumentError, shown
from ..formats import native
from . import groups_parts
from .groups_parts import run_parts, text_of
from .groups_table import (
    Groups,
    arrow,
    check_columns,
    check_free,
    grouped,
    key_type,
    name_of,
    names_of,
    table_of,
)

SCORED: tuple[str, ...] = ("config", "y", "error")
"""Columns of the result beside the key's and the ids."""


class Scoring:
    """`score_groups` of one table; picklable as `Fitting` is."""

    def __init__(self, key: Any, models: Any, predict: Any, time: str | None, ids: Any) -> None:
        self.keys: list[str] = names_of("key", key)
        self.ids: list[str] = names_of("ids", ids)
        self.time: str | None = name_of("time", time)
        for field, names in (("key", self.keys), ("ids", self.ids)):
            check_free(field, names, (*SCORED, *(self.keys if field == "ids" else ())))
        if not callable(predict):
            raise ArgumentError("predict", "a function of (model, group)", shown(predict))
        self.predict: Any = predict
        models = table_of("models", models)
        check_columns("models", [*self.keys, "model", "error"], models.schema)
        self.has_configs: bool = "config" in models.column_names
        self.models: dict[tuple[Any, ...], list[tuple[Any, Any, str | None]]] = {}
        named_columns = ["config"] * self.has_configs + ["model", "error"]
        for row in models.select([*self.keys, *named_columns]).to_pylist():
            place = tuple(row[name] for name in self.keys)
            own = self.models.setdefault(place, [])
            if any(config == row.get("config") for config, *_ in own):  # each would have a row of its own
                raise ArgumentError("models", "one model of each key and config", f"two of {shown(place)}")
            own.append((row.get("config"), row["model"], row["error"]))

    def schema(self, table: Any) -> Any:
        """Names and types of the result, of those of a table."""
        pa = arrow()
        check_columns("key", self.keys, table)
        check_columns("ids", self.ids, table)
        keys = [(name, key_type(name, table.field(name).type)) for name in self.keys]
        config = [("config", pa.int64())] if self.has_configs else []
        ids = [table.field(name) for name in self.ids]
        own = [("y", pa.list_(pa.float64())), ("error", pa.string())]
        return pa.schema([*keys, *config, *ids, *own])

    def __call__(self, table: Any, progress: Any = None) -> Any:
        """The result of a table; see `score_groups`."""
        pa, table = arrow(), table_of("table", table)
        schema = self.schema(table.schema)
        groups = grouped(table, self.keys, self.time)

        def work(pack: Groups) -> Any:
            found = [part for one in pack for part in self._parts(schema, *one)]
            return pa.concat_tables(found or [schema.empty_table()]).combine_chunks()

        parts = run_parts(groups.packs(groups_parts.PACK), len(groups), work, None, progress)
        return pa.concat_tables([schema.empty_table(), *parts])

    # One group

    def _parts(self, schema: Any, key: tuple[Any, ...], group: Any, error: Exception | None) -> list[Any]:
        """The results of a group, of each of its models."""
        pa, found = arrow(), []
        for config, data, failed in self.models.get(key, [(None, None, "no model of this key")]):
            row = dict(zip(self.keys, key, strict=True)) | ({"config": config} if self.has_configs else {})
            try:
                if error is not None:
                    raise error
                if data is None:
                    raise ArgumentError("model", "one that was trained", failed)
                found.append(self._scored(schema, row, group, self.predict(native.from_bytes(data), group)))
            except Exception as raised:  # it is the group's: the row says so
                found.append(pa.Table.from_pylist([row | {"error": text_of(raised)}], schema))
        return found

    def _scored(self, schema: Any, row: Mapping[str, Any], group: Any, result: Any) -> Any:
        """A table of one result for each row of the group, or of one."""
        pa, result = arrow(), spec.numbers("predict", result, np.float64)
        n = len(result) if result.ndim else 0
        if n not in (1, len(group)):
            raise ArgumentError("predict", f"1 row or {len(group)}", f"shape {result.shape}")
        flat = np.ascontiguousarray(result.reshape(n, -1))
        offsets = np.arange(n + 1, dtype=np.int32) * flat.shape[1]
        missing = pa.array(np.isnan(flat).all(axis=1))
        y = pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat.reshape(-1)), mask=missing)
        rows = group.slice(len(group) - n)
        columns = [pa.array([value] * n, schema.field(name).type) for name, value in row.items()]
        columns += [rows[name] for name in self.ids]
        return pa.table([*columns, y, pa.nulls(n, pa.string())], schema=schema)
