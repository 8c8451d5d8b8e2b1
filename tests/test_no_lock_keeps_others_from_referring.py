"""Row locks leave keys free, so that no transaction waits for another during its commit, while it locks the
record.

A row that refers to another locks its key at commit (FOR KEY SHARE). FOR UPDATE would make it wait, and the
transaction that holds that lock may itself be waiting for the record.
https://www.postgresql.org/docs/15/explicit-locking.html#LOCKING-ROWS
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [
    path for room in ("broker", "accounts", "sessions_app") for path in sorted((ROOT / room).rglob("*.py"))
]


def locks(path: Path) -> Iterator[tuple[int, bool]]:
    """Yield each row lock in a file: its line, and whether it leaves the key free."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Attribute(attr="select_for_update")):
                yield node.lineno, "no_key=True" in map(ast.unparse, node.keywords)
            case ast.Constant(value=str(text)) if "FOR UPDATE" in text:
                yield node.lineno, False


def test_every_lock_leaves_the_key_of_its_row_free():
    found = {f"{path.relative_to(ROOT)}:{line}": free for path in FILES for line, free in locks(path)}
    assert len(found) > 50
    assert [place for place, free in found.items() if not free] == []


@pytest.mark.parametrize(
    "source", ["rows.select_for_update()", "rows.select_for_update(no_key=False)", '"SELECT 1 FOR UPDATE"']
)
def test_a_lock_of_the_whole_row_is_found(tmp_path, source):
    (tmp_path / "one.py").write_text(source, encoding="utf-8")
    assert list(locks(tmp_path / "one.py")) == [(1, False)]
