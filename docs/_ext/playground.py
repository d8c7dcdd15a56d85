# SPDX-License-Identifier: MIT
"""The playground in the site: built into playground/ where there is ziglang, the compiler; else the page says how."""

import importlib.util
import subprocess
import sys
from pathlib import Path

from sphinx.util import logging

SOURCE = Path(__file__).resolve().parents[1] / "playground"


def build(app, error):
    """Sphinx's event: all pages are written."""
    if error or app.builder.name != "html":
        return
    out = Path(app.outdir) / "playground"
    if importlib.util.find_spec("ziglang"):
        command = [sys.executable, SOURCE / "build.py", "--out", out]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    else:
        logging.getLogger(__name__).info("the playground is left out: no ziglang")


def setup(app):
    app.connect("build-finished", build)
    return {"parallel_read_safe": True}
