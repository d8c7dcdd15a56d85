# SPDX-License-Identifier: MIT
"""Where the command ``rnncore`` begins: Ctrl-C ends it in a sentence while the package is still being loaded.

It stands beside the package because importing anything of that loads NumPy, which takes most of the time until then.
"""

from __future__ import annotations

import contextlib
import os
import signal


def main():
    """Load the package and run its command line."""

    def leave(*_):
        os.write(2, b"rnncore: interrupted, nothing was written\n")
        os._exit(130)

    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, leave)
    from rnncore.__main__ import main

    return main()
