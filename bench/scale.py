# SPDX-License-Identifier: MIT
"""How many short sequences a second scoring takes on a core: a bare loop of calls, a Scorer, files, and the engines.

    python bench/scale.py                  the loop and the scorer, in turns, batch by batch, on one thread
    python bench/scale.py --files          the parts of `score_files` too: Parquet in, Parquet out
    python bench/scale.py --engine ray     the same parts, and the table, on Ray, Spark or Dask with two workers

The bare loop calls the model on arrays that are made beforehand, padded and in the order that is best for them; its
results stay where they are. A share is the scorer's speed over the loop's, by processor time, so that others on the
machine matter little; of an engine's table it is what its workers' scorers take, without what the engine does to bring
the rows there. All results of a table must have the hash of those of this process. Sequences have 5 to 35 steps of one
float32, or with `--even` all 20, in a column of fixed-size lists; a GRU and a linear layer give one number for each.
"""

import argparse
import hashlib
import importlib
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

import rnncore
from rnncore import blocks, cluster, nn
from rnncore.cluster import arrow
from rnncore.engine.threads import limited

BATCH, PART = 2**15, 2**16


def table(count, even, seed=0):
    """Ids and sequences."""
    rng = np.random.default_rng(seed)
    lengths = np.full(count, 20) if even else rng.integers(5, 36, count)
    values = pyarrow.array(rng.standard_normal(lengths.sum(), dtype=np.float32))
    if even:
        x = pyarrow.FixedSizeListArray.from_arrays(values, 20)
    else:
        offsets = pyarrow.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
        x = pyarrow.ListArray.from_arrays(offsets, values)
    return pyarrow.table({"id": np.arange(count), "x": x})


def calls_of(batch):
    """What the bare loop is handed: dense arrays and lengths, of one call each."""
    data = arrow.Sequences(batch, ["x"])
    return [
        (np.ascontiguousarray(data.x(rows, lengths, np.dtype("float32"))), lengths)
        for rows, lengths in data.calls()
    ]


def against_the_loop(path, data, rounds):
    """Processor seconds of the loop and of the scorer, (rounds, batches, 2): of the same batches in turns."""
    model, score = rnncore.load(path), cluster.Scorer(path, "x")
    batches = data.to_batches(BATCH)
    spent = np.zeros((rounds, len(batches), 2))
    for turn in range(rounds):
        for k, batch in enumerate(batches):
            calls = calls_of(batch)

            def loop(calls=calls):
                with limited(1):
                    for x, lengths in calls:
                        model(x, lengths)

            pair = [loop, lambda batch=batch: score(batch)]
            for which in (0, 1) if (k + turn) % 2 else (1, 0):
                started = time.process_time()
                pair[which]()
                spent[turn, k, which] = time.process_time() - started
    return spent


class Timed:
    """Does a part, and tells its rows and what processor time it took."""

    def __init__(self, job):
        self.job = job

    def __call__(self, k):
        started = time.process_time()
        return self.job(k), time.process_time() - started


def files(path, source, folder, engine):
    """Rows and processor seconds of the parts, after one in each worker that loads the model."""
    parts = blocks.blocks_of(source, PART)
    job = Timed(cluster.files._Job(cluster.Scorer(path, "x"), tuple(parts), str(folder)))
    each = map if engine == "local" else importlib.import_module(f"rnncore.cluster.{engine}").each
    numbers = range(len(parts))
    list(each(job, [0, 0, 1, 1]))
    found = list(each(job, numbers))
    return sum(rows for rows, _ in found), sum(seconds for _, seconds in found)


class Noted(cluster.Scorer):
    """A scorer that notes the rows and the processor time of each batch in a file of its process."""

    notes = ""

    def _scored(self, batch):
        started = time.thread_time()
        found = super()._scored(batch)
        with open(Path(self.notes) / str(os.getpid()), "a") as file:
            file.write(f"{len(batch)} {time.thread_time() - started}\n")
        return found


def digest(scored):
    """A hash of all results, by their ids."""
    order = np.argsort(scored["id"].to_numpy())
    return hashlib.sha256(scored["score"].to_numpy()[order]).hexdigest()


def on_engine(engine, data, scorer):
    """The table with its results, which an engine has in sixteen parts."""
    module = importlib.import_module(f"rnncore.cluster.{engine}")
    if engine == "ray":
        import ray

        size = -(-len(data) // 16)
        parts = ray.data.from_arrow([data[k : k + size] for k in range(0, len(data), size)])
        return pyarrow.concat_tables(ray.get(module.score(parts, scorer).to_arrow_refs()))
    if engine == "spark":
        from pyspark.sql import SparkSession

        df = SparkSession.getActiveSession().createDataFrame(data)
        return module.score(df.repartition(16), scorer).toArrow()
    import dask.dataframe
    import pandas

    ddf = dask.dataframe.from_pandas(data.to_pandas(types_mapper=pandas.ArrowDtype), npartitions=16)
    return pyarrow.Table.from_pandas(module.score(ddf, scorer).compute(), preserve_index=False)


def tables(path, data, folder, engine):
    """Rows and processor seconds of an engine's scorers, without the first batch of each, which loads the model."""
    scorer = Noted(path, "x")
    scorer.notes = tempfile.mkdtemp(dir=folder)
    found = on_engine(engine, data, scorer)
    if digest(found) != digest(cluster.Scorer(path, "x")(data)):
        raise RuntimeError(f"{engine}: other results")
    lines = [
        line.split() for file in Path(scorer.notes).iterdir() for line in file.read_text().splitlines()[1:]
    ]
    return sum(int(rows) for rows, _ in lines), sum(float(seconds) for _, seconds in lines)


def start(engine):
    """Start an engine with two workers."""
    if engine == "ray":
        import ray

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    elif engine == "spark":
        from pyspark.sql import SparkSession

        SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false").getOrCreate()
    elif engine == "dask":
        from dask.distributed import Client

        return Client(n_workers=2, threads_per_worker=1, dashboard_address=None)
    return None


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--even", action="store_true")
    parser.add_argument("--files", action="store_true")
    parser.add_argument("--engine", action="append", default=[], choices=cluster.files.ENGINES[1:])
    parser.add_argument("--most-steps", type=int, default=arrow.MOST_STEPS)
    given = parser.parse_args()
    arrow.MOST_STEPS = given.most_steps
    folder = Path(tempfile.mkdtemp())
    layer = nn.Recurrent(rnncore.GRU(1, given.hidden, seed=0), return_sequences=False)
    nn.Sequential(layer, nn.Linear(given.hidden, 1, seed=1)).save(folder / "model.safetensors")
    data = table(given.rows, given.even)
    try:
        spent = against_the_loop(folder / "model.safetensors", data, given.rounds)
        loop, scored = spent.min(axis=0).sum(axis=0)
        shares = spent[..., 0] / spent[..., 1]
        print(f"bare loop {given.rows / loop:12,.0f} rows/s a core")
        print(f"Scorer    {given.rows / scored:12,.0f} rows/s a core, {np.median(shares):.1%} of the loop")
        if given.files or given.engine:
            pyarrow.parquet.write_table(data, folder / "in.parquet", row_group_size=2**16)
            for engine in ["local", *given.engine]:
                held = start(engine)
                rows, seconds = files(folder / "model.safetensors", folder / "in.parquet", folder, engine)
                print(f"{engine:9} {rows / seconds:12,.0f} rows/s a core, files", flush=True)
                if engine != "local":
                    rows, seconds = tables(folder / "model.safetensors", data, folder, engine)
                    print(f"{engine:9} {rows / seconds:12,.0f} rows/s a core, table", flush=True)
                if held is not None:
                    held.close()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
