# SPDX-License-Identifier: MIT
"""The site: built without a warning, and its pages seen in a browser, light and dark, wide and on a phone."""

import base64
import io
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from compiled import PATIENCE
from pages import ROOT

DOCS = ROOT / "docs"
SITE = DOCS / "_build/html"
PAGES = (
    "index",
    "tutorials/index",
    "tutorials/first-forecast",
    "howto/training",
    "reference/python/rnncore.nn",
    "reference/python/rnncore.LSTM",
    "reference/c",
    "reference/command-line",
    "explanation/lecture",
    "explanation/equations",
    "explanation/performance",
    "gallery",
    "project/changes",
)
WIDTHS = (390, 1280)
SCHEMES = ("light", "dark")
THEME_NEWS = "[PST]"  # the theme's script says which colours it has chosen
pytestmark = pytest.mark.full

if not DOCS.is_dir():
    pytest.skip("the documentation is not here", allow_module_level=True)
for package in ("sphinx", "pydata_sphinx_theme", "myst_parser", "numpydoc", "sphinx_design"):
    pytest.importorskip(package, reason='builds the site: pip install ".[docs]"')
if not shutil.which("make"):
    pytest.skip("needs make", allow_module_level=True)


@pytest.fixture(scope="module")
def site():
    """The folder of the site, built by the command that the documentation names."""
    command = ["make", "-C", DOCS, "html", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return SITE


class Screen:
    """A page of the site on a screen."""

    def __init__(self, driver, path, width, scheme):
        self.driver = driver
        screen = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600}
        feature = {"name": "prefers-color-scheme", "value": scheme}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        driver.get_log("browser")  # what is in the log of the page before
        driver.get(path.as_uri())

    def complaints(self):
        entries = [entry["message"] for entry in self.driver.get_log("browser")]
        return [
            entry for entry in entries if THEME_NEWS not in entry and "Got invalid theme mode" not in entry
        ]

    def overflow(self):
        """How many pixels the page is wider than the screen."""
        return self.driver.execute_script("return document.documentElement.scrollWidth - innerWidth")

    def broken_images(self):
        script = "return [...document.images].filter((i) => i.complete && !i.naturalWidth).map((i) => i.src)"
        return self.driver.execute_script(script)

    def pixels(self):
        """What is seen, (height, width, RGB) from 0 to 1."""
        image = pytest.importorskip("matplotlib.image", reason="reads the screenshot")
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        return image.imread(io.BytesIO(base64.b64decode(shot["data"])))[..., :3]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_seen_and_fits(driver, site, page, width, scheme):
    screen = Screen(driver, site / f"{page}.html", width, scheme)
    assert screen.complaints() == []
    assert screen.overflow() <= 0
    assert screen.broken_images() == []
    pixels = screen.pixels()
    background = np.median(pixels.reshape(-1, 3), axis=0).mean()
    assert background < 0.3 if scheme == "dark" else background > 0.9
    inked = np.abs(pixels.mean(axis=2) - background) > 0.25
    assert inked.mean() > 0.005 and inked.any(axis=1).mean() > 0.2  # text, and not in one line alone


def test_nothing_is_fetched_from_elsewhere(site):
    """Scripts, styles, fonts and pictures of every page stand beside it."""
    asked = set()
    for path in site.rglob("*.html"):
        tags = re.findall(r"<(?:script|link|img|source)[^>]*>", path.read_text("utf-8"))
        asked |= {url for tag in tags for url in re.findall(r'(?:src|href)="(https?:[^"]+)"', tag)}
    assert asked == set()


def test_the_playground_is_part_of_the_site(site):
    pytest.importorskip("ziglang", reason="compiles it")
    assert (site / "playground/wasm.js").is_file()
    assert 'href="index.html"' in (site / "playground/README.html").read_text("utf-8")
