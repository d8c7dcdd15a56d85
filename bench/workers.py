# SPDX-License-Identifier: MIT
"""How data-parallel training scales: steps of one and of several workers of one thread each, in turns.

    python bench/workers.py                     one and two workers, connected by gloo on this machine
    python bench/workers.py --network 1gbit     each in a network namespace behind a link of this rate (root, ip, tc)
    python bench/workers.py --delay 0.2         every message arrives so many milliseconds later
    python bench/workers.py --model             no measurement: what a model of the step says of up to 64 workers

Prints for each number of workers the fastest and the median step, how much of it a worker waits for the others (which
ends with a small message of each), how much it exchanges numbers, and the processor time of a step, which other work on
the machine matters little to. With a network also what the model says of these steps.

A delay is a sleep after each exchange: so no message can be used earlier, and a worker that is late itself waits longer
than it would have to.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

import rnncore
from rnncore import cluster, nn

INPUTS, STEPS_LONG, BATCH, SHARDS = 64, 100, 64, 16
PORT = "29617"
WORDS = ("a step", "waits", "exchanges", "processor time")
UPDATE = 3e-4
"""Seconds of a step that every worker spends, however many there are."""


class Timed:
    """A `Comm` that notes how long each exchange takes, and delays what it brings."""

    def __init__(self, comm, delay):
        self.comm, self.rank, self.size, self.delay, self.seconds = comm, comm.rank, comm.size, delay, []
        self.barrier, self.abort = comm.barrier, comm.abort

    def exchange(self, parts, sizes):
        started = time.perf_counter()
        found = self.comm.exchange(parts, sizes)
        if self.delay and self.size > 1:
            time.sleep(self.delay)
        self.seconds.append(time.perf_counter() - started)
        return found


class Clock:
    """Notes of each step its time, how long it waited (its first exchange) and exchanged, and its processor time."""

    def __init__(self, comm):
        self.comm, self.steps, self.last, self.used = comm, [], None, 0.0

    def on_step(self, run):
        now, (waited, *exchanged) = time.perf_counter(), self.comm.seconds or [0.0]
        if self.last is not None:
            self.steps.append((now - self.last, waited, sum(exchanged), time.process_time() - self.used))
        self.last, self.used = now, time.process_time()
        self.comm.seconds.clear()


def work(given):
    """One worker: train, and let worker 0 print its steps."""
    rnncore.set_num_threads(1)
    comm = Timed(cluster.connect(), given.delay / 1e3)
    model = nn.Sequential(rnncore.GRU(INPUTS, given.hidden, seed=0), nn.Linear(given.hidden, 8, seed=1))
    rng = np.random.default_rng(0)
    x = rng.random((BATCH * given.steps, STEPS_LONG, INPUTS), dtype=np.float32)
    target = rng.random((len(x), STEPS_LONG, 8), dtype=np.float32)
    clock = Clock(comm)
    options = {"epochs": 1, "batch_size": BATCH, "shards": given.shards, "comm": comm, "callbacks": [clock]}
    nn.fit(model, (x, target), nn.mse_loss, nn.Adam(model, clip_norm=1.0), **options)
    if comm.rank == 0:
        print(json.dumps([sum(a.size for a in model.parameters().values()), clock.steps]))


def start(given, workers):
    """What worker 0 of so many found."""
    own = [
        "--worker",
        "--hidden",
        str(given.hidden),
        "--steps",
        str(given.steps),
        "--shards",
        str(given.shards),
        "--delay",
        str(given.delay),
    ]
    processes = []
    for rank in range(workers):
        variables = {"OMP_NUM_THREADS": "1"}
        prefix = []
        if workers > 1:
            variables |= {
                "RANK": str(rank),
                "WORLD_SIZE": str(workers),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": PORT,
            }
        if workers > 1 and given.network:
            variables |= {"MASTER_ADDR": "10.77.0.1", "GLOO_SOCKET_IFNAME": f"rc{rank}"}
            prefix = ["ip", "netns", "exec", f"rnncore{rank}"]
        command = [*prefix, sys.executable, __file__, *own]
        processes.append(
            subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.PIPE, text=True)
        )
    outs = [process.communicate()[0] for process in processes]
    return json.loads(outs[0])


def ip(*words, check=True):
    subprocess.run([str(word) for word in words], check=check, capture_output=not check)


def lay_network(workers, rate):
    """A namespace for each worker, joined by a bridge, each end sending at this rate at most."""
    take_network(workers)
    ip("ip", "link", "add", "rcbridge", "type", "bridge")
    ip("ip", "link", "set", "rcbridge", "up")
    for rank in range(workers):
        space = f"rnncore{rank}"
        ip("ip", "netns", "add", space)
        ip("ip", "link", "add", f"rcb{rank}", "type", "veth", "peer", "name", f"rc{rank}", "netns", space)
        ip("ip", "link", "set", f"rcb{rank}", "master", "rcbridge", "up")
        ip("ip", "-n", space, "addr", "add", f"10.77.0.{rank + 1}/24", "dev", f"rc{rank}")
        for name in (f"rc{rank}", "lo"):
            ip("ip", "-n", space, "link", "set", name, "up")
        shape = ("root", "tbf", "rate", rate, "burst", "128kb", "latency", "50ms")
        ip("tc", "-n", space, "qdisc", "add", "dev", f"rc{rank}", *shape)


def take_network(workers):
    for rank in range(workers):
        ip("ip", "netns", "del", f"rnncore{rank}", check=False)
    # What a namespace holds goes some time after it.
    for name in ("rcbridge", *(f"rcb{rank}" for rank in range(workers))):
        ip("ip", "link", "del", name, check=False)


def model(compute, update, parameters, workers, bandwidth, delay):
    """Seconds of a step of up to 16 shards a worker, or as many shards as workers: the busiest worker's shards, the
    update that each does, twice the parameters' share over its link, three messages one after the other."""
    shards = max(SHARDS, workers)
    share = -(-shards // workers) / shards
    sent = 2 * (workers - 1) / workers * parameters * 4 / bandwidth + 3 * delay if workers > 1 else 0.0
    return compute * share + update + sent


def show_model(given):
    """Speedups over one worker by number of workers, for 1 Gbit/s and 0.2 ms between any two."""
    print("speedup; a step of one worker takes   " + "".join(f"{c:>8g} ms" for c in given.compute))
    for workers in (2, 4, 8, 16, 32, 64):
        found = []
        for compute in given.compute:
            times = [model(compute / 1e3, UPDATE, 1e5, k, 1e9 / 8 * 0.94, 2e-4) for k in (1, workers)]
            found.append(times[0] / times[1])
        print(
            f"{workers:3} workers, 100 000 parameters       " + "".join(f"{value:>11.1f}" for value in found)
        )


def show_steps(workers, found):
    """Print what steps took; (fastest, median) in ms of each of `WORDS`."""
    of = [[1e3 * rank(each) for rank in (min, statistics.median)] for each in zip(*found, strict=True)]
    parts = (
        f"{word} {least:.2f} ms, median {middle:.2f}" for word, (least, middle) in zip(WORDS, of, strict=True)
    )
    print(f"{workers} workers: {'; '.join(parts)}")
    return of


def show_gain(given, workers, parameters, one, of):
    """Print how many times as fast as one worker these were, and what the model says if there is a network."""
    fastest, median, used = one[0][0] / of[0][0], one[0][1] / of[0][1], one[3][0] / of[3][0]
    print(
        f"  times as fast: {fastest:.2f} the fastest, {median:.2f} the median, {used:.2f} by processor time"
    )
    if given.network:
        bandwidth = float(given.network.removesuffix("gbit")) * 1e9 / 8 * 0.94
        times = [
            model(one[0][0] / 1e3 - UPDATE, UPDATE, parameters, k, bandwidth, given.delay / 1e3)
            for k in (1, workers)
        ]
        print(f"  the model: {1e3 * times[1]:.2f} ms a step, {times[0] / times[1]:.2f} times as fast")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=150)
    parser.add_argument("--shards", type=int, default=SHARDS)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--network", help="rate of each worker's link, such as 1gbit")
    parser.add_argument("--delay", type=float, default=0.0, help="ms until a message arrives")
    parser.add_argument("--model", action="store_true", help="print what the model says")
    parser.add_argument(
        "--compute", type=float, nargs="+", default=[20.0, 100.0, 500.0], help="ms, for the model"
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given)
        return
    if given.model:
        show_model(given)
        return
    if given.network:
        lay_network(max(given.workers), given.network)
    try:
        steps = {workers: [] for workers in given.workers}
        for _ in range(given.rounds):
            for workers, found in steps.items():
                parameters, some = start(given, workers)
                found += some
    finally:
        if given.network:
            take_network(max(given.workers))
    print(f"{parameters} parameters, batches of {BATCH} x {STEPS_LONG} steps, {given.shards} shards")
    one = None
    for workers, found in steps.items():
        of = show_steps(workers, found)
        if workers == 1:
            one = of
        elif one is not None:
            show_gain(given, workers, parameters, one, of)


if __name__ == "__main__":
    main()
