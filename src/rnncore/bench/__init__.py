# SPDX-License-Identifier: MIT
"""Benchmark harness: the same weights in every system, limits of the machine measured in the same run.

``python -m rnncore.bench latency`` measures; ``python -m rnncore.bench compare a.csv b.csv`` shows changes.

cases     what is measured: named sets of rows, each with its source
limits    what the machine can do at best, and the shortest possible time of a row
peers     one small file per system; only those installed take part
runner    interleaved rounds, each system in a process of its own
report    table and JSON; compare and plot read the JSON
"""
