# SPDX-License-Identifier: MIT
"""Workers that are applications of Ray Serve, one for each part of the sensors: a keyed state where the requests go."""

import contextlib
import os
import time

import ray
from ray import serve

from examples.sessions.partition import Partition

PATIENCE = 60
"""Seconds that Serve may take to start a replica in place of one that has died."""


@serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 0.5})
class Replica(Partition):
    """A partition that may be made to die."""

    def exit(self):
        """End the process, as if it were killed."""
        os._exit(1)


class Workers:
    """Applications on a cluster of this machine. `crash` lets a replica die; Serve starts another one, an empty one."""

    name = "replicas of Ray Serve"

    def __init__(self, path, count=2):
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
        self._handles = [
            serve.run(Replica.bind(str(path)), name=f"sensors-{k}", route_prefix=None) for k in range(count)
        ]

    def __len__(self):
        return len(self._handles)

    def call(self, worker, name, *arguments):
        """What a method of the worker's partition gives."""
        return getattr(self._handles[worker], name).remote(*arguments).result(timeout_s=PATIENCE)

    def crash(self, worker):
        """Let a replica die, and wait for the next one, which knows no session."""
        until = time.monotonic() + PATIENCE
        with contextlib.suppress(
            ray.exceptions.RayError
        ):  # who would have answered has ended, as it was told to
            self.call(worker, "exit")
        while time.monotonic() < until:
            try:
                if self.call(worker, "take", {}) == 0:
                    return
            except ray.exceptions.RayError:
                time.sleep(0.2)  # the request still went to the one that has died
        raise TimeoutError(f"worker {worker}: expected a new replica within {PATIENCE} s, got none")

    def close(self):
        """End the cluster."""
        serve.shutdown()
        ray.shutdown()
