# SPDX-License-Identifier: MIT
"""Build the package and test it with the Pythons of Debian's coming release, in a system of their own.

Usage: python tools/pythons.py FOLDER [VERSION ...]

FOLDER becomes a root file system (0.6 GB; one that is there already is used again). Every VERSION (default: 3.13 3.14)
gets an environment with NumPy, pytest and hypothesis alone, builds the package and runs the tests of
tools/wheel.py. Needs Linux, root, debootstrap and a network.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from wheel import TESTS

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("3.13", "3.14")
MIRROR = "http://deb.debian.org/debian"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def run(*command):
    subprocess.run(list(map(str, command)), check=True)


def make_system(folder, versions):
    """Debian with a compiler and the Pythons; it trusts whom this machine trusts."""
    pythons = [f"python{version}-{part}" for version in versions for part in ("dev", "venv")]
    packages = ",".join(["ca-certificates", "gcc", "libc6-dev", *pythons])
    run("debootstrap", "--variant=minbase", f"--include={packages}", "sid", folder, MIRROR)
    for file in ("/etc/resolv.conf", CERTIFICATES):
        shutil.copy(file, folder / file[1:])


def tested(folder, version):
    """Whether the tests pass; their closing line is printed."""
    place = Path("/", f"with-{version}")
    shutil.rmtree(folder / place.relative_to("/"), ignore_errors=True)
    ours = shutil.ignore_patterns(".git", "build", "dist", "__pycache__")
    shutil.copytree(ROOT, folder / place.relative_to("/") / "source", ignore=ours, symlinks=True)
    tests = " ".join(f"tests/{name}" for name in TESTS)
    script = f"""set -e
        python{version} -m venv {place}/venv
        {place}/venv/bin/pip install --quiet {place}/source pytest hypothesis threadpoolctl
        mkdir {place}/away
        cd {place}/source && cp -R tests examples pyproject.toml ../away && cd ../away
        {place}/venv/bin/python -m pytest -q -p no:cacheprovider {tests}"""
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/bin",
        "HOME": "/root",
        "PIP_CERT": CERTIFICATES,
        "SSL_CERT_FILE": CERTIFICATES,
    }
    done = subprocess.run(
        ["chroot", folder, "bash", "-c", script], env=environment, stdout=subprocess.PIPE, text=True
    )
    lines = done.stdout.strip().splitlines() or ["no tests"]
    if done.returncode:
        print("\n".join(lines[-60:]))
    print(f"Python {version}: {lines[-1]}", flush=True)
    return done.returncode == 0


def main(folder, versions):
    """Test with all; True if all passed."""
    if os.geteuid():
        sys.exit("expected root, for chroot")
    if not folder.exists():
        make_system(folder, versions)
    for place in ("proc", "dev"):
        run("mount", "--bind", f"/{place}", folder / place)
    try:
        passed = [tested(folder, version) for version in versions]
        return all(passed)
    finally:
        for place in ("dev", "proc"):
            run("umount", folder / place)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python tools/pythons.py FOLDER [VERSION ...]")
    sys.exit(not main(Path(sys.argv[1]).resolve(), tuple(sys.argv[2:]) or VERSIONS))
