# SPDX-License-Identifier: MIT
"""`cimport rnncore`: an extension of somebody else's, built with what the installed package has, and the same bits."""

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from c_library import ROOT, run

import rnncore

SOURCE = """
# cython: language_level=3
cimport rnncore
from libc.string cimport memset


def forward(const float[:, :, ::1] x, const float[:, ::1] weight_ih, const float[:, ::1] weight_hh, float[:, :, ::1] y):
    cdef rnncore.rnncore_config config
    cdef rnncore.rnncore_forward_args args
    cdef rnncore.rnncore_plan *plan
    cdef const void *params[4]
    memset(&config, 0, sizeof(config))
    memset(&args, 0, sizeof(args))
    config.struct_size, args.struct_size = sizeof(config), sizeof(args)
    config.cell, config.input_size, config.hidden_size = rnncore.RNNCORE_GRU, x.shape[2], weight_hh.shape[1]
    config.num_layers, args.threads = 1, 1
    args.steps, args.batch = x.shape[0], x.shape[1]
    params[0], params[1], params[2], params[3] = &weight_ih[0, 0], &weight_hh[0, 0], NULL, NULL
    args.x.data, args.y.data = <void *>&x[0, 0, 0], &y[0, 0, 0]
    for i in range(3):
        args.x.stride[i], args.y.stride[i] = x.strides[i], y.strides[i]
    if rnncore.rnncore_plan_create(&config, &plan):
        raise ValueError("no plan")
    cdef void *weights = rnncore.rnncore_alloc(rnncore.rnncore_weights_bytes(plan, rnncore.RNNCORE_PACK_FORWARD))
    cdef rnncore.rnncore_status status = rnncore.RNNCORE_ERROR_MEMORY
    if weights != NULL:
        status = rnncore.rnncore_weights_pack(plan, rnncore.RNNCORE_PACK_FORWARD, params, weights)
    if not status:
        status = rnncore.rnncore_forward(plan, weights, &args)
    rnncore.rnncore_free(weights)
    rnncore.rnncore_plan_destroy(plan)
    return rnncore.rnncore_status_name(status).decode()
"""


def test_cython_sees_all_of_the_header():
    header = (ROOT / "csrc" / "include" / "rnncore.h").read_text(encoding="utf-8")
    header = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    functions = set(re.findall(r"\b(rnncore_\w+)\(", header))
    words = set(re.findall(r"\bRNNCORE_[A-Z0-9_]+", header))
    words -= {word for word in words if re.match(r"RNNCORE_(VERSION_\w+|API|H|BUILDING)$", word)}
    fields = set()
    for body in re.findall(r"typedef struct rnncore_\w+ \{(.*?)\}", header, flags=re.DOTALL):
        fields |= set(re.findall(r"(\w+)(?:\[\w+\])*(?=[,;])", re.sub(r"\([^)]*\);", ";", body)))
    ours = set(re.findall(r"\w+", (ROOT / "src" / "rnncore" / "__init__.pxd").read_text(encoding="utf-8")))
    assert functions and words and {"struct_size", "hidden_size", "dh_n"} <= fields
    assert sorted((functions | words | fields) - ours) == []


LIBRARY = rnncore.get_library_dir()

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how Linux finds libraries")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The folder with the module in C."""
    pytest.importorskip("Cython", reason="builds an extension")
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file() or not shutil.which("cc"):
        pytest.skip("needs cc and Python's headers")
    folder = tmp_path_factory.mktemp("cython")
    (folder / "yours.pyx").write_text(SOURCE)
    # Cython looks there anyway, unless the build is editable.
    package = Path(rnncore.__file__).parents[1]
    run(sys.executable, "-m", "cython", "-I", str(package), "yours.pyx", folder=folder)
    return folder


@pytest.fixture
def python(source, tmp_path):
    """A function that compiles the module, runs a program that may import it, and gives what that prints."""

    def output(program, *options):
        name = "yours" + sysconfig.get_config_var("EXT_SUFFIX")
        includes = [f"-I{sysconfig.get_path('include')}", f"-I{rnncore.get_include()}"]
        shared = ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
        command = ["cc", "-O1", "-fPIC", *shared, *includes, str(source / "yours.c"), "-o", name]
        run(*command, f"-L{LIBRARY}", "-lrnncore", *options, folder=tmp_path)
        done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
        return done.stdout + done.stderr

    return output


CALL = """
import numpy as np
import yours
def call(weight_ih, weight_hh):
    x = np.random.default_rng(0).standard_normal((7, 2, 3)).astype(np.float32)
    y = np.empty((7, 2, 5), np.float32)
    print(yours.forward(x, weight_ih, weight_hh, y))
    return x, y
"""
ALONE = f"{CALL}\ncall(np.ones((15, 3), np.float32), np.ones((15, 5), np.float32))\n"
BOTH = f"""{CALL}
import pathlib
import rnncore
layer = rnncore.GRU(3, 5, bias=False, seed=0)
x, y = call(*layer.state_dict().values())
print(np.array_equal(y, layer(x)[0]))
maps = pathlib.Path("/proc/self/maps")
lines = maps.read_text().splitlines() if maps.is_file() else ["librnncore."]
print(len({{line.split()[-1] for line in lines if "librnncore." in line}}))
"""


def test_an_extension_finds_the_library_by_its_run_path_and_gives_the_bits_of_the_package(python):
    """Both call one library."""
    assert python(BOTH, f"-Wl,-rpath,{LIBRARY}").split() == ["RNNCORE_OK", "True", "1"]


@linux
def test_an_extension_without_a_run_path_needs_rnncore_to_be_imported_first(python):
    assert "librnncore.so" in python(ALONE)
    assert python(f"import rnncore\n{ALONE}").split() == ["RNNCORE_OK"]


def test_cmake_finds_the_package_in_pythons(tmp_path):
    if not shutil.which("cmake"):
        pytest.skip("cmake is not installed")
    source = shutil.copytree(ROOT / "csrc" / "examples", tmp_path / "examples")
    options = [f"-Drnncore_DIR={Path(LIBRARY) / 'cmake' / 'rnncore'}", "-DRNNCORE_STATIC=OFF"]
    run("cmake", "-S", str(source), "-B", str(tmp_path / "build"), *options)
    run("cmake", "--build", str(tmp_path / "build"))
    done = subprocess.run([tmp_path / "build" / "example_stream"], capture_output=True, text=True)
    assert done.returncode == 0 and "agree to the last bit" in done.stdout
