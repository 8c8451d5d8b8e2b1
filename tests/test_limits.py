"""What is longer than the limits is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.limits import FILE_LINES, FUNCTION_LINES, LONG_FILES, TEMPLATE_CHARACTERS, of_source, of_templates


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


def test_an_exception_has_a_reason_and_ends_with_it(house):
    assert all(LONG_FILES.values())
    (listed,) = (name for name in LONG_FILES if name.startswith("broker/audit"))
    (house / listed).write_text("x = 1\n")
    assert list(of_source(house)) == [f"{listed}: 1 lines; take it off the list of long files"]


def test_a_line_of_a_template_may_have_so_many_characters_and_no_more(house):
    (house / "templates" / "ui").mkdir(parents=True)
    (house / "templates" / "ui" / "a.html").write_text("é" * TEMPLATE_CHARACTERS)
    (house / "templates" / "ui" / "b.html").write_text("<p>\n" + "é" * (TEMPLATE_CHARACTERS + 1))
    assert list(of_templates(house)) == ["templates/ui/b.html:2: 161 characters, more than 160"]
