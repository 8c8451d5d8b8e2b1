"""The linter's findings."""

from __future__ import annotations

from sessions_app.policy.commands.codes import CODES
from sessions_app.policy.commands.ssh.table import table
from sessions_app.web.docs.reference.entries import Entry, Page, Part


def page() -> Page:
    """Return the page with the code of every finding."""
    return Page(
        "findings",
        "Linter findings",
        "Every finding about command sets: what it means and how to fix it. An error blocks publishing; a"
        " warning can be accepted with a reason.",
        [
            Part("Commands", [_of_code(code) for code in CODES]),
            Part(
                "Programs of SSH commands",
                [_of_program(code) for code in table().dangers if code not in CODES],
                "What the linter knows about programs, their options and their operands.",
            ),
        ],
    )


def _of_code(code: str) -> Entry:
    known = CODES[code]
    return Entry(code, known.meaning, [("Severity", known.severity), ("Fix", known.fix)])


def _of_program(code: str) -> Entry:
    danger = table().dangers[code]
    facts = [("Severity", danger.severity), ("Fix", _sentence(danger.fix))]
    return Entry(code, _sentence(f"the program or its use {danger.why}"), facts)


def _sentence(clause: str) -> str:
    return f"{clause[:1].upper()}{clause[1:]}."
