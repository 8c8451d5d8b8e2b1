"""The maximum lengths of functions, source files and template lines; `make lint` lists what exceeds them.

Ruff can't limit these. `python -m tests.limits` exits with 1 if anything exceeds its limit.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ("broker", "accounts", "sessions_app", "manage.py")
FUNCTION_LINES, FILE_LINES, TEMPLATE_CHARACTERS = 60, 400, 160
# Files that may be longer, with the reasons.
LONG_FILES = {
    "broker/audit/events.py": "an enum can't be divided, and each event is described where it is declared",
    "broker/audit/offline.py": "the verifier of the record is distributed as a single file",
}


def functions(path: Path, text: str) -> Iterator[str]:
    """Yield the functions of a file that are too long; docstrings count, decorators do not."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {lines} lines, more than {FUNCTION_LINES}"


def of_source(root: Path = ROOT) -> Iterator[str]:
    """Yield what is too long in the source, and obsolete exceptions. Migrations are not checked: they never
    change.
    """
    for path in sorted(one for part in SOURCE for one in (root / part, *(root / part).rglob("*.py"))):
        if path.suffix != ".py" or "migrations" in path.parts:
            continue
        name, text = path.relative_to(root), path.read_text()
        lines = len(text.splitlines())
        if lines > FILE_LINES and str(name) not in LONG_FILES:
            yield f"{name}: {lines} lines, more than {FILE_LINES}"
        if lines <= FILE_LINES and str(name) in LONG_FILES:
            yield f"{name}: {lines} lines; take it off the list of long files"
        yield from functions(name, text)


def of_templates(root: Path = ROOT) -> Iterator[str]:
    """Yield the template lines that are too long."""
    for path in sorted((root / "templates").rglob("*.html")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if len(line) > TEMPLATE_CHARACTERS:
                yield (
                    f"{path.relative_to(root)}:{number}: {len(line)} characters, more than"
                    f" {TEMPLATE_CHARACTERS}"
                )


def main() -> int:
    """Print what exceeds a limit, and return the exit status."""
    found = [*of_source(), *of_templates()]
    sys.stdout.write("".join(f"{one}\n" for one in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
