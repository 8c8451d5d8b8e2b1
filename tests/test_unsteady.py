"""What is unsteady twice in five runs is told."""

from __future__ import annotations

import pytest

from tests.unsteady import again_unsteady


@pytest.fixture(autouse=True)
def _kept_by_nobody_else(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_what_is_unsteady_once_is_not_so_again():
    assert again_unsteady(["a", "b"]) == []
    assert again_unsteady(["c"]) == []


def test_what_is_unsteady_in_the_first_and_the_last_of_five_runs_is_so_again():
    again_unsteady(["a", "b"])
    for _ in range(3):
        again_unsteady([])
    assert again_unsteady(["a", "c"]) == ["a"]


def test_what_was_unsteady_five_runs_ago_is_forgotten():
    again_unsteady(["a"])
    for _ in range(4):
        again_unsteady([])
    assert again_unsteady(["a"]) == []


def test_without_a_folder_for_state_it_is_kept_below_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    again_unsteady(["a"])
    assert (tmp_path / ".local" / "state" / "stint-tests" / "unsteady.json").exists()
