# SPDX-License-Identifier: MIT
"""``python -m rnncore.formats inspect FILE``; ``convert IN OUT [--name LAYER] [--dtype int8] [--report DATA.npy]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..errors import RnncoreError
from ..spec.stores import STORES
from . import commands, quality


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 2, with one sentence on standard error, where the input is at fault."""
    parser = argparse.ArgumentParser(prog="rnncore")
    actions = parser.add_subparsers(dest="action", required=True)
    inspect = actions.add_parser("inspect", help="what a file holds")
    inspect.add_argument("file")
    convert = actions.add_parser("convert", help="convert a file; suffixes say the formats")
    convert.add_argument("source")
    convert.add_argument("target")
    convert.add_argument("--name", help="which layer")
    convert.add_argument("--dtype", choices=("float32", "float64", *STORES))
    convert.add_argument("--report", metavar="DATA.npy", help="what small dtypes cost on inputs in this file")
    given = parser.parse_args(arguments)
    try:
        if given.action == "inspect":
            print(commands.table(commands.inspect(given.file)))
        else:
            if given.report is not None:
                quality.show(commands.report(given.source, given.report, name=given.name), given.dtype)
            print(commands.convert(given.source, given.target, name=given.name, dtype=given.dtype))
    except (RnncoreError, OSError) as error:
        print(f"rnncore: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
