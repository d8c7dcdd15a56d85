# SPDX-License-Identifier: MIT
"""Training from files that are larger than memory: whole blocks in a new order, rows mixed, and little of it held."""

import numpy as np
import pytest

import rnncore
from rnncore import blocks, errors, nn
from rnncore.blocks import Blocks
from rnncore.nn.order import shuffled

pyarrow = pytest.importorskip("pyarrow", reason="blocks are those of Parquet and Arrow files")
parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow may be built without it")

ROWS, GROUP = 120, 7


def table(count=ROWS, seed=0):
    rng = np.random.default_rng(seed)
    x = [rng.standard_normal(T, dtype=np.float32) for T in rng.integers(1, 9, count)]
    kind = pyarrow.list_(pyarrow.float32())
    columns = {"x": pyarrow.array([list(row) for row in x], kind), "label": [int(row[-1] > 0) for row in x]}
    columns["each"] = pyarrow.array([[int(n > 0) for n in row] for row in x], pyarrow.list_(pyarrow.int64()))
    columns["level"] = pyarrow.array([float(row.mean()) for row in x], pyarrow.float64())
    columns["levels"] = pyarrow.array([list(row) for row in x], kind)
    return pyarrow.table(columns)


def write(table, path, group=GROUP):
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=group)
    else:
        with pyarrow.ipc.new_file(str(path), table.schema) as file:
            file.write_table(table, max_chunksize=group)
    return path


@pytest.fixture(params=["parquet", "arrow"])
def folder(request, tmp_path):
    """Two files of a table, 50 rows and 70, in groups of seven."""
    whole = table()
    write(whole[:50], tmp_path / f"a.{request.param}")
    write(whole[50:], tmp_path / f"b.{request.param}")
    (tmp_path / "_notes.parquet").write_text("no table")
    return tmp_path


def test_samples_are_the_rows_in_the_files_order(folder):
    data, wanted = Blocks(folder, "x", "label"), table().to_pylist()
    assert len(data) == ROWS and len(data.blocks) == 8 + 10
    for k in (0, 49, 50, 119, 3):
        x, label = data[k]
        assert (
            x.dtype == np.float32 and x[:, 0].tolist() == wanted[k]["x"] and int(label) == wanted[k]["label"]
        )
    with pytest.raises(IndexError):
        data[ROWS]
    with pytest.raises(errors.ArgumentError, match="sample: expected an integer"):
        data[-1]


def test_targets_have_the_shape_of_outputs(folder):
    assert Blocks(folder, "x", "level")[0][1].shape == (1,)
    T = len(table()["x"][0])
    assert Blocks(folder, "x", "levels")[0][1].shape == (T, 1)
    assert Blocks(folder, "x", "each")[0][1].shape == (T,)
    assert Blocks(folder, ["x", "levels"], "level")[0][0].shape == (T, 2)
    numbers, level = Blocks(folder, "each", "level", dtype="float64")[0]
    assert numbers.dtype == np.int64 and numbers.shape == (T,) and level.dtype == np.float64


def order(data, seed=0, epoch=0):
    return data.epoch_order(np.arange(len(data)), lambda n, k: shuffled(n, seed, epoch, k)).tolist()


def test_an_epoch_takes_windows_of_whole_blocks_and_mixes_their_rows(folder):
    data = Blocks(folder, "x", "label", rows=4 * GROUP)
    found = order(data)
    assert sorted(found) == list(range(ROWS))
    assert found == order(data) and found != order(data, seed=1) and found != order(data, epoch=1)
    block_of = np.searchsorted(np.cumsum([block.rows for block in data.blocks]), found, side="right")
    places = {int(k): np.flatnonzero(block_of == k) for k in set(block_of.tolist())}
    assert max(place[-1] - place[0] for place in places.values()) < 4 * GROUP
    assert any((np.diff(place) > 1).any() for place in places.values())  # mixed with others
    some = np.arange(1, ROWS, 3)
    part = data.epoch_order(some, lambda n, k: shuffled(n, 0, 0, k))
    assert sorted(part.tolist()) == some.tolist()


def trained(data, **options):
    layer = nn.Recurrent(rnncore.GRU(1, 4, seed=0), return_sequences=False)
    model = nn.Sequential(layer, nn.Dropout(0.2, seed=1), nn.Linear(4, 2, seed=2))
    given = {"epochs": 3, "batch_size": 16, "shards": 4, "seed": 5, "validation": 0.2} | options
    run = nn.fit(model, data, nn.cross_entropy, nn.Adam(model, lr=0.03), **given)
    return run, b"".join(array.tobytes() for array in model.parameters().values())


def test_fit_takes_them_to_the_bits_that_data_and_seed_define(folder, tmp_path):
    run, bits = trained(Blocks(folder, "x", "label", rows=30))
    assert run.step == 3 * 6 and run.losses[-1] < run.losses[0]
    assert trained(Blocks(folder, "x", "label", rows=30))[1] == bits
    assert trained(Blocks(folder, "x", "label", rows=30), seed=6)[1] != bits
    other = tmp_path / "other"
    other.mkdir()
    for path in sorted(folder.glob("[ab].*")):  # the same groups in files of the other kind
        suffix = ".arrow" if path.suffix == ".parquet" else ".parquet"
        begin, end = (0, 50) if path.stem == "a" else (50, ROWS)
        write(table()[begin:end], other / f"{path.stem}{suffix}")
    assert trained(Blocks(other, "x", "label", rows=30))[1] == bits


def test_an_interrupted_run_goes_on_to_the_same_bits(folder, tmp_path):
    data, checkpoint = Blocks(folder, "x", "label", rows=30), tmp_path / "checkpoint"
    expected = trained(data)[1]

    class Stop:
        def on_step(self, run):
            return run.step == 8

    assert trained(data, callbacks=[Stop()], checkpoint=checkpoint)[0].step == 9
    assert trained(Blocks(folder, "x", "label", rows=30), checkpoint=checkpoint)[1] == expected
    with pytest.raises(errors.ArgumentError, match="checkpoint: expected a run of these arguments, got data"):
        trained(Blocks(folder, "x", "label", rows=31), checkpoint=checkpoint)


def test_no_more_than_the_rows_asked_for_are_held(tmp_path):
    """Counted by pyarrow's pool: a window of four groups and the one that is read, of a file of sixty."""
    group, length = 50, 200
    values = np.random.default_rng(0).standard_normal(60 * group * length, dtype=np.float32)
    x = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(values), length)
    whole = pyarrow.table({"x": x, "label": np.arange(60 * group) % 2})
    path = write(whole, tmp_path / "a.parquet", group)
    size = group * length * 4
    del whole, x
    pool, before = pyarrow.proxy_memory_pool(pyarrow.default_memory_pool()), pyarrow.default_memory_pool()
    pyarrow.set_memory_pool(pool)
    try:
        data = Blocks(path, "x", "label", rows=4 * group)
        trained(data, epochs=1, batch_size=30)
        most = pool.max_memory()
        assert sum(data.blocks[k].rows for k in data._held) <= 4 * group
        del data
    finally:
        pyarrow.set_memory_pool(before)
    assert 4 * size < most < 9 * size < values.nbytes / 6


def test_blocks_of_small_groups_are_put_together(folder):
    found = blocks.blocks_of(folder, 20)
    assert [block.rows for block in found] == [14, 14, 14, 8, 14, 14, 14, 14, 14]
    assert sum(len(batch) for block in found for batch in block.batches(["x"], 5)) == ROWS
    assert max(len(batch) for block in found for batch in block.batches(["x"], 5)) == 5


REFUSED = {
    "no such column": ({"inputs": "z"}, errors.ArgumentError, "columns: expected one of x, label"),
    "no names": ({"inputs": [1]}, errors.ArgumentError, "columns: expected names of columns"),
    "no path": ({"source": 3}, errors.ArgumentError, "source: expected a path"),
    "no rows": ({"rows": 0}, errors.ArgumentError, "rows: expected an integer >= 1"),
    "an integer type": ({"dtype": "int8"}, errors.DTypeError, "dtype"),
}


@pytest.mark.parametrize("options, error, text", REFUSED.values(), ids=REFUSED)
def test_arguments_that_do_not_fit(options, error, text, folder):
    with pytest.raises(error, match=text):
        Blocks(**{"source": folder, "inputs": "x", "target": "label"} | options)


def test_files_that_are_none(tmp_path):
    with pytest.raises(errors.ArgumentError, match="source: expected a folder with files"):
        Blocks(tmp_path, "x", "label")
    (tmp_path / "a.parquet").write_bytes(b"hello")
    with pytest.raises(errors.FormatError, match=r"a\.parquet: expected a Parquet or an Arrow file"):
        Blocks(tmp_path, "x", "label")
    write(table(), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    for k in (10, len(data) // 2, len(data) - 4):
        (tmp_path / "a.parquet").write_bytes(data[:k])
        with pytest.raises(errors.FormatError, match="expected a sound Parquet or Arrow file"):
            Blocks(tmp_path, "x", "label")
    with pytest.raises(FileNotFoundError):
        Blocks(tmp_path / "b.parquet", "x", "label")


def test_nulls_and_columns_of_other_lengths_are_refused(tmp_path):
    kind = pyarrow.list_(pyarrow.float32())
    rows = {"x": pyarrow.array([[1.0], None], kind), "y": [1, 2], "z": pyarrow.array([[1.0, 2.0], []], kind)}
    path = write(pyarrow.table({**rows, "n": [1, None]}), tmp_path / "a.parquet")
    with pytest.raises(errors.ArgumentError, match="x: expected no nulls, got 1"):
        Blocks(path, "x", "y")[0]
    with pytest.raises(errors.ArgumentError, match="n: expected no nulls, got 1"):
        Blocks(path, "z", "n")[0]
    path = write(pyarrow.table({"x": rows["x"], "y": [1, 2], "z": rows["z"]})[:1], tmp_path / "b.parquet")
    with pytest.raises(errors.ArgumentError, match="columns: expected 1 steps, as the first has, got 2"):
        Blocks(path, ["x", "z"], "y")[0]
