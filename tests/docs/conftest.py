# SPDX-License-Identifier: MIT
"""A browser without a window."""

import os
import shutil

import pytest
from compiled import PATIENCE


@pytest.fixture(scope="session")
def driver():
    """Chromium, driven by selenium; what it prints to its console is kept."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="drives the browser")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser or not shutil.which("chromedriver"):
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    alone = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    for argument in ("--headless=new", "--disable-dev-shm-usage", "--window-size=1200,1800", *alone):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(PATIENCE)
    yield driver
    driver.quit()
