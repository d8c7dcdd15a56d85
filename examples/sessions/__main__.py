# SPDX-License-Identifier: MIT
"""Sensors whose sessions move between two workers in mid-stream, and survive one of them, with equal bits.

A log holds the messages of all sensors in the order of their arrival. Each sensor has a session in one of two
workers, which answers its messages. While the log is read, sensors move from worker to worker; the log gives some
messages twice, as one with at-least-once delivery may; from time to time all sessions are copied to a store; and once a
worker dies without a word: the new one takes its sessions from the store, and the log is read again from where the
store was.

    python -m examples.sessions [--quick] [--serve]

The workers are processes, with --serve replicas of Ray Serve. In the end every answer is compared, to the last bit,
with the one that the model gives for the sensor's whole sequence in one call.
"""

import hashlib

import numpy as np

import rnncore
from examples import common
from examples.sessions import processes
from rnncore.nn import Linear, Sequential

SENSORS, BATCH = 300, 64
MOVE_EVERY, STORE_EVERY = 7, 10
"""Batches after which a third of the sensors move, and after which the store has a new copy of all sessions."""


def make_log(messages, rng):
    """Sensors (n,) and their values (n, 1), a sine of each one's own with noise; the places are the offsets."""
    sensors = rng.integers(0, SENSORS, messages)
    pace = rng.uniform(0.05, 0.5, SENSORS)
    t = np.arange(messages)
    values = np.sin(pace[sensors] * t / SENSORS) + 0.1 * rng.standard_normal(messages)
    return sensors, values[:, np.newaxis].astype(np.float32)


class Consumer:
    """Reads a log and has workers answer it; keeps answers (n, 1), by offset."""

    def __init__(self, workers, log, rng):
        self.workers, self.rng = workers, rng
        self.sensors, self.values = log
        self.owner = rng.integers(0, len(workers), SENSORS)
        self.answers = np.full((len(self.sensors), 1), np.nan, np.float32)
        self.store, self.committed = {}, 0
        self.counts = {"moved": 0, "delivered twice": 0, "read again": 0}

    def read(self, offsets):
        """Have these messages answered; a few are delivered a second time."""
        again = self.rng.choice(offsets, len(offsets) // 16, replace=False)
        for given in (offsets, again):
            for worker in range(len(self.workers)):
                mine = given[self.owner[self.sensors[given]] == worker]
                if len(mine):
                    self.note(
                        mine, self.workers.call(worker, "answer", self.sensors[mine], self.values[mine], mine)
                    )
        self.counts["delivered twice"] += len(again)

    def note(self, offsets, answers):
        """Keep answers. NaN: the sensor has had later messages, so this one was answered already."""
        new = ~np.isnan(answers)
        seen = new & ~np.isnan(self.answers[offsets])
        if not np.array_equal(answers[seen], self.answers[offsets][seen]):
            raise RuntimeError("a message was answered twice, and not alike")
        self.answers[offsets] = np.where(new, answers, self.answers[offsets])

    def move(self):
        """Let a third of the sensors go on at the next worker."""
        sensors = self.rng.choice(SENSORS, SENSORS // 3, replace=False)
        for worker in range(len(self.workers)):
            blobs = self.workers.call(worker, "give", sensors[self.owner[sensors] == worker].tolist())
            self.workers.call((worker + 1) % len(self.workers), "take", blobs)
            self.counts["moved"] += len(blobs)
        self.owner[sensors] = (self.owner[sensors] + 1) % len(self.workers)

    def copy(self, offset):
        """Copy all sessions to the store, which then covers the log up to this offset."""
        for worker in range(len(self.workers)):
            self.store |= self.workers.call(worker, "copy", np.flatnonzero(self.owner == worker).tolist())
        self.committed = offset

    def recover(self, worker, offset):
        """A worker has died: the new one begins with the store, and reads again what came after it."""
        self.workers.crash(worker)
        mine = np.flatnonzero(self.owner == worker).tolist()
        self.workers.call(
            worker, "take", {sensor: self.store[sensor] for sensor in mine if sensor in self.store}
        )
        after = np.arange(self.committed, offset)
        after = after[self.owner[self.sensors[after]] == worker]
        for part in np.array_split(after, -(-len(after) // BATCH)):
            self.note(part, self.workers.call(worker, "answer", self.sensors[part], self.values[part], part))
        self.counts["read again"] += len(after)

    def run(self):
        """Read the log once; two thirds of the way a worker dies."""
        batches = [
            np.arange(first, min(first + BATCH, len(self.sensors)))
            for first in range(0, len(self.sensors), BATCH)
        ]
        death = 2 * len(batches) // 3
        for k, offsets in enumerate(batches):
            if k and k % MOVE_EVERY == 0:
                self.move()
            if k and k % STORE_EVERY == 0:
                self.copy(offsets[0])
            if k == death:
                self.recover(0, offsets[0])
            self.read(offsets)


def alone(model, log):
    """The answers that the model gives to each sensor's whole sequence, in one call each."""
    sensors, values = log
    answers = np.empty_like(values)
    for sensor in range(SENSORS):
        places = np.flatnonzero(sensors == sensor)
        answers[places] = model(values[places])
    return answers


def main(argv=None):
    """Run; returns what was counted, and whether all bits are the same."""
    parser = common.parser("sessions", "Sessions that move between workers in mid-stream.", trains=False)
    parser.add_argument(
        "--serve", action="store_true", help="workers are replicas of Ray Serve, not processes"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of the log, the moves and the model (default: 1)"
    )
    arguments = parser.parse_args(argv)
    rnncore.set_num_threads(arguments.threads)
    folder = common.out_folder(arguments, "sessions")
    say = common.Log(folder)
    rng = np.random.default_rng(arguments.seed)
    log = make_log(8_000 if arguments.quick else 200_000, rng)
    model = Sequential(rnncore.GRU(1, 32, seed=arguments.seed), Linear(32, 1, seed=arguments.seed + 1))
    path = folder / "model.safetensors"
    model.save(path)
    if arguments.serve:
        from examples.sessions import serving
    workers = (serving if arguments.serve else processes).Workers(path)
    try:
        consumer = Consumer(workers, log, rng)
        consumer.run()
    finally:
        workers.close()
    same = consumer.answers.tobytes() == alone(model, log).tobytes()
    say(f"{len(log[0])} messages of {SENSORS} sensors, answered by {len(workers)} {workers.name}")
    say(", ".join(f"{count} {what}" for what, count in consumer.counts.items()) + "; one worker died")
    say(f"SHA-256 of all answers: {hashlib.sha256(consumer.answers.tobytes()).hexdigest()[:16]}")
    say("each sensor's sequence alone gives " + ("the same bits" if same else "OTHER BITS"))
    return consumer.counts | {"same": same}


if __name__ == "__main__":
    common.start(main)
