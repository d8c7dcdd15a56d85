# SPDX-License-Identifier: MIT
"""Engines of one or two workers on this machine, each started once a session, and what they score."""

import os
import shutil
import sys

import pytest


def _need(*packages):
    """The last of these packages; the test is skipped where one is missing."""
    return [pytest.importorskip(name, reason=f"{name} is not installed") for name in packages][-1]


@pytest.fixture(scope="session")
def _variables():
    """Of the workers' processes: where the tests' modules are, and which Python runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("PYSPARK_DRIVER_PYTHON", sys.executable)
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.delenv("OMP_NUM_THREADS", raising=False)
        # Dask's workers would carry out what started pytest.
        patch.delattr(sys.modules["__main__"], "__file__", raising=False)
        yield


@pytest.fixture(scope="session")
def ray(_variables):
    """Ray with two workers."""
    ray = _need("pyarrow", "pandas", "ray.data", "ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()


@pytest.fixture(scope="session")
def spark(_variables):
    """A session of Spark with two workers, which tries a task four times."""
    sql = _need("pyarrow", "pandas", "pyspark.sql")
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        pytest.skip("Spark needs Java, which is not installed")
    options = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "3",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "512m",
    }
    builder = sql.SparkSession.builder.master("local[2,4]").appName("rnncore")
    for name, value in options.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def dask(_variables):
    """A client of Dask with two workers in processes of their own."""
    distributed = _need("pyarrow", "pandas", "dask.dataframe", "dask.distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    with (
        distributed.LocalCluster(**options, dashboard_address=None, silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client
