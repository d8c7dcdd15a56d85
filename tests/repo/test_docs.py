# SPDX-License-Identifier: MIT
"""What the documentation says is run: the README, the C snippets, the build commands, the links.

Python and console blocks of the other pages: tests/docs/test_pages.py.

C snippets are built with the last command of docs/howto/embedding.md; with --full its other commands run, too.
"""

import math
import re
import shutil
import tomllib

import numpy as np
import pytest
import tables
from c_library import run
from pages import ROOT, WRITTEN, WRITTEN_PAGES, all_pages, blocks, text

import rnncore

if not (ROOT / "README.md").is_file() or not (ROOT / "csrc").is_dir():
    pytest.skip("the documentation is not here", allow_module_level=True)
PAGES = all_pages()
ATOL = tables.TOLERANCES["forward", tables.DTYPES["f32"]]


# README ----------------------------------------------------------------------------------------------------


def test_the_readme_is_short():
    assert len(text("README.md").splitlines()) < 120


def test_python_of_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    (code,) = blocks("README.md", "python")
    exec(compile(code, "README.md", "exec"), names)
    assert names["y0"].shape == (32,)
    assert names["y"].shape == (100, 4, 32)
    assert rnncore.load("layer.safetensors").spec == names["layer"].spec


def sides(number):
    """The code of the README's diff of this number before, and after."""
    lines = blocks("README.md", "diff")[number].splitlines()
    return ("\n".join(line[2:] for line in lines if line[0] in f" {sign}") for sign in "-+")


def test_the_diff_of_a_pytorch_model():
    torch = pytest.importorskip("torch", reason="the diff is of a PyTorch model")
    import rnncore.torch

    results = []
    for code in sides(0):
        torch.manual_seed(0)
        names = {"torch": torch, "rnncore": rnncore, "Model": lambda: torch.nn.GRU(3, 5)}
        exec(code, names)
        results.append(names["model"](torch.ones(4, 2, 3))[0].detach().numpy())
        assert len(names["optimizer"].param_groups[0]["params"]) == 4
    assert type(names["model"]) is rnncore.torch.GRU
    np.testing.assert_allclose(*results, rtol=0, atol=ATOL)


def test_the_diff_of_a_scikit_learn_model():
    neural_network = pytest.importorskip("sklearn.neural_network", reason="the diff is of its classifier")
    from rnncore.estimators import RNNClassifier

    rng = np.random.default_rng(0)
    X = [rng.normal(k % 2, 0.5, (5 + k % 7, 3)) for k in range(60)]
    names = {"X": X, "y": np.arange(60) % 2, "RNNClassifier": RNNClassifier}
    names |= {"MLPClassifier": neural_network.MLPClassifier}
    names["padded_to_a_table"] = lambda X: np.array([np.resize(x, (11, 3)).ravel() for x in X])
    for code in sides(1):
        exec(code, names)
    assert type(names["model"]) is RNNClassifier
    assert names["model"].score(X, names["y"]) == 1


def test_the_diff_of_a_numpy_loop():
    layer = rnncore.RNN(3, 4, seed=0)
    W_ih, W_hh, b_ih, b_hh = layer.state_dict().values()
    x = np.random.default_rng(0).standard_normal((6, 2, 3), dtype=np.float32)
    given = dict(np=np, layer=layer, x=x, W_ih=W_ih, W_hh=W_hh, b=b_ih + b_hh, T=6, N=2, H=4)
    before, after = ({**given, "y": np.zeros((6, 2, 4), np.float32)} for _ in range(2))
    for code, names in zip(sides(2), (before, after), strict=True):
        exec(code, names)
    for name in ("y", "h"):
        np.testing.assert_allclose(before[name], after[name].reshape(before[name].shape), rtol=0, atol=ATOL)


def test_the_commands_name_extras_and_scripts_that_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    shell = "\n".join(block for page in PAGES for block in blocks(page, "sh"))
    extras = set(re.findall(r'pip install .*"\.\[(\w+)\]"', shell))
    assert {"cli", "test"} <= extras <= set(project["optional-dependencies"])
    assert set(re.findall(r"&& (rnncore) ", shell)) <= set(project["scripts"])


def test_build_options_exist():
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    named = {name for page in PAGES for name in re.findall(r"RNNCORE_[A-Z]+(?==| \|)", text(page))}
    options = set(re.findall(r"(?:option|set)\((RNNCORE_[A-Z]+)", cmake))
    assert {
        name for name in named if name in ("RNNCORE_BLAS", "RNNCORE_TESTS", "RNNCORE_SANITIZE")
    } <= options


# C ---------------------------------------------------------------------------------------------------------

# Where the sources are, the compilation, the archive, the link.
INSTALL, RECIPE = blocks("docs/howto/embedding.md", "sh")[:2]
SRC, *COMPILE, LINK = RECIPE.splitlines()
AS_DOCUMENTED = "rnncore/csrc"


def compiler(*names):
    for name in names:
        if not shutil.which(name):
            pytest.skip(f"needs {name}")


def recipe(command, folder, source=ROOT / "csrc"):
    """Run a command of the recipe in a folder, with the sources where they are."""
    assert AS_DOCUMENTED in SRC
    run("sh", "-c", f"{SRC.replace(AS_DOCUMENTED, str(source))}\n{command}", folder=folder)


@pytest.fixture
def program(c_build, tmp_path):
    """A function that gives what a C file prints: built as docs/howto/embedding.md does, with the library of CMake."""
    compiler("cc")
    shutil.copy(c_build / "librnncore.a", tmp_path)

    def output(source):
        (tmp_path / "main.c").write_text(source)
        recipe(LINK, tmp_path)
        return run("./main", folder=tmp_path).split()

    return output


def test_c_of_a_stream(program):
    # All gates have pre-activation 1, and no state reaches them: c' = s * c + s * tanh(1), h = s * tanh(c').
    s, c = 1 / (1 + math.exp(-1)), 0.0
    expected = []
    for _ in range(3):
        c = s * c + s * math.tanh(1)
        expected.append(f"{s * math.tanh(c):.6f}")
    assert program(blocks("docs/howto/embedding.md", "c")[1]) == expected


def test_c_of_the_embedding_guide(program):
    assert_guide(program(blocks("docs/howto/embedding.md", "c")[0]))


def assert_guide(words):
    """What the guide's program prints: the instruction set, last y, y of padding, last h."""
    isa, y_last, y_padding, h_last = words
    assert isa in {"avx512", "avx2", "neon", "scalar"}
    assert float(y_padding) == 0
    assert float(y_last) != 0
    assert float(h_last) != 0


def contents(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.full
def test_recipe_without_cmake_leaves_the_sources_alone(tmp_path):
    compiler("cc", "ar")
    source = shutil.copytree(ROOT / "csrc", tmp_path / "rnncore" / "csrc")
    before = contents(source)
    (tmp_path / "main.c").write_text(blocks("docs/howto/embedding.md", "c")[0])
    for command in (*COMPILE, LINK):
        recipe(command.replace("-O3", "-O1"), tmp_path, source)
    assert_guide(run("./main", folder=tmp_path).split())
    assert contents(source) == before


@pytest.mark.full
@pytest.mark.parametrize("inside", [False, True], ids=["installed", "inside another project"])
def test_cmake_of_the_embedding_guide(tmp_path, monkeypatch, inside):
    compiler("cmake", "cc")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "rnncore").symlink_to(ROOT)
    lines = blocks("docs/howto/embedding.md", "cmake")[0]
    if inside:
        lines = lines.replace("find_package(rnncore REQUIRED)", "add_subdirectory(rnncore)")
    else:
        run("sh", "-c", INSTALL, folder=tmp_path)
    (tmp_path / "CMakeLists.txt").write_text(lines)
    (tmp_path / "main.c").write_text(blocks("docs/howto/embedding.md", "c")[0])
    options = ["-DCMAKE_BUILD_TYPE=Debug", f"-DCMAKE_PREFIX_PATH={tmp_path / '.local'}"]
    run("cmake", "-S", ".", "-B", "out", *options, folder=tmp_path)
    run("cmake", "--build", "out", "--parallel", "2", folder=tmp_path)
    assert_guide(run("out/yours", folder=tmp_path).split())


# Pages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    words = re.sub(r"^```.*?^```", "", text(page), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r'\]\(([^)\s]+)\)|src(?:set)?="([^"]+)"', words)
    links = ["".join(link).split("#")[0] for link in found]
    folder = (ROOT / page).parent
    written = [
        ROOT / name for name in (*WRITTEN, *WRITTEN_PAGES)
    ]  # by the site's build, which checks its links
    targets = [(folder / link).resolve() for link in links if link and "://" not in link]
    broken = [path for path in targets if not path.exists() and not {path, *path.parents} & set(written)]
    assert broken == []


def test_every_decision_is_listed():
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\]\((\d{3}-[^)]+)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert listed == [path.name for path in sorted(folder.glob("0*.md"))]
