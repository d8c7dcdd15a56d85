# SPDX-License-Identifier: MIT
"""Series for the tests of groups, a model for them, and one hash for a table of results, whatever its order.

python group_tables.py FOLDER    fits the series with parts in the folder, and kills itself after the second part
"""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

import rnncore
from rnncore import nn
from rnncore.cluster import Windows, fit_groups, groups_parts
from rnncore.verify import numbers

WEEK = Windows("y", context=6, horizon=2)


def series(count=12, rows=20):
    """A table of series, the first of them called "s0"."""
    day = np.tile(np.arange(rows), count)
    y = np.sin(day / 3 + np.repeat(np.arange(count), rows)) + 0.1 * numbers((count * rows,), 1).astype(float)
    return pa.table({"store": [f"s{k}" for k in range(count) for _ in range(rows)], "day": day, "y": y})


def model(seed, hidden=3):
    layer = nn.Recurrent(rnncore.GRU(1, hidden, seed=seed), return_sequences=False)
    return nn.Sequential(layer, nn.Linear(hidden, 2, seed=seed + 1))


def deadly(marker, seed):
    """The model; the first call of all ends its process."""
    try:
        Path(marker).touch(exist_ok=False)
    except FileExistsError:
        return model(seed)
    os.kill(os.getpid(), signal.SIGKILL)


def fitted(table, **options):
    return fit_groups(table, "store", model, 7, **{"data": WEEK, "time": "day", "epochs": 2, **options})


def spoilt(table, store, column, values):
    """The table with other values of a column in the first rows of a store."""
    found = table[column].to_pylist()
    first = table["store"].to_pylist().index(store)
    found[first : first + len(values)] = values
    return table.set_column(table.column_names.index(column), column, pa.array(found, pa.float64()))


def digest(table):
    """The hash of a table's rows, in the order of their values."""
    rows = [
        {name: value.hex() if isinstance(value, bytes | float) else value for name, value in row.items()}
        for row in table.to_pylist()
    ]
    return hashlib.sha256("".join(sorted(json.dumps(row, default=str) for row in rows)).encode()).hexdigest()


def killed(run):
    if run.done >= 8:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    groups_parts.PACK = 4
    fitted(series(), folder=sys.argv[1], progress=killed)
