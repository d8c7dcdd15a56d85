# SPDX-License-Identifier: MIT
"""Entry point of the command ``rnncore`` and of ``python -m rnncore``.

The command line's packages are an extra; without them this says in one sentence what to install.
"""

from __future__ import annotations

import sys
from typing import Any

from . import interrupts

EXTRA = ("typer", "rich", "pandas", "matplotlib")


def main() -> Any:
    """Run the command line; return its exit code where typer does not exit by itself."""
    interrupts.install()
    try:
        from .cli import app

        return app()
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package not in EXTRA:
            raise
        print(f'rnncore: this needs the package {package}: pip install "rnncore[cli]"', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        interrupts.leave("interrupted")


if __name__ == "__main__":
    sys.exit(main())
