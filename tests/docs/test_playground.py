# SPDX-License-Identifier: MIT
"""The playground in a browser without a window: built from the sources, opened from the disk, used by keyboard."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tables
import tables_training
from compiled import PATIENCE

import rnncore
from rnncore.formats import safetensors

SOURCE = Path(__file__).resolve().parents[2] / "docs" / "playground"
MOST_BYTES = 400_000
"""Of everything but the model."""

if not SOURCE.is_dir():
    pytest.skip("the documentation is not here", allow_module_level=True)
pytest.importorskip("selenium", reason="drives the browser")
pytest.importorskip("ziglang", reason="compiles to WebAssembly")

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The page in a folder of its own."""
    folder = tmp_path_factory.mktemp("playground")
    command = [sys.executable, SOURCE / "build.py", "--out", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Page:
    """The page opened afresh, in a browser that says what it prefers."""

    def __init__(self, driver, folder, width=1200, **media):
        self.driver = driver
        screen = {"width": width, "height": 1800, "deviceScaleFactor": 1, "mobile": width < 600}
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        driver.get_log("browser")  # what is in the log of the page before
        driver.get((folder / "index.html").as_uri())
        self.until("return 'ready' in document.documentElement.dataset || !find('error').hidden")

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def until(self, script):
        """Wait for a script to give something true, and give it."""
        return WebDriverWait(self.driver, PATIENCE, 0.1).until(lambda driver: driver.execute_script(script))

    def find(self, name):
        return self.driver.find_element(By.ID, name)

    def text(self, name):
        return self.find(name).text

    def complaints(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture
def page(driver, built):
    page = Page(driver, built)
    assert page.complaints() == []
    assert not page.find("error").is_displayed()
    return page


# -- bits ---------------------------------------------------------------------------------------------------


def native_run():
    """The module native.py."""
    spec = importlib.util.spec_from_file_location("playground_native", SOURCE / "native.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_hash_is_that_of_every_instruction_set(page):
    native = native_run()
    assert {native.sha256(isa) for isa in rnncore.isas()} == {page.text("hash")}
    assert page.text("native-hash") == page.text("hash")
    assert page.text("verdict").startswith("Equal")


def test_another_hash_is_called_different(page):
    page.run("BUILD.hashes = {scalar: '0'}; return Library.load(bytesOf(WASM)).then(showHash)")
    assert page.text("verdict").startswith("Different")
    assert page.find("bits").get_attribute("data-equal") == "false"


def writer_parts():
    """The playground's model: its LSTM and the parameters of its head, in float32."""
    halves, _ = safetensors.read(SOURCE / "writer.safetensors")
    params = {name: values.astype(np.float32) for name, values in halves.items()}
    layer = {name[2:]: values for name, values in params.items() if name.startswith("0.")}
    hidden, inputs = layer["weight_hh_l0"].shape[1], layer["weight_ih_l0"].shape[1]
    lstm = rnncore.LSTM(inputs, hidden)
    lstm.load_state_dict(layer)
    return lstm, params["1.weight"], params["1.bias"]


STEPS_OF_THE_WRITER = """
const inputs = arguments[0];
return Library.load(bytesOf(WASM)).then((library) => {
    const writer = new Writer(library, readModel(bytesOf(MODEL)));
    return inputs.map((x) => {
        writer.x.view().set(x);
        writer.lstm.step(writer.x, writer.h);
        const outputs = writer.outputs(writer.h.view());
        return { h: Array.from(writer.h.view()), outputs: Array.from(outputs), mixture: writer.mixture(outputs, 0.75) };
    });
});
"""


def test_a_step_of_the_writer_is_that_of_the_library_and_its_mixture_that_of_graves(page):
    lstm, weight, bias = writer_parts()
    x = np.random.default_rng(0).standard_normal((6, lstm.spec.input_size)).astype(np.float32)
    stream = lstm.stream(1)
    for values, found in zip(x, page.run(STEPS_OF_THE_WRITER, x.tolist()), strict=True):
        h = stream.step(values[np.newaxis])[0]
        np.testing.assert_array_equal(np.array(found["h"], np.float32), h)
        outputs = weight.astype(float) @ h + bias
        atol = tables_training.FLOAT32_ATOL * np.abs(outputs).max()
        np.testing.assert_allclose(found["outputs"], outputs, rtol=0, atol=atol)
        # Equations 61 and 62 of Graves 2013, with a bias of 0.75.
        w, m, n, a, b, r = np.array(found["outputs"][:-3]).reshape(6, -1)
        w = np.exp(1.75 * (w - w.max()))
        expected = {
            "weight": w / w.sum(),
            "x": m,
            "y": n,
            "sx": np.exp(a - 0.75),
            "sy": np.exp(b - 0.75),
            "rho": np.tanh(r),
        }
        for name, value in expected.items():
            drawn = [part[name] for part in found["mixture"]]
            np.testing.assert_allclose(drawn, value, rtol=tables_training.OPTIMIZER_RTOL["float32"])


def test_a_point_has_the_mean_and_the_covariance_of_its_gaussian(page):
    gaussian = {"x": 3.0, "y": -1.0, "sx": 2.0, "sy": 0.5, "rho": -0.75}
    script = "const [part, count] = arguments; const writer = { random: uniforms(7) };"
    script += "return Array.from({ length: count }, () => Writer.prototype.draw.call(writer, part));"
    count = 40_000
    points = np.array(page.run(script, gaussian, count))
    unit = (points - (gaussian["x"], gaussian["y"])) / (gaussian["sx"], gaussian["sy"])
    assert np.abs(unit.mean(axis=0)).max() < tables_training.sampling_error(1, count)
    # The square of a normal variable has a standard deviation of sqrt(2); a product with another one's has less.
    error = np.cov(unit.T) - [[1, -0.75], [-0.75, 1]]
    assert np.abs(error).max() < tables_training.sampling_error(2**0.5, count)


# -- handwriting --------------------------------------------------------------------------------------------

INK = """
const canvas = find("sheet"), { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
const colors = new Set();
let inked = 0;
for (let k = 0; k < data.length; k += 4) {
    if (data[k + 3] === 0) continue;
    inked++;
    colors.add(`${data[k]},${data[k + 1]},${data[k + 2]}`);
}
return { inked, colors: colors.size };
"""


def written(page):
    """The digits on the sheet, by the name that a screen reader reads."""
    return [int(digit) for digit in page.find("sheet").accessible_name.rpartition(":")[2].split(",")]


def test_digits_are_drawn_one_after_the_other(page):
    empty = page.run("find('clear').click();" + INK)
    page.until("return find('sheet').getAttribute('aria-label').split(',').length >= 3")
    first, second, third = written(page)[:3]
    assert (second, third) == ((first + 1) % 10, (first + 2) % 10)
    full = page.run("find('pause').click();" + INK)
    assert full["inked"] > empty["inked"] + 1000
    assert full["colors"] > 3  # rules, ink and the edges of both


def test_sliders_are_used_with_the_keyboard(page):
    page.find("bias").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert page.text("bias-value") == "0.7"
    page.find("bias").send_keys(Keys.END)
    assert page.text("bias-value") == "2.0"
    page.find("digit").send_keys(Keys.END, Keys.ARROW_LEFT)
    assert page.text("digit-value") == "8"
    assert not page.find("count").is_selected()
    page.until("return find('sheet').getAttribute('aria-label').endsWith('8, 8')")
    assert page.text("digit-value") == "8"
    page.find("pause").send_keys(Keys.ENTER)
    assert page.text("pause") == "Go on"


def test_who_wants_nothing_to_move_gets_whole_digits_and_then_rest(driver, built):
    page = Page(driver, built, prefers_reduced_motion="reduce")
    page.until("return find('pause').textContent === 'Go on'")
    assert written(page) == list(range(10))
    assert page.complaints() == []


# -- the lecture's example ----------------------------------------------------------------------------------


def results(page):
    return [element.text for element in page.driver.find_elements(By.CSS_SELECTOR, "#steps output")]


def put(element, text):
    element.send_keys(Keys.CONTROL, "a")
    element.send_keys(text)


def test_the_example_of_the_lecture(page):
    assert results(page) == [
        "y1 = tanh(0.7·0.1 + 0.3·0.4 + 0.4·0 + 0.4) = 0.5299",
        "y2 = tanh(0.7·0.7 + 0.3·0.9 + 0.4·0.5299 + 0.4) = 0.8791",
    ]


def test_numbers_of_the_example_can_be_changed(page):
    put(page.find("w3"), "-1.5")
    put(page.find("b"), "0.25")
    page.find("add-step").click()
    put(page.driver.find_elements(By.CSS_SELECTOR, "#steps input")[-1], "2")
    y = 0.0
    for x, text in zip(([0.1, 0.4], [0.7, 0.9], [0.7, 2.0]), results(page), strict=True):
        y = np.tanh(0.7 * x[0] + 0.3 * x[1] - 1.5 * y + 0.25)
        assert abs(float(text.rpartition("= ")[2]) - y) <= tables.FOUR_DIGITS
        assert "(\N{MINUS SIGN}1.5)·" in text
    page.find("w1").send_keys(Keys.CONTROL, "a", Keys.BACK_SPACE)
    assert results(page) == ["needs a number in every field"] * 3
    page.find("lecture-reset").click()
    assert [text.rpartition(" ")[2] for text in results(page)] == ["0.5299", "0.8791"]


# -- the page -----------------------------------------------------------------------------------------------


def test_the_page_without_its_model_is_small(built):
    sizes = {path.name: path.stat().st_size for path in built.iterdir()}
    assert {"index.html", "wasm.js", "model.js"} <= sizes.keys()
    assert sum(size for name, size in sizes.items() if name != "model.js") < MOST_BYTES


def test_every_control_has_a_name(page):
    controls = page.driver.find_elements(By.CSS_SELECTOR, "input, button, canvas")
    assert len(controls) > 15
    assert [control.get_attribute("outerHTML") for control in controls if not control.accessible_name] == []


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_can_be_read(driver, built, width, scheme):
    page = Page(driver, built, width, prefers_color_scheme=scheme)
    assert page.run("return document.documentElement.scrollWidth") <= width
    found = page.run("const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]")
    back, text = (np.mean([int(part) for part in color[4:-1].split(",")]) for color in found)
    assert (back > 200 and text < 80) if scheme == "light" else (back < 60 and text > 200)
    page.until("return find('sheet').getAttribute('aria-label').includes(':')")
    ink = page.run("return getComputedStyle(find('sheet')).getPropertyValue('--ink')")
    assert page.run(INK)["inked"] > 200
    assert (int(ink.strip()[1:3], 16) > 127) == (scheme == "dark")


def test_a_page_that_was_not_built_says_how(driver, tmp_path):
    for path in SOURCE.iterdir():
        if path.is_file() and path.name not in ("wasm.js", "model.js"):
            shutil.copyfile(path, tmp_path / path.name)
    page = Page(driver, tmp_path)
    assert "docs/playground/build.py" in page.text("error-text")
