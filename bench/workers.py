# SPDX-License-Identifier: MIT
"""How data-parallel training scales: steps of one and of several workers of one thread each, in turns.

    python bench/workers.py                     one and two workers, connected by gloo on this machine
    python bench/workers.py --network 1gbit     each in a network namespace behind a link of this rate (root, ip, tc)
    python bench/workers.py --model             no measurement: what a model of the step says of up to 64 workers

Prints for each number of workers the fastest and the median step, how much of it is spent in exchanges, waiting for
others included, and the processor time of a step, which other work on the machine matters little to.
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


class Timed:
    """A `Comm` that notes how long exchanges take."""

    def __init__(self, comm):
        self.comm, self.rank, self.size, self.seconds = comm, comm.rank, comm.size, 0.0
        self.barrier, self.abort = comm.barrier, comm.abort

    def exchange(self, parts, sizes):
        started = time.perf_counter()
        found = self.comm.exchange(parts, sizes)
        self.seconds += time.perf_counter() - started
        return found


class Clock:
    """Notes the time of each step, and of the exchanges in it."""

    def __init__(self, comm):
        self.comm, self.steps, self.last, self.used = comm, [], None, 0.0

    def on_step(self, run):
        now = time.perf_counter()
        if self.last is not None:
            self.steps.append((now - self.last, self.comm.seconds, time.process_time() - self.used))
        self.last, self.used, self.comm.seconds = now, time.process_time(), 0.0


def work(given):
    """One worker: train, and let worker 0 print its steps."""
    rnncore.set_num_threads(1)
    comm = Timed(cluster.connect())
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
    ip("ip", "link", "del", "rcbridge", check=False)


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
            times = [model(compute / 1e3, 3e-4, 1e5, k, 1e9 / 8 * 0.94, 2e-4) for k in (1, workers)]
            found.append(times[0] / times[1])
        print(
            f"{workers:3} workers, 100 000 parameters       " + "".join(f"{value:>11.1f}" for value in found)
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=150)
    parser.add_argument("--shards", type=int, default=SHARDS)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--network", help="rate of each worker's link, such as 1gbit")
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
    for workers, found in steps.items():
        wall, exchange, used = ([1e3 * value for value in each] for each in zip(*found, strict=True))
        print(
            f"{workers} workers: a step {min(wall):.1f} ms, median {statistics.median(wall):.1f}; exchanges "
            f"{min(exchange):.2f} ms, median {statistics.median(exchange):.2f}; processor time {min(used):.1f} ms, "
            f"median {statistics.median(used):.1f}"
        )


if __name__ == "__main__":
    main()
