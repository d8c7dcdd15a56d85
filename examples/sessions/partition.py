# SPDX-License-Identifier: MIT
"""What a worker keeps: the sessions of some sensors."""

import rnncore

CAPACITY = 10_000


class Partition:
    """The sessions of those sensors that are this worker's at the moment."""

    def __init__(self, path):
        self.pool = rnncore.SessionPool(rnncore.load(path), CAPACITY)

    def answer(self, sensors, x, offsets):
        """Answers to messages of a log; those that this worker has seen are answered without a step."""
        return self.pool.step(sensors, x, seq=offsets)

    def copy(self, sensors):
        """Blobs of those of the sensors that live here."""
        return {sensor: self.pool.export(sensor) for sensor in sensors if sensor in self.pool}

    def give(self, sensors):
        """The same, for another worker to go on with: they do not live here any more."""
        blobs = self.copy(sensors)
        for sensor in blobs:
            self.pool.drop(sensor)
        return blobs

    def take(self, blobs):
        """Go on with sessions of another worker, or of a store; gives how many live here."""
        for sensor, blob in blobs.items():
            self.pool.restore(sensor, blob)
        return len(self.pool)
