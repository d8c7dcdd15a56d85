# SPDX-License-Identifier: MIT
"""Builds the playground: the C library in WebAssembly, and all that is not text as base64 in scripts.

python docs/playground/build.py                  needs rnncore itself, and ziglang, a C compiler (extra "docs")
python docs/playground/build.py --out FOLDER     the whole page there

Writes wasm.js and model.js beside index.html, which then opens in a browser, from a disk or from any server. The hash
that the page compares its own with is that of native.py on the machine that builds.
"""

import argparse
import base64
import gzip
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import native

import rnncore

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = (
    "index.html",
    "style.css",
    "library.js",
    "writer.js",
    "sheet.js",
    "handwriting.js",
    "lecture.js",
    "playground.js",
)
LICENSE = "// SPDX-License-Identifier: MIT\n"


def sources():
    """The C files of the library; those of other systems and instruction sets are empty."""
    folders = ("base", "model", "run", "io", "isa")
    return sorted(path for folder in folders for path in (ROOT / "csrc" / folder).glob("*.c"))


def compile_wasm(path):
    """Compile the library and page.c. Flags as in CMakeLists.txt: what decides the bits is the same."""
    flags = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-D_GNU_SOURCE", "-Wall", "-Werror"]
    link = ["-mexec-model=reactor", "-Wl,--gc-sections", "-s", f"-I{ROOT / 'csrc/include'}", "-o", path]
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi"]
    subprocess.run([*compiler, *flags, *link, *sources(), HERE / "page.c"], check=True)


def text(content):
    """Bytes in base64."""
    return base64.b64encode(content).decode()


def describe(size):
    """What the page says of a module of this size, and the hashes it should find."""
    return {
        "version": rnncore.__version__,
        "bytes": size,
        "machine": platform.machine(),
        "hashes": {isa: native.sha256(isa) for isa in rnncore.isas()},
    }


def build(out):
    """Compile, hash, write the scripts and, elsewhere than here, the page around them."""
    with tempfile.TemporaryDirectory() as folder:
        wasm = Path(folder) / "rnncore.wasm"
        compile_wasm(wasm)
        module = text(gzip.compress(wasm.read_bytes(), mtime=0))
        about = json.dumps(describe(wasm.stat().st_size), indent=4)
    model = text((HERE / "writer.safetensors").read_bytes())
    if out != HERE:
        out.mkdir(parents=True, exist_ok=True)
        for name in PAGE:
            shutil.copyfile(HERE / name, out / name)
    (out / "wasm.js").write_text(f'{LICENSE}const BUILD = {about};\nconst WASM = "{module}";\n', "utf-8")
    (out / "model.js").write_text(f'{LICENSE}const MODEL = "{model}";\n', "utf-8")


def main():
    """Build, and print the sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the page (default: here)")
    out = parser.parse_args().out.resolve()
    build(out)
    for name in (*PAGE, "wasm.js", "model.js"):
        print(f"{(out / name).stat().st_size:9,}  {out / name}")


if __name__ == "__main__":
    main()
