# SPDX-License-Identifier: MIT
"""Write the measured part of a document from reports of `rnncore bench`, of which the first tells the machine:

python bench/tables.py [--document docs/training.md] REPORT ...
"""

import argparse
import pathlib

from rnncore.bench import report
from rnncore.bench.limits import Limits

ROOT = pathlib.Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- begin: measured -->", "<!-- end: measured -->"


def measured(paths):
    """The measured part: machine, limits and doubts of each report, summary and rows of all."""
    reports = [report.read(path) for path in paths]
    found, rows = reports[0], [row for each in reports for row in each["rows"]]
    machine = found["machine"]
    facts = ", ".join(f"{key}: {value}" for key, value in machine.items() if isinstance(value, (str, int)))
    parts = [facts]
    for each in reports:
        parts += each["doubts"]
        parts.append(report.limits_text(Limits.from_json(each["limits"]) if each["limits"] else None))
    parts += [report.summary(rows), report.row_table(rows)]
    return "\n\n".join(f"```text\n{part}\n```" for part in parts if part)


def main():
    """Replace what stands between the marks of the document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", nargs="+", type=pathlib.Path, metavar="REPORT")
    parser.add_argument("--document", type=pathlib.Path, default=ROOT / "docs/performance.md")
    options = parser.parse_args()
    text = options.document.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    names = " and ".join(f"`bench/results/{path.name}`" for path in options.reports)
    options.document.write_text(
        f"{before}{BEGIN}\nFrom {names}.\n\n{measured(options.reports)}\n{END}{after}", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
