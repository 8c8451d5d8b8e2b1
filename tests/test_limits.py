"""What is longer than the limits is found."""

from pathlib import Path

import pytest

from tests.limits import FILE_LINES, FUNCTION_LINES, of_source


@pytest.fixture
def house(tmp_path) -> Path:
    for folder in ("broker/audit", "accounts/migrations", "sessions_app"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "manage.py").write_text("")
    return tmp_path


def function(lines: int) -> str:
    return "class A:\n    @property\n    def long(self):\n" + "        x = 1\n" * (lines - 1)


def test_a_function_may_have_so_many_lines_and_no_more(house):
    (house / "accounts" / "a.py").write_text(function(FUNCTION_LINES))
    (house / "accounts" / "b.py").write_text(function(FUNCTION_LINES + 1))
    (found,) = of_source(house)
    assert found == f"accounts/b.py:3: long has {FUNCTION_LINES + 1} lines, more than {FUNCTION_LINES}"


def test_a_file_may_have_so_many_lines_and_no_more_but_for_migrations(house):
    (house / "broker" / "a.py").write_text("x = 1\n" * FILE_LINES)
    (house / "broker" / "b.py").write_text("x = 1\n" * (FILE_LINES + 1))
    (house / "accounts" / "migrations" / "0001_initial.py").write_text("x = 1\n" * (FILE_LINES + 1))
    assert list(of_source(house)) == [f"broker/b.py: {FILE_LINES + 1} lines, more than {FILE_LINES}"]
