# SPDX-License-Identifier: MIT
"""Write the measured part of docs/performance.md from a report of `rnncore bench`: python bench/tables.py REPORT."""

import pathlib
import sys

from rnncore.bench import report
from rnncore.bench.limits import Limits

DOCUMENT = pathlib.Path(__file__).resolve().parents[1] / "docs/performance.md"
BEGIN, END = "<!-- begin: measured -->", "<!-- end: measured -->"


def measured(path):
    """The measured part: machine, limits, summary and rows of a report."""
    found = report.read(path)
    machine = found["machine"]
    facts = ", ".join(f"{key}: {value}" for key, value in machine.items() if isinstance(value, (str, int)))
    limits = Limits.from_json(found["limits"]) if found["limits"] else None
    parts = [facts, *found["doubts"], report.limits_text(limits), report.summary(found["rows"])]
    parts.append(report.row_table(found["rows"]))
    return "\n\n".join(f"```text\n{part}\n```" for part in parts if part)


def main():
    """Replace what stands between the marks of the document."""
    path = pathlib.Path(sys.argv[1])
    text = DOCUMENT.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    DOCUMENT.write_text(
        f"{before}{BEGIN}\nFrom `bench/results/{path.name}`.\n\n{measured(path)}\n{END}{after}",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
