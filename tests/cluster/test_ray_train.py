# SPDX-License-Identifier: MIT
"""Workers that Ray Train starts: it connects them by gloo, and `connect` takes what it finds."""

import hashlib
from pathlib import Path

import pytest
from fitting import FULL, FULL_LABELS, train

from rnncore import cluster


def trained(comm=None):
    """Hash of the parameters, and how many workers there were."""
    parameters, run = train((FULL, FULL_LABELS), comm=comm)
    return hashlib.sha256(parameters).hexdigest(), run.workers


def work(config):
    """What each of Ray's workers does."""
    comm = cluster.connect()
    Path(config["folder"], str(comm.rank)).write_text(" ".join(map(str, trained(comm))))


@pytest.mark.full
def test_ray_train_gives_one_workers_bits(ray, tmp_path):
    torch_of_ray = pytest.importorskip("ray.train.torch")
    torch_of_ray.TorchTrainer(
        work,
        train_loop_config={"folder": str(tmp_path)},
        torch_config=torch_of_ray.TorchConfig(backend="gloo"),
        scaling_config=ray.train.ScalingConfig(num_workers=2),
        run_config=ray.train.RunConfig(storage_path=str(tmp_path / "ray")),
    ).fit()
    expected = f"{trained()[0]} 2"
    assert [(tmp_path / rank).read_text() for rank in "01"] == [expected, expected]
