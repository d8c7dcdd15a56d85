# SPDX-License-Identifier: MIT
"""Directories of studies made up for tests, with ratios that are known."""

import csv
import io
import json
import lzma

import numpy as np

from rnncore.bench.limits import Limits

RATE = 1e11
LIMITS = Limits(
    "avx512",
    {f"avx512/{dtype}/{count}": count * RATE / scale
     for dtype, scale in (("float32", 1), ("float64", 2)) for count in (1, 2)},
    {str(count): [(32768.0, 4e11 * count), (1048576.0, 1.5e11 * count), (33554432.0, 2e10)] for count in (1, 2)},
)  # fmt: skip
ENV = {
    "schema": 1,
    "machine": {"cpu": "Abacus", "family": "1/2/3", "cores": 2, "isa": ["avx512f"], "python": "3.13"},
    "settings": {"profile": "quick", "blocks": 30, "preparations": 3, "threads": [1, 2]},
    "limits": LIMITS.to_json(),
    "commit": "0123456789ab",
    "started": "2026-11-27T16:30:00+00:00",
    "finished": "2026-11-27T16:45:00+00:00",
    "energy": "not measurable: no counter here",
}


class Maker:
    """Draws blocks and writes the files.

    A block's seconds are the system's time, times what its preparation makes of it (its own, `layout`), times what the
    machine does in this block (all systems', `drift`), times noise of its own (`noise`), now and then much longer.
    """

    def __init__(self, *, blocks=30, preparations=3, noise=0.01, layout=0.01, drift=0.05, seed=0):
        self.blocks, self.preparations = blocks, preparations
        self.noise, self.layout, self.drift = noise, layout, drift
        self.rng = np.random.default_rng(seed)
        self.files = {"rows.csv": [], "systems.csv": [], "blocks.csv.xz": [], "conditions.csv.xz": []}
        self.versions = {}

    def seconds(self, time):
        """Seconds of a system's blocks, (blocks,)."""
        rng, count = self.rng, self.blocks
        layouts = np.exp(self.layout * rng.standard_normal(self.preparations))
        blocks = np.exp(self.noise * rng.standard_normal(count) + (rng.random(count) < 0.05) * 0.1)
        return time * np.repeat(layouts, -(-count // self.preparations))[:count] * blocks

    def row(self, group, case, times, *, limit=None, statuses=None):
        """A row: `times` is system to true seconds; `statuses` system to (status, reason) for those without."""
        drift = np.exp(np.cumsum(self.drift / 10 * self.rng.standard_normal(self.blocks)))
        self._add("rows.csv", set=group, row=case.name, threads=case.threads, listed_steps=case.T,
                  status="measured", reason="", source="made up")  # fmt: skip
        for place, (system, time) in enumerate(times.items()):
            self.versions[system] = "1.2"
            values = self.seconds(time) * drift
            self._add("systems.csv", row=case.name, system=system, status="ok", reason="", version="1.2",
                      error=1e-7, first_call=0.01, memory=1e7, calls=1000, p50=time, p99=1.3 * time,
                      p999=2 * time)  # fmt: skip
            for block, value in enumerate(values):
                self._add("blocks.csv.xz", row=case.name, system=system, block=block,
                          preparation=block // -(-self.blocks // self.preparations), place=place,
                          seconds=f"{value:.4g}", calls=10, busy=1.0)  # fmt: skip
        for system, (status, reason) in (statuses or {}).items():
            self._add("systems.csv", row=case.name, system=system, status=status, reason=reason, version="1.2",
                      error="", first_call="", memory="", calls="", p50="", p99="", p999="")  # fmt: skip
        for block in range(self.blocks):
            for attempt in range(2 if block == 3 else 1):
                self._add("conditions.csv.xz", row=case.name, block=block, attempt=attempt,
                          accepted=int(attempt == (block == 3)),
                          limit="" if limit is None else f"{limit * drift[block]:.4g}", register=1e-6, l2=2e-6,
                          steal=0.001, clock="", others=0.01)  # fmt: skip

    def skip(self, group, case, reason):
        """A row that was not measured."""
        self._add("rows.csv", set=group, row=case.name, threads=case.threads, listed_steps=case.T, status="skipped",
                  reason=reason, source="made up")  # fmt: skip

    def _add(self, name, **line):
        self.files[name].append(line)

    def write(self, folder):
        """Write the directory; the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "env.json").write_text(json.dumps({**ENV, "versions": self.versions}))
        for name, lines in self.files.items():
            text = io.StringIO()
            table = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(lines)
            pack = lzma.compress if name.endswith(".xz") else bytes
            (folder / name).write_bytes(pack(text.getvalue().encode()))
        return folder
