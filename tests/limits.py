"""The maximum lengths of functions, files and lines; `make lint` lists what exceeds them.

Ruff can't limit these. `python -m tests.limits` exits with 1 if anything exceeds its limit.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ("broker", "accounts", "sessions_app", "manage.py")
FUNCTION_LINES, FILE_LINES, LINE_CHARACTERS, TEMPLATE_CHARACTERS = 60, 400, 110, 160
SKIPS = "# " + "fmt:"
# Comments that must be at the end of the line that they are about, and don't count.
COMMENTS_OF_TOOLS = re.compile(r"  # (noqa|type):? .*")
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


def of_lines(root: Path = ROOT) -> Iterator[str]:
    """Yield the lines of source and tests that are too long, and those that the formatter skips.

    Comments for tools don't count, nor do lines with nothing to break, such as a URL or a digest.
    """
    for path in sorted(one for part in (*SOURCE, "tests") for one in (root / part).rglob("*.py")):
        if "migrations" in path.parts:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            place, text = f"{path.relative_to(root)}:{number}", COMMENTS_OF_TOOLS.sub("", line)
            if len(text) > LINE_CHARACTERS and " " in text.strip():
                yield f"{place}: {len(text)} characters, more than {LINE_CHARACTERS}"
            if SKIPS in line:
                yield f"{place}: remove `{SKIPS}`, and let the formatter decide"


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
    found = [*of_source(), *of_lines(), *of_templates()]
    sys.stdout.write("".join(f"{one}\n" for one in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
