# SPDX-License-Identifier: MIT
"""Where the house knows a cell, a store, an instruction set: the places of CONTRIBUTING.md and no other.

A probe is a name that only its own pieces have a reason to say. Who else says it is a room that the next one of its
kind would have to be threaded through.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    path
    for folder in ("csrc", "src")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".c", ".h", ".inc", ".def", ".py", ".pyx", ".pxi", ".pxd", ".pyi"}
    and "examples" not in path.parts
]
PAGE = ROOT / "CONTRIBUTING.md"

if not SOURCES or not PAGE.exists():
    pytest.skip("the sources are not here", allow_module_level=True)

# What is added: (row of the page, what its pieces say, how its files are called, other places and why they are none).
PROBES = {
    "cell": (
        "cell",
        r"\bgru_norm\b",
        {"<family>": "gru_norm"},
        # The manual names it, and the reader of files turns the words of an option into a name.
        {"csrc/include/rnncore.h", "csrc/io/file.c", "csrc/cells/gru.c"},
    ),
    "store": (
        "store of a matrix",
        r"\bRNNCORE_STORE_FLOAT16\b|\bX\(FLOAT16\)|_float16\b",
        {},
        {"csrc/base/half.h", "csrc/simd/vec.h"},
    ),
    "instruction set": (
        "instruction set",
        r"avx2",
        {"<isa>": "avx2"},
        # The wider one is compiled with the narrower one's instructions, too; an example in a docstring.
        {"csrc/isa/avx512_f32.c", "csrc/isa/avx512_f64.c", "src/rnncore/engine/backends.py"},
    ),
}


def places(row, names):
    """The sources that the page's table says, as paths."""
    (text,) = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith(f"| {row} |")]
    for word, value in names.items():
        text = text.replace(word, value)
    return set(re.findall(r"`((?:csrc|src)/[\w./]+)`", text))


@pytest.mark.parametrize("kind", PROBES)
def test_a_new_one_is_known_in_the_places_that_the_page_says(kind):
    row, probe, names, others = PROBES[kind]
    expected = places(row, names)
    assert expected and all((ROOT / path).exists() for path in expected)
    found = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if re.search(probe, path.read_text("utf-8"), re.IGNORECASE) and "bench" not in path.parts
    }
    assert found - others <= expected


def test_a_format_is_known_by_the_formats_alone():
    word = re.compile(r"\bkeras\b", re.IGNORECASE)
    found = {
        path.relative_to(ROOT / "src/rnncore").parts[0]
        for path in SOURCES
        if ROOT / "src" in path.parents and word.search(path.read_text("utf-8"))
    }
    # The benchmark's peers, and a sentence that compares an option of `forward` with Keras' word for it.
    assert found == {"formats", "bench", "layers"}
