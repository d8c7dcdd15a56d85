# SPDX-License-Identifier: MIT
"""The rule of commit messages, on messages made up here."""

import importlib.util
import pathlib
import shutil
import subprocess

import pytest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "commits.py"


@pytest.fixture(scope="module")
def commits():
    spec = importlib.util.spec_from_file_location("commits", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entry(subject, body, parents="a"):
    return f"1234567\x00{parents}\x00{subject}\x00{body}\x1e\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (entry("Add the rule", "Subjects were long.\n"), []),
        (entry("x" * 72, "Because."), []),
        (entry("x" * 73, "Because."), ["73 characters"]),
        (entry("Add the rule", "\n"), ["no body"]),
        (entry("Merge the branch", "", parents="a b"), []),
        (entry("x" * 80, "") + entry("y", "Because."), ["80 characters", "no body"]),
    ],
)
def test_the_rule(commits, text, words):
    found = commits.broken(text)
    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))


def test_commits_before_the_rule_are_left_alone(commits, tmp_path, monkeypatch, capsys):
    if not shutil.which("git"):
        pytest.skip("needs git")

    def commit(date, subject):
        monkeypatch.setenv("GIT_COMMITTER_DATE", date)
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        git(*who, "commit", "-q", "--allow-empty", "-m", subject)

    def git(*arguments):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    commit("2026-11-01T00:00:00+00:00", "x" * 90)
    assert commits.main(str(tmp_path)) == 0
    commit("2027-01-01T00:00:00+00:00", "Say nothing")
    capsys.readouterr()
    assert commits.main(str(tmp_path)) == 1
    said = capsys.readouterr().out
    assert "Say nothing" in said and "xxx" not in said
