# SPDX-License-Identifier: MIT
"""The C library by itself: the example and the C tests, built from the source tree with CMake and a C compiler."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import tables
from c_library import run
from compiled import CELL, DTYPE, PATIENCE, assert_same_bits, build, draw
from headers import HEADERS, file_of

import rnncore

ROOT = Path(__file__).resolve().parents[2]
# Programs, their arguments and what they say at the end.
PROGRAMS = {
    "example_sequence": ((), "agree with the outputs"),
    "example_stream": ((), "agree to the last bit"),
    "example_sessions": ((), "agree to the last bit"),
    "example_threads": ((), "agree to the last bit"),
    "bits": ((), "gru_norm float64 "),
    "test_core": ((), "test_core: "),
    "test_blas": ((), "test_blas: "),
    "test_file": ((), "test_file: "),
    "test_fma": (("quick",), "test_fma: "),
    "test_fpenv": ((), "test_fpenv: "),
    "test_layout": ((), "test_layout: "),
    "test_modules": ((), "test_modules: "),
    "test_params": ((), "test_params: "),
    "test_refusals": ((), "test_refusals: "),
    "test_segments": ((), "test_segments: "),
    "test_sessions": ((), "test_sessions: "),
    "test_sized": ((), "test_sized: "),
    "test_team": ((), "test_team: "),
    "test_tiles": (("quick",), "test_tiles: "),
    "test_update": ((), "test_update: "),
    "test_memory": ((), "test_memory: "),
    "vmath_ulp_F32": (("997",), "float32 softplus, ULP"),
    "vmath_ulp_F64": (("97",), "float64 softplus, ULP"),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(c_build, program):
    path = c_build / program
    if not path.exists() and program == "test_memory":
        pytest.skip("this system's linker cannot redirect allocations")
    arguments, said = PROGRAMS[program]
    assert said in run(str(path), *arguments)


def test_every_program_is_run(c_build):
    listed = run("ctest", "--test-dir", str(c_build), "-N")
    assert {line.split()[-1] for line in listed.splitlines() if "Test #" in line} <= set(PROGRAMS)


# Files of Python in C --------------------------------------------------------------------------------------


def run_file(folder, path, x):
    """The example that runs a saved layer: the finished process."""
    steps, rows = map(str, x.shape[:2])
    command = [str(folder / "example_file"), str(path), steps, rows]
    return subprocess.run(command, input=x.tobytes(), capture_output=True, timeout=PATIENCE)


@CELL
@DTYPE
def test_a_saved_layer_runs_in_c(c_build, tmp_path, cell, dtype):
    shape = tables.Shape(5, 3, 4, 9)
    for options in (
        dict(),
        dict(num_layers=2, bidirectional=True, batch_first=True, bias=False, dropout=0.1),
    ):
        layer = build(cell, shape, dtype, **options)
        layer.save(tmp_path / "layer.safetensors")
        x = draw(layer, shape.T, shape.N).x
        y, _ = layer(x)
        if layer.spec.batch_first:
            x, y = (np.ascontiguousarray(array.swapaxes(0, 1)) for array in (x, y))
        done = run_file(c_build, tmp_path / "layer.safetensors", x)
        assert done.returncode == 0, done.stderr
        assert_same_bits(np.frombuffer(done.stdout, dtype).reshape(y.shape), y)


@CELL
@pytest.mark.parametrize("store", tables.STORES)
def test_a_compact_layer_runs_in_c(c_build, tmp_path, cell, store):
    shape = tables.Shape(5, 3, 40, 9)
    layer = build(cell, shape, num_layers=2, bidirectional=True, store=store)
    layer.save(tmp_path / "layer.safetensors", compact=True)
    x = draw(layer, shape.T, shape.N).x
    done = run_file(c_build, tmp_path / "layer.safetensors", x)
    assert done.returncode == 0, done.stderr
    y, _ = layer(x)
    assert_same_bits(np.frombuffer(done.stdout, np.float32).reshape(y.shape), y)


def test_activations_of_two_directions_reach_c(c_build, tmp_path):
    activations = ({"i": ("hard_sigmoid", 0.1, 1e-05)}, {"c": ("elu", 0.30000000000000004)})
    layer = rnncore.LSTM(3, 5, bidirectional=True, dtype="float64", activations=activations, seed=0)
    layer.save(tmp_path / "layer.safetensors")
    x = draw(layer, 4, 2).x
    done = run_file(c_build, tmp_path / "layer.safetensors", x)
    assert_same_bits(np.frombuffer(done.stdout).reshape(4, 2, 10), layer(x)[0])


def test_other_files_are_refused_in_c(c_build, tmp_path):
    """What Python refuses, and what is sound but no layer."""
    path, x = tmp_path / "file.safetensors", np.zeros((1, 1, 1), np.float32)
    sound = {"no metadata": file_of({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(8))}
    rnncore.nn.Sequential(rnncore.GRU(2, 3)).save(path)
    for name, content in (HEADERS | sound | {"a Sequential": path.read_bytes()}).items():
        path.write_bytes(content)
        done = run_file(c_build, path, x)
        assert b"RNNCORE_ERROR_FORMAT" in done.stderr, name
        assert not done.stdout
