"""How long a function, a file of source and a line of a template may be; `make lint` says which are longer.

Ruff counts statements and branches, and limits neither of these. `python -m tests.limits` exits with 1 when one is over.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ("broker", "accounts", "sessions_app", "manage.py")
FUNCTION_LINES, FILE_LINES, TEMPLATE_CHARACTERS = 60, 400, 160
# Files that may be longer, each for a reason of its own.
LONG_FILES = {
    "broker/audit/offline.py": "the verifier of the record is handed out as one file that needs no other",
}


def functions(path: Path, text: str) -> Iterator[str]:
    """Say which functions of a file are too long; decorators do not count, docstrings do."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {lines} lines, more than {FUNCTION_LINES}"


def of_source(root: Path = ROOT) -> Iterator[str]:
    """Say what is too long in the source, and which exception is one no more. Migrations are history: they stay."""
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
    """Say which lines of templates are too long to be read."""
    for path in sorted((root / "templates").rglob("*.html")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if len(line) > TEMPLATE_CHARACTERS:
                yield f"{path.relative_to(root)}:{number}: {len(line)} characters, more than {TEMPLATE_CHARACTERS}"


def main() -> int:
    """Print what is over a limit."""
    found = [*of_source(), *of_templates()]
    sys.stdout.write("".join(f"{one}\n" for one in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
