# SPDX-License-Identifier: MIT
"""Folders and files for the tests of the command."""

import pytest
from csv_files import days
from series import waves


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def good_csv(in_folder):
    """150 days with a season of six."""
    path = in_folder / "good.csv"
    rows = zip(days("%Y-%m-%d", 150), waves(150), strict=True)
    path.write_text("day,level\n" + "".join(f"{day},{value:.4f}\n" for day, value in rows))
    return path
