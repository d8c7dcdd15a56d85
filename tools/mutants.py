# SPDX-License-Identifier: MIT
"""Mutation testing of the C core: small faults put into cells, vmath, tile and the sequences, which tests must see.

Usage: python tools/mutants.py [--count 200] [--seed 1] [--build build/mutants] [--file TEXT]

A mutant is one changed token: an operator, an integer, a statement taken out, two arguments swapped. A mutated kernel
is compiled for plain C alone, beside the sound ones of the other instruction sets, and must differ from them, from the
naive loop, from the hashes of the sound library or from the measure of an error bound in one of the tests below; one
that does not compile does not count, one that hangs is seen. The sample is drawn by the seed, results are kept in
BUILD/mutants.jsonl, and a run that was ended goes on where it was. The last lines name the survivors. Run it weekly.
"""

import argparse
import functools
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KERNELS = [f"cells/{name}.c" for name in ("rnn", "lstm", "gru", "lstm_norm", "gru_norm")] + [
    "simd/vmath.h",
    "simd/tile.h",
]
SEQUENCES = ["run/sequence.c", "run/sequence_backward.c"]
FLAGS = ["-std=c11", "-O1", "-w", "-D_GNU_SOURCE", "-ffp-contract=off", "-fno-math-errno"]
LIMIT = 120  # seconds of a test, all of which end in a tenth of it

OPERATORS = {
    **{" + ": " - ", " - ": " + ", " * ": " + ", " / ": " * ", " < ": " <= ", " <= ": " < ", " > ": " >= "},
    **{
        " >= ": " > ",
        " == ": " != ",
        " != ": " == ",
        " && ": " || ",
        " || ": " && ",
        " += ": " -= ",
        "++": "--",
    },
}
OPERATOR = re.compile("|".join(re.escape(text) for text in sorted(OPERATORS, key=len, reverse=True)))
INTEGER = re.compile(r"(?<![\w.])\d+(?![\w.])")
STATEMENT = re.compile(
    r"(?<=[;{}\n]\n)[ ]+(?!return|const|static|else|case|default|break|goto)[\w(*][^;{}\n]*;"
)
DECLARATION = re.compile(r"^\s*\w+(\s+|\s*\*)\w+(\[.*\])?( =|;|,)")
ARGUMENTS = re.compile(r"(?<=[(,])( ?)([\w.>-]+), ([\w.>-]+)(?=[,)])")
COMMUTATIVE = re.compile(r"v_(fma|mul|add)\($")  # in their first two arguments


def blanked(text):
    """The text with comments, strings and directives as blanks, so that places stay."""
    hidden = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|^#(?:[^\n]*\\\n)*[^\n]*', re.S | re.M)
    return hidden.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def mutants_of(path):
    """(path, place, old, new) of every mutant of a file."""
    text = blanked((ROOT / "csrc" / path).read_text(encoding="utf-8"))
    for match in OPERATOR.finditer(text):
        yield path, match.start(), match[0], OPERATORS[match[0]]
    for match in INTEGER.finditer(text):
        for step in (1, -1):
            if int(match[0]) + step >= 0:
                yield path, match.start(), match[0], str(int(match[0]) + step)
    for match in STATEMENT.finditer(text):
        if not DECLARATION.match(match[0]):
            yield path, match.start(), match[0], ";"
    for match in ARGUMENTS.finditer(text):
        commutes = COMMUTATIVE.search(text, match.start() - 7, match.start())
        if match[2] != match[3] and not commutes and not INTEGER.fullmatch(match[2] + match[3]):
            yield path, match.start(), match[0], f"{match[1]}{match[3]}, {match[2]}"


def name_of(mutant):
    """One line about a mutant: its place, what was there and what is."""
    path, place, old, new = mutant
    line = (ROOT / "csrc" / path).read_text(encoding="utf-8").count(
        "\n", 0, place + len(old) - len(old.lstrip())
    ) + 1
    return f"{path}:{line}: {old.strip()} -> {new.strip()}"


class Bench:
    """A sound build, a copy of its sources that takes a mutant at a time, and the tests."""

    def __init__(self, build):
        self.build = build
        self.tree = build / "tree"
        options = ["-DRNNCORE_TESTS=ON", "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS=-O1 -w", "-G", "Ninja"]
        if not (build / "CMakeCache.txt").exists():
            subprocess.run(
                ["cmake", "-S", ROOT, "-B", build, *options], check=True, stdout=subprocess.DEVNULL
            )
        subprocess.run(["cmake", "--build", build], check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(self.tree, ignore_errors=True)
        shutil.copytree(ROOT / "csrc", self.tree / "csrc")
        shutil.copytree(ROOT / "tests" / "c", self.tree / "tests" / "c")
        self.sound = subprocess.run([build / "bits"], check=True, stdout=subprocess.PIPE).stdout

    def compile(self, source, *more):
        """Compiles a source of the tree; whether that worked."""
        target = self.build / (Path(source).stem + "-mutant.o")
        command = ["cc", *FLAGS, *more, f"-I{self.tree}/csrc/include", "-c", self.tree / source, "-o", target]
        return target if subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0 else None

    def passes(self, test, objects):
        """Whether a test, linked with these objects before the sound library, sees nothing."""
        program = self.build / "mutant"
        made = self.build / "tests" / "c" / "CMakeFiles"
        own = [made / f"{test}.dir" / f"{test}.c.o", made / "rnncore_test_model.dir" / "model.c.o"]
        link = ["cc", "-o", program, *own, *objects, self.build / "librnncore.a", "-lm", "-lpthread"]
        subprocess.run(link, check=True)
        return self.survives([program, "quick"], self.sound if test == "bits" else None)

    @staticmethod
    def survives(command, expected=None):
        """Whether a program ends well, in time, with the output that is expected."""
        try:
            ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            return False
        return ran.returncode == 0 and expected in (None, ran.stdout)

    def ulp_passes(self):
        """Whether the error bounds of activations hold with the tree's vmath."""
        for number, stride in (("F32", "997"), ("F64", "97")):
            more = ["-DRC_ISA_SCALAR=1", f"-DRC_{number}=1"]
            program = self.build / "mutant"
            made = self.compile("tests/c/vmath_ulp.c", *more)
            if made is None:
                return False
            subprocess.run(
                ["cc", "-o", program, made, self.build / "librnncore.a", "-lm", "-lpthread"], check=True
            )
            if not self.survives([program, stride]):
                return False
        return True

    def judge(self, mutant):
        """killed, survived, or none: it is no program."""
        path, place, old, new = mutant
        source = self.tree / "csrc" / path
        text = source.read_text(encoding="utf-8")
        source.write_text(text[:place] + new + text[place + len(old) :], encoding="utf-8")
        try:
            return self.verdict(path)
        finally:
            source.write_text(text, encoding="utf-8")

    def verdict(self, path):
        """What the tests say of the tree as it is, the quick ones first."""
        kernels = path in KERNELS
        sources = [f"csrc/isa/scalar_{kind}.c" for kind in ("f32", "f64")] if kernels else [f"csrc/{path}"]
        objects = []
        for source in sources:
            made = self.compile(source)
            if made is None:
                return "none"
            objects.append(made)
            if not self.passes("bits", objects):
                return "killed"
        tests = (
            "test_params",
            "test_tiles",
            "test_segments",
            "test_core",
            "test_refusals",
            "test_layout",
            "test_blas",
        ) + (() if kernels else ("test_cancel", "test_team"))
        if not all(self.passes(test, objects) for test in tests):
            return "killed"
        return "survived" if path != "simd/vmath.h" or self.ulp_passes() else "killed"


def interval(killed, judged):
    """Wilson's 95 % interval of a share, in percent."""
    z, share = 1.96, killed / judged
    middle = (share + z * z / (2 * judged)) / (1 + z * z / judged)
    half = z * math.sqrt(share * (1 - share) / judged + z * z / (4 * judged * judged)) / (1 + z * z / judged)
    return 100 * (middle - half), 100 * min(1, middle + half)


def show(results):
    """Prints the rate and the survivors."""
    judged = [(name, verdict) for name, verdict in results.items() if verdict != "none"]
    survivors = [name for name, verdict in judged if verdict == "survived"]
    killed = len(judged) - len(survivors)
    low, high = interval(killed, len(judged))
    print(f"{killed} of {len(judged)} killed: {100 * killed / len(judged):.1f} % ({low:.1f} to {high:.1f})")
    print("\n".join(survivors))


def main():
    """Runs what the module's docstring says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "mutants")
    parser.add_argument("--file", default="", help="only files whose path has this text")
    options = parser.parse_args()
    options.build.mkdir(parents=True, exist_ok=True)
    log = options.build / "mutants.jsonl"
    done = dict(map(json.loads, log.read_text(encoding="utf-8").splitlines())) if log.exists() else {}
    everything = [m for path in KERNELS + SEQUENCES if options.file in path for m in mutants_of(path)]
    random.Random(options.seed).shuffle(everything)
    bench = functools.cache(lambda: Bench(options.build.resolve()))
    results = {}
    for mutant in everything[: options.count]:
        name = name_of(mutant)
        if name not in done:
            done[name] = bench().judge(mutant)
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps([name, done[name]]) + os.linesep)
            print(f"{done[name]:8} {name}", flush=True)
        results[name] = done[name]
    print(f"{len(everything)} mutants, {len(results)} tried")
    show(results)


if __name__ == "__main__":
    sys.exit(main())
