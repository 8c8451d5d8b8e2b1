"""What is longer than the limits is found."""

from pathlib import Path

import pytest

from tests.limits import FILE_LINES, FUNCTION_LINES, LINE_CHARACTERS, SKIPS, of_lines, of_source


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


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("x = 1 #" + "x" * (LINE_CHARACTERS - 7), 0),
        ("x = 1 #" + "x" * (LINE_CHARACTERS - 6), 1),
        ("x = 1  # noqa: E501  # " + "why " * 40, 0),
        ("x = 1  # type: ignore[misc]  # " + "why " * 40, 0),
        ('    "' + "x" * LINE_CHARACTERS + '",', 0),
        (f"x = [1,2]  {SKIPS} skip", 1),
    ],
)
def test_a_line_that_can_be_broken_has_so_many_characters_and_no_more(house, line, found):
    (house / "tests").mkdir()
    for folder in ("accounts", "tests", "accounts/migrations"):
        (house / folder / "a.py").write_text(f"{line}\n")
    assert [one.partition(":")[0] for one in of_lines(house)] == ["accounts/a.py", "tests/a.py"] * found
