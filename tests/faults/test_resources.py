# SPDX-License-Identifier: MIT
"""What the system refuses or bounds: threads, address space, cores, quotas; and memory that must not grow."""

import os
import subprocess
import sys

import numpy as np
import pytest
from compiled import PATIENCE, clean_environment

import rnncore
from rnncore.engine import cores, threads

resource = pytest.importorskip("resource")

needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="reads /proc")

PRELUDE = """
import os, resource, sys
import numpy as np
import rnncore

layer = rnncore.LSTM(20, 160, seed=1)
x = np.random.default_rng(2).standard_normal((60, 13, 20)).astype(np.float32)
expected = rnncore.LSTM(20, 160, seed=1)(x, num_threads=1)[0]
count = lambda: len(os.listdir('/proc/self/task'))
pages = lambda: int(open('/proc/self/statm').read().split()[0])
"""


def run(code, before=None, **environment):
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        preexec_fn=before,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


# Threads ---------------------------------------------------------------------------------------------------


@needs_proc
def test_without_new_threads_a_call_goes_on_alone():
    code = """
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
if os.geteuid() == 0: os.setuid(65534)  # the limit does not hold root
for _ in range(3): print(np.array_equal(layer(x, num_threads=4)[0], expected))
*_, tape = layer.forward(x, num_threads=4)
print(layer.backward(tape, expected).x.shape == x.shape)
print(count())
"""
    assert run(code, OPENBLAS_NUM_THREADS="1") == ["True"] * 4 + ["1"]


@needs_proc
def test_without_address_space_there_is_one_error_and_the_next_call_works():
    code = """
limit = pages() * resource.getpagesize() + 60_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for call in (lambda: layer(np.ones((1000, 1, 20), np.float32), num_threads=4),
             lambda: rnncore.LSTM(4000, 4000),
             lambda: layer.forward(np.ones((30_000, 1, 20), np.float32)),
             lambda: layer.stream(1_000_000)):
    try:
        call()
        print('done')
    except MemoryError as error:
        print('MemoryError')
print(np.array_equal(layer(x, num_threads=4)[0], expected))
"""
    printed = run(code, OPENBLAS_NUM_THREADS="1")
    assert printed == ["done", "MemoryError", "MemoryError", "MemoryError", "True"]


@needs_proc
def test_a_thousand_threads_are_a_few_for_each_core():
    assert threads.threads_for(1024) == threads.MOST_THREADS <= max(16, 4 * os.cpu_count())
    code = """
start = count()
print(np.array_equal(layer(np.repeat(x, 100, 1), num_threads=1024)[0][:, ::100], expected))
print(count() - start)
"""
    same, more = run(code, OPENBLAS_NUM_THREADS="1")
    assert same == "True" and 1 <= int(more) < threads.MOST_THREADS


# Cores -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinities on this system")
def test_one_core_is_one_thread_and_more_still_give_the_same_bits():
    core = min(os.sched_getaffinity(0))
    code = """
print(rnncore.get_num_threads())
for threads in (None, 2, 4): print(np.array_equal(layer(x[:, :1], num_threads=threads)[0], expected[:, :1]))
"""
    printed = run(code, before=lambda: os.sched_setaffinity(0, {core}), RNNCORE_NUM_THREADS="")
    assert printed == ["1", "True", "True", "True"]


def control_groups(folder, membership, files):
    """A tree of control groups: the paths of its root and of what this process is a member of."""
    root, member = folder / "cgroup", folder / "membership"
    root.mkdir()
    member.write_text(membership)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return str(root), str(member)


@pytest.mark.parametrize(
    "membership, files, expected",
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, 2.0),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "50000 100000\n"}, 0.5),
        ("0::/host/path\n", {"cpu.max": "300000 100000\n"}, 3.0),
        ("0::/../..\n", {"cpu.max": "max 100000\n"}, None),
        (
            "5:memory:/x\n4:cpu,cpuacct:/x\n",
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/x/cpu.cfs_period_us": "100000\n"},
            2.5,
        ),
        ("4:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1\n", "cpu/x/cpu.cfs_period_us": "100000\n"}, None),
        ("0::/a\n", {"a/cpu.max": "junk\n"}, None),
        ("0::/a\n", {"a/cpu.max": "100000 0\n"}, None),
        ("junk\n:\n", {}, None),
    ],
    ids=[
        "v2",
        "v2 parent",
        "v2 child",
        "v2 host",
        "v2 none",
        "v1",
        "v1 none",
        "junk",
        "no period",
        "no groups",
    ],
)
def test_quotas_of_control_groups(tmp_path, membership, files, expected):
    root, member = control_groups(tmp_path, membership, files)
    assert cores.quota(root, member) == expected


@pytest.mark.parametrize("allowed, expected", [(None, 4), (0.5, 1), (1.9, 1), (3.0, 3), (64.0, 4)])
def test_threads_are_whole_cores_of_the_quota(monkeypatch, allowed, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    monkeypatch.setattr(cores, "physical", len)
    monkeypatch.setattr(cores, "quota", lambda: allowed)
    assert cores.usable() == expected


@pytest.mark.parametrize(
    "siblings, allowed, expected",
    [
        (["0,2", "1,3", "0,2", "1,3"], {0, 1, 2, 3}, 2),
        (["0-1", "0-1", "2-3", "2-3"], {0, 1, 2, 3}, 2),
        (["0-1", "0-1", "2-3", "2-3"], {1, 2, 3}, 2),
        (["0-1", "0-1", "2-3", "2-3"], {0, 1}, 1),
        (["0", "1", "2", "3"], {0, 1, 2, 3}, 4),
        (["0-1", "0-1", "", "junk"], {0, 1, 2, 3}, 3),
        ([], {0, 1, 2}, 3),
    ],
    ids=["far", "near", "one without", "one core", "no siblings", "not told of all", "not told"],
)
def test_hardware_threads_of_a_core_count_once(tmp_path, siblings, allowed, expected):
    for number, text in enumerate(siblings):
        (tmp_path / f"cpu{number}" / "topology").mkdir(parents=True)
        (tmp_path / f"cpu{number}" / "topology" / "thread_siblings_list").write_text(text + "\n")
    assert cores.physical(allowed, str(tmp_path)) == expected


def test_without_control_groups_all_cores_are_allowed(tmp_path):
    assert cores.quota(str(tmp_path / "none"), str(tmp_path / "nothing")) is None


# Growth ----------------------------------------------------------------------------------------------------

GROWTH = 1 << 20  # bytes: of one more byte for each call that is counted below


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def growth(function, count):
    """Bytes that so many calls add, after as many as a tenth of them."""
    for _ in range(count // 10):
        function()
    before = resident()
    for _ in range(count):
        function()
    return resident() - before


@needs_proc
@pytest.mark.parametrize(
    "calls, steps",
    [(50_000, 500_000), pytest.param(1_000_000, 10_000_000, marks=pytest.mark.full)],
    ids=["some", "a million calls and ten million steps"],
)
def test_memory_does_not_grow(calls, steps):
    layer = rnncore.GRU(3, 8, seed=0)
    x, out = np.ones((2, 1, 3), np.float32), np.empty((1, 8), np.float32)
    stream, row = layer.stream(1), np.ones((1, 3), np.float32)
    assert growth(lambda: layer(x, num_threads=2), calls) < GROWTH
    assert growth(lambda: layer.backward(layer.forward(x)[2], x[:, :, :1].repeat(8, 2)), calls // 10) < GROWTH
    assert growth(lambda: stream.step(row, out), steps) < GROWTH


@needs_proc
def test_what_comes_and_goes_leaves_nothing():
    def once():
        layer = rnncore.LSTM(5, 6, seed=0)
        layer.stream(2).step(np.ones((2, 5), np.float32))
        layer.forward(np.ones((3, 2, 5), np.float32))

    assert growth(once, 2000) < GROWTH
