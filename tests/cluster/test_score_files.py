# SPDX-License-Identifier: MIT
"""Files scored part by part: what is done stays done, whatever interrupts it; ``rnncore score``; engines."""

import hashlib
import os
import signal
import subprocess

import command
import pytest
import scoring

import rnncore
from rnncore import cluster, errors
from rnncore.cluster import Scorer, files

pyarrow = pytest.importorskip("pyarrow", reason="scorers read Arrow's record batches")
parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow may be built without it")
pytest.importorskip("typer", reason="the command line's package")

ROWS, GROUP = 300, 25


@pytest.fixture
def model(tmp_path):
    rnncore.GRU(2, 3, seed=0).save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def source(tmp_path):
    parquet.write_table(scoring.table(ROWS), tmp_path / "in.parquet", row_group_size=GROUP)
    return tmp_path / "in.parquet"


@pytest.fixture
def small(monkeypatch):
    """Parts of two row groups."""
    monkeypatch.setattr(files, "PART_ROWS", 2 * GROUP)


def parts_of(target):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in target.glob("part-*")}


def scored(model, source, target, **options):
    return list(cluster.score_files(Scorer(model, "x"), source, target, **options))


def test_parts_are_the_table_in_its_order(model, source, tmp_path, small):
    found = scored(model, source, tmp_path / "out")
    assert [(part.done, part.parts, part.rows, part.all_rows) for part in found] == [
        (k, 6, k * 2 * GROUP, ROWS) for k in range(7)
    ]
    table = parquet.read_table(tmp_path / "out")
    assert table["id"].to_pylist() == list(range(ROWS)) and table.column_names == ["id", "name", "score"]
    assert scoring.hashes(table) == scoring.hashes(Scorer(model, "x")(scoring.table(ROWS)))


def test_arrow_files_and_folders_are_read_too(model, tmp_path, small, monkeypatch):
    monkeypatch.setattr(files, "BATCH_ROWS", 10)
    (tmp_path / "in").mkdir()
    whole = scoring.table(ROWS)
    with pyarrow.ipc.new_file(str(tmp_path / "in/a.arrow"), whole.schema) as file:
        file.write_table(whole[:130], max_chunksize=GROUP)
    parquet.write_table(whole[130:], tmp_path / "in/b.parquet")
    parquet.write_table(whole[:0], tmp_path / "in/c.parquet")
    assert scored(model, tmp_path / "in", tmp_path / "out")[-1].rows == ROWS
    assert scoring.hashes(parquet.read_table(tmp_path / "out")) == scoring.hashes(Scorer(model, "x")(whole))


@pytest.mark.parametrize("engine", ["ray", "spark", "dask"])
def test_engines_write_the_same_files(engine, request, model, source, tmp_path, small):
    request.getfixturevalue(engine)
    scored(model, source, tmp_path / "here")
    assert scored(model, source, tmp_path / "there", engine=engine)[-1].done == 6
    assert parts_of(tmp_path / "there") == parts_of(tmp_path / "here")


def test_parts_that_workers_wrote_to_disks_of_their_own_are_missed(
    model, source, tmp_path, small, monkeypatch
):
    from rnncore.cluster import dask

    monkeypatch.setattr(dask, "each", lambda job, numbers, cores: (2 * GROUP for _ in numbers))
    with pytest.raises(
        errors.ArgumentError, match=r"a folder that all machines see, .* without 6 of 6 parts"
    ):
        scored(model, source, tmp_path / "out", engine="dask")


def test_a_part_that_is_there_is_not_done_again(model, source, tmp_path, small):
    expected = (scored(model, source, tmp_path / "whole"), parts_of(tmp_path / "whole"))[1]
    target = tmp_path / "out"
    running = cluster.score_files(Scorer(model, "x"), source, target)
    assert [next(running).done for _ in range(3)] == [0, 1, 2]
    running.close()
    kept = {path: path.stat().st_mtime_ns for path in target.glob("part-*")}
    assert len(kept) == 2
    found = scored(model, source, target)
    assert [part.done for part in found] == [2, 3, 4, 5, 6] and found[-1].rows == ROWS - 4 * GROUP
    assert {path: path.stat().st_mtime_ns for path in kept} == kept and parts_of(target) == expected
    assert [part.done for part in scored(model, source, target)] == [6]


def test_a_process_that_is_killed_leaves_whole_parts(model, source, tmp_path):
    """Killed when some parts are there, it may leave a draft, which the next run removes."""
    parquet.write_table(scoring.table(20_000), source, row_group_size=500)
    target, code = (
        tmp_path / "out",
        f"import sys; sys.path[:0] = {command.__file__.rsplit('/', 1)[:1]!r}\n" + KILLED,
    )
    arguments = [str(model), str(source), str(target)]
    process = subprocess.Popen([command.sys.executable, "-c", code, *arguments])
    assert command.wait_for(lambda: len(list(target.glob("part-*"))) >= 3, process)
    process.kill()
    process.wait()
    done = len(parts_of(target))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "PART_ROWS", 500)
        found = scored(model, source, target)
        scored(model, source, tmp_path / "whole")
    assert found[0].done == done and 3 <= done < 40
    assert parts_of(target) == parts_of(tmp_path / "whole")
    names = {path.name for path in target.iterdir() if not path.name.startswith("part-")}
    assert names == {files.FACTS}


KILLED = """
from rnncore.cluster import Scorer, files
files.PART_ROWS = 500
model, source, target = sys.argv[1:]
for part in files.score_files(Scorer(model, "x"), source, target):
    pass
"""


def test_parts_of_another_run_are_refused_and_thrown_away_if_asked(model, source, tmp_path, small):
    target = tmp_path / "out"
    scored(model, source, target)
    rnncore.GRU(2, 3, seed=1).save(model)
    with pytest.raises(errors.ArgumentError, match=r"parts of the same run, .* of another digest \(force"):
        scored(model, source, target)
    assert [part.done for part in scored(model, source, target, force=True)] == list(range(7))
    (target / "notes.txt").write_text("mine")
    with pytest.raises(errors.ArgumentError, match=r"a folder of its own, .* with notes\.txt"):
        cluster.score_files(Scorer(model, "x", output="other"), source, target, force=True)
    assert len(parts_of(target)) == 6
    with pytest.raises(errors.ArgumentError, match="target: expected a folder, or nothing yet"):
        scored(model, source, source)


def test_arguments_are_checked_before_anything_is_written(model, source, tmp_path):
    target = tmp_path / "out"
    with pytest.raises(errors.ArgumentError, match="engine: expected one of 'local', 'ray'"):
        scored(model, source, target, engine="flink")
    with pytest.raises(errors.ArgumentError, match="columns: expected one of id, name, x"):
        cluster.score_files(Scorer(model, "y"), source, target)
    with pytest.raises(errors.ArgumentError, match="scorer: expected a Scorer"):
        cluster.score_files(model, source, target)
    assert not target.exists()


@pytest.mark.parametrize(
    "change, text",
    [
        (
            lambda table: table.drop(["name"]),
            r"name: expected string in all files, as .*a\.parquet has, got none in",
        ),
        (
            lambda table: table.append_column("more", table["id"]),
            r"more: expected no column in all files, .* got int64 in .*b\.parquet",
        ),
        (
            lambda table: table.set_column(0, "id", table["id"].cast("int32")),
            r"id: expected int64 in all files, .* got int32 in",
        ),
    ],
    ids=["one less", "one more", "another type"],
)
def test_files_that_are_parts_of_no_one_table_are_refused(change, text, model, tmp_path):
    """Readers of the results would pass over a column that the first part has not."""
    (tmp_path / "in").mkdir()
    parquet.write_table(scoring.table(3), tmp_path / "in/a.parquet")
    parquet.write_table(change(scoring.table(3)), tmp_path / "in/b.parquet")
    with pytest.raises(errors.ArgumentError, match=text):
        cluster.score_files(Scorer(model, "x"), tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    list(cluster.score_files(Scorer(model, "x", keep=[]), tmp_path / "in", tmp_path / "out"))
    assert parquet.read_table(tmp_path / "out").column_names == ["score"]


def test_memory_holds_a_batch_at_a_time(model, tmp_path, monkeypatch):
    """Counted by pyarrow's pool: the column of a row group of fifty batches never stands there as a whole."""
    monkeypatch.setattr(files, "BATCH_ROWS", 40)
    x = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(range(2000 * 500), pyarrow.float32()), 500)
    rnncore.GRU(1, 1, seed=0).save(model)
    parquet.write_table(
        pyarrow.table({"x": x}), tmp_path / "in.parquet", data_page_size=2**16, use_dictionary=False
    )
    pool, before = pyarrow.proxy_memory_pool(pyarrow.default_memory_pool()), pyarrow.default_memory_pool()
    pyarrow.set_memory_pool(pool)
    try:
        list(cluster.score_files(Scorer(model, "x", steps="last"), tmp_path / "in.parquet", tmp_path / "out"))
    finally:
        pyarrow.set_memory_pool(before)
    assert pool.max_memory() < x.nbytes / 3


# The command


def test_the_command_scores_and_says_how_fast(model, source, tmp_path):
    done = command.run("score", model, source, tmp_path / "out", "--steps", "last", "--keep", "id")
    assert done.exit_code == 0, done.output
    assert "1 parts, 300 rows scored now, " in done.output and " rows/s" in done.output
    table = parquet.read_table(tmp_path / "out")
    assert table.column_names == ["id", "score"] and table["score"].type == pyarrow.list_(
        pyarrow.float32(), 3
    )
    again = command.run("score", model, source, tmp_path / "out", "--steps", "last", "--keep", "id")
    assert again.exit_code == 0 and "1 parts, 0 rows scored now" in again.output


def test_the_bar_tells_speed_and_time_left():
    from rnncore.cluster.command import text

    assert text(files.Part(1, 4, 2000, 8000), 2.0) == "1,000 rows/s  0:06 left"
    assert text(files.Part(0, 4, 0, 8000), 0.1) == ""


def test_what_does_not_fit_is_one_sentence(model, source, tmp_path):
    rnncore.GRU(5, 3, seed=0).save(model)
    done = command.run("score", model, source, tmp_path / "out")
    assert done.exit_code == 2 and done.stderr == "rnncore: x: expected 5 features a step, got 2\n"
    parquet.write_table(pyarrow.table({"a": [[1.0]], "b": [[1.0]]}), source)
    done = command.run("score", model, source, tmp_path / "out")
    assert done.exit_code == 2 and "--column: expected a column of lists, got a, b (say which)" in done.stderr
    done = command.run("score", tmp_path / "none", source, tmp_path / "out", "--column", "a")
    assert done.exit_code == 2 and "No such file" in done.stderr


def test_ctrl_c_leaves_whole_parts_and_the_same_command_goes_on(model, source, tmp_path):
    table, target = scoring.table(2000), tmp_path / "out"
    source.unlink()
    (tmp_path / "in").mkdir()
    for k in range(60):
        parquet.write_table(table[k * 30 : k * 30 + 30], tmp_path / f"in/{k:02}.parquet")
    arguments = ("score", model, tmp_path / "in", target)
    process = command.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert command.wait_for(lambda: len(list(target.glob("part-*"))) >= 2, process)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=command.PATIENCE)
    done = len(parts_of(target))
    assert process.returncode == 130, out + err
    assert f"rnncore: interrupted, {done} of 60 parts are done; the same command goes on" in err
    assert command.run(*arguments).exit_code == 0
    assert scoring.hashes(parquet.read_table(target)) == scoring.hashes(Scorer(model, "x")(table[:1800]))
