"""Words that user-facing text must not contain, with replacements. `python -m tests.words` prints each place,
and exits with 1 if there are any.

Spelling is checked by `typos`. It reads the documents, the templates, the comments, and each string of two
words or more in the code, with its docstrings.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

# Each pattern, and its replacement.
BANNED = {
    r"doors?": "entry point, endpoint, or gateway",
    r"somebody": "someone, or the role: approver, holder, requester",
    r"told|tells?(?! (?:them|it|these|those|the two|\w+) apart)": "notify, show, or return",
    r"nurser(?:y|ies)": "fork server",
    r"glass broken|broken glass|emergency access": "break-glass access",
    r"by halves": "incomplete",
    r"minutely": "every minute",
    r"(?:take|takes|took|taken|taking) back": "revoke, withdraw, or undo the change",
    r"(?:forget|forgets|forgot|forgotten)(?! your password)": "delete, purge, or drop",
    r"stands?(?! for| in for| out| alone| by)": "is, or remains",
    r"in the guise": "as",
}
_ANY = re.compile(
    "|".join(rf"(?P<w{number}>\b(?:{word})\b)" for number, word in enumerate(BANNED)), re.IGNORECASE
)
_HINTS = list(BANNED.values())
_CODE = re.compile(r"`+[^`]*`+|\{[{%#].*?[}%#]\}|<[^>]*>|https?://\S+|\[[^\]]*\]\(tests/[^)]*\)", re.DOTALL)
_SQL = re.compile(r"\b(?:SELECT|INSERT INTO|UPDATE|CREATE)\b")
_READ = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "THREAT_MODEL.md",
    "templates",
    "accounts",
    "broker",
    "sessions_app",
)


def main() -> int:
    """Print each banned word with its place, and return the exit status."""
    found = [f"{where}: {word!r}: write {hint}" for path in _files() for where, word, hint in _in(path)]
    print("\n".join(found))
    return 1 if found else 0


def _files() -> Iterator[Path]:
    listed = subprocess.check_output(["git", "ls-files", *_READ], text=True)
    for name in listed.splitlines():
        if name.endswith((".md", ".html", ".txt", ".py")) and "/migrations/" not in name:
            yield Path(name)


def _in(path: Path) -> Iterator[tuple[str, str, str]]:
    for line, text in _texts(path):
        for below, word, hint in found_in(text):
            yield f"{path}:{line + below}", word, hint


def found_in(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield each banned word with the number of lines above it, and what to write instead. Code is
    not read.
    """
    plain = _CODE.sub(lambda code: "\n" * code[0].count("\n"), text)
    for match in _ANY.finditer(plain):
        yield plain.count("\n", 0, match.start()), match[0], _HINTS[int((match.lastgroup or "w0")[1:])]


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    text = path.read_text()
    if path.suffix != ".py":
        yield 1, text
        return
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and " " in node.value.strip()
            and not _SQL.search(node.value)
        ):
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


if __name__ == "__main__":
    sys.exit(main())
