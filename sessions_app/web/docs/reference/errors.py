"""The errors that the API, the gateways and OAuth return: each code with its meaning and its status.

The codes are read from the source of the error classes, because not every process loads all of them.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from django.conf import settings

from broker.kernel.problem_codes import OTHER_CODES
from sessions_app.web.docs.reference.entries import Entry, Page, Part

_SOURCES = ("accounts", "broker/audit", "broker/kernel", "sessions_app")
_HAS_CODE = re.compile(r'^    (?:default_)?code(?:: ClassVar\[str\])? = "', re.MULTILINE)
# The base class of Django REST framework's errors.
_FRAMEWORK = "APIException"
_CODE, _STATUS = ("code", "default_code"), ("status", "status_code")


@dataclass(frozen=True, slots=True)
class Error:
    """One error class. ``code`` and ``status`` are None if the class inherits them."""

    name: str
    bases: Sequence[str]
    says: str
    code: str | None
    status: int | None


def page() -> Page:
    """Return the page with every code, by status. A code with several statuses is listed under the
    highest one.
    """
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for code, status, says in _codes():
        found[code].append((status, says))
    by_status: dict[int, list[Entry]] = defaultdict(list)
    for code, said in sorted(found.items()):
        by_status[max(status for status, _ in said)].append(_entry(code, said))
    return Page(
        "errors",
        "API errors",
        "Every error code with its HTTP status, what it means, and what to do.",
        [Part(f"{status} {HTTPStatus(status).phrase}", by_status[status]) for status in sorted(by_status)],
    )


def _entry(code: str, said: Sequence[tuple[int, str]]) -> Entry:
    statuses = sorted({f"{status}" for status, _ in said})
    return Entry(
        code, "\n\n".join(dict.fromkeys(says for _, says in said)), [("Status", ", ".join(statuses))]
    )


def _codes() -> Iterator[tuple[str, int, str]]:
    """Yield the code, the status and the meaning of every error."""
    yield from ((code, status, says) for code, (status, says) in OTHER_CODES.items())
    errors = {error.name: error for path in _files() for error in _errors(path)}
    for error in errors.values():
        if error.code and any(base in errors or base == _FRAMEWORK for base in error.bases):
            yield error.code, _status(error, errors), error.says


def _files() -> Iterator[Path]:
    for folder in _SOURCES:
        for path in sorted((settings.BASE_DIR / folder).rglob("*.py")):
            if _HAS_CODE.search(path.read_text(encoding="utf-8")):
                yield path


def _errors(path: Path) -> Iterator[Error]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            said = dict(_constants(node))
            code = next((str(said[name]) for name in _CODE if name in said), None)
            status = next((int(str(said[name])) for name in _STATUS if name in said), None)
            if code is not None or status is not None:
                bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
                says = inspect.cleandoc(ast.get_docstring(node) or "").replace("``", "`")
                yield Error(node.name, bases, says, code, status)


def _constants(node: ast.ClassDef) -> Iterator[tuple[str, object]]:
    for line in node.body:
        target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
        value = getattr(line, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
            yield target.id, value.value


def _status(error: Error, errors: Mapping[str, Error]) -> int:
    if error.status is not None:
        return error.status
    return next((_status(errors[base], errors) for base in error.bases if base in errors), 400)
