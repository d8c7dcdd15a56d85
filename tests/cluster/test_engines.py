# SPDX-License-Identifier: MIT
"""Workers in processes: one hash for every engine, number of workers and threads, and instruction set."""

import sys

import c_library
import launchers
import numpy as np
import pages
import pytest
from launchers import hashes
from worker_threads import together

import rnncore
from rnncore import cluster, verify
from rnncore.errors import ArgumentError, UnsupportedError

ISAS = rnncore.isas()
ENGINE = pytest.mark.parametrize("engine", launchers.ENGINES)


@pytest.fixture(scope="module")
def expected():
    """What one worker on one thread computes."""
    return {name: found[0] for name, found in hashes("alone", 1).items()}


@ENGINE
def test_engines_give_one_workers_bits(engine, expected):
    found = hashes(engine, 2, "--threads", 2, "--isa", "mixed")
    assert found == {name: [value] for name, value in expected.items()}


def whole_table(engine, workers, isas, **variables):
    """How many hashes each recipe has over these instruction sets and threads {1, 2, 3}, and which."""
    each = [word for isa in isas for word in ("--isa", isa)]
    each += [word for threads in (1, 2, 3) for word in ("--threads", threads)]
    found = hashes(engine, workers, *each, **variables)
    assert all(len(values) == 3 * len(isas) for values in found.values())
    return {name: set(values) for name, values in found.items()}


@pytest.mark.full
@pytest.mark.parametrize("workers", [1, 2, 3, 4])
@ENGINE
def test_the_whole_table_has_one_hash_a_recipe(engine, workers, expected):
    assert whole_table(engine, workers, [*ISAS, "mixed"]) == {
        name: {value} for name, value in expected.items()
    }


@pytest.mark.full
def test_neon_has_the_same_hashes(tmp_path, expected):
    """Its kernels, compiled for this processor with their intrinsics in plain C; every engine and number of workers."""
    variables = {"LD_PRELOAD": str(c_library.with_neon(tmp_path))}
    code, out, err = launchers.run("alone", 1, ["-m", "rnncore", "verify"], RNNCORE_ISA="neon", **variables)
    assert code == 0, err
    assert out.splitlines()[-1] == EXPECTED
    for engine, workers in (("alone", 1), ("gloo", 2), ("mpich", 3), ("openmpi", 4)):
        found = whole_table(engine, workers, ["neon"], **variables)
        assert found == {name: {value} for name, value in expected.items()}


@pytest.mark.full
@ENGINE
def test_verify_prints_one_line_for_all_workers(engine):
    code, out, err = launchers.run(engine, 2, ["-m", "rnncore", "verify"])
    assert code == 0, err
    assert out.splitlines()[-1] == EXPECTED and out.count(EXPECTED) == 1


FEATURES = ("AVX512F", "AVX512CD", "AVX512_SKX", "AVX512_CLX", "AVX512_CNL", "AVX512_ICL", "AVX2", "FMA3")
"""Of processors, that NumPy is to do without; on another kind of machine it warns of their names."""
EXPECTED = "cdea973008251e073ed9339aaa86194b55e4d94ad1b2c2f536c4a3292a8eef0c"
"""What ``rnncore verify`` gives on every machine; it stands in docs/explanation/reproducibility.md, too."""


def test_the_page_names_the_hash():
    assert f"\n{EXPECTED}\n" in pages.text("docs/explanation/reproducibility.md")


@pytest.mark.parametrize("isa", ISAS)
def test_verify_gives_its_hash(isa):
    with rnncore.use_isa(isa):
        assert verify.verify()["all"] == EXPECTED


def test_verify_does_not_ask_numpy_or_its_blas():
    old = {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": " ".join(FEATURES)}
    code, out, err = launchers.run("alone", 1, ["-m", "rnncore", "verify"], **old)
    assert code == 0, err
    assert out.splitlines()[-1] == EXPECTED


def test_verify_gives_its_hash_to_workers():
    assert [found["all"] for found in together(3, verify.verify)] == [EXPECTED] * 3


@pytest.mark.full
@ENGINE
def test_messages_of_any_size_arrive(engine, tmp_path):
    script = tmp_path / "messages.py"
    script.write_text(
        "import os\n"
        "import numpy as np\n"
        "from rnncore import cluster\n"
        "comm = cluster.connect()\n"
        "sizes = lambda a, b: (a * 7 + b * 3) % 5 * 100_000\n"
        "ours = [np.full(sizes(comm.rank, r), comm.rank * 9 + r, np.uint8) for r in range(comm.size)]\n"
        "found = comm.exchange(ours, [sizes(r, comm.rank) for r in range(comm.size)])\n"
        "assert all(len(a) == sizes(r, comm.rank) and (a == r * 9 + comm.rank).all() for r, a in enumerate(found))\n"
        "comm.barrier()\n"
        "os.write(1, f'well {comm.rank} {comm.size} {type(comm).__name__}\\n'.encode())\n"  # in one piece
    )
    code, out, err = launchers.run(engine, 3, [script])
    assert code == 0, err
    name = "Gloo" if engine == "gloo" else "MPI"
    assert sorted(line for line in out.splitlines() if line) == [f"well {rank} 3 {name}" for rank in range(3)]


def test_connecting_alone():
    comm = cluster.connect()
    assert (comm.rank, comm.size) == (0, 1)
    comm.barrier()
    assert comm.exchange([np.ones(1, np.uint8)], [1])[0].tolist() == [1]


def test_engines_are_named(monkeypatch):
    with pytest.raises(ArgumentError, match="engine: expected None, 'mpi' or 'gloo'"):
        cluster.connect("smoke signals")
    for engine, module in (("mpi", "mpi4py.MPI"), ("gloo", "torch.distributed")):
        monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.setitem(sys.modules, module.partition(".")[0], None)
        with pytest.raises(UnsupportedError, match="engine: expected the package"):
            cluster.connect(engine)
