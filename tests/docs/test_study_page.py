# SPDX-License-Identifier: MIT
"""The page of a study, seen in a browser: light and dark, wide and on a phone."""

import pytest

pytest.importorskip("scipy")
pytest.importorskip("matplotlib")
document = pytest.importorskip("rnncore.bench.study.document")

from studies import Maker  # noqa: E402

from rnncore.bench.cases import Case  # noqa: E402
from rnncore.bench.study import tables  # noqa: E402

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The address of a page with every section."""
    maker = Maker(blocks=6)
    for threads in (1, 2):
        for h, factor in ((64, 2.0), (512, 0.5)):
            times = {"rnncore": 1e-3, "torch": factor * 1e-3}
            maker.row("server", Case("lstm", 50, 4, h, h, threads=threads), times, limit=5e-4)
    maker.row("small", Case("lstm", 1, 1, 16, 16, mode="step"), {"rnncore": 2e-7, "torch": 7e-5}, limit=1e-7)
    maker.skip("server", Case("gru", 1500, 4, 1024, 1024), "a call takes 9 s")
    folder = maker.write(tmp_path_factory.mktemp("study"))
    document.write(tables.Study.read(folder), folder / "report.html")
    return (folder / "report.html").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_of_a_study_fits_and_follows_the_scheme(driver, page, width, scheme):
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)
    driver.get_log("browser")  # what is in the log of the page before
    driver.get(page)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    sizes = driver.execute_script(
        "return [...document.querySelectorAll('svg')].map(one => one.getBoundingClientRect().height)"
    )
    assert len(sizes) == 8 and min(sizes) > 50
    ground, ink = (
        sum(map(int, driver.execute_script(script).strip("rgb()").split(",")))
        for script in (
            "return getComputedStyle(document.body).backgroundColor",
            "return getComputedStyle(document.querySelector('svg text')).fill",
        )
    )
    assert (ground > ink) == (scheme == "light")
    assert abs(ground - ink) > 400
    assert driver.get_log("browser") == []
