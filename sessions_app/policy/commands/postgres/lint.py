"""The linter for PostgreSQL. It finds unexpected effects of a command set."""

from __future__ import annotations

from collections.abc import Iterator

from sessions_app.policy.commands.findings import Finding, document_findings
from sessions_app.policy.commands.postgres.document import PostgresCommandSet, PostgresRule
from sessions_app.policy.commands.postgres.lint_statements import statement_findings
from sessions_app.policy.commands.postgres.privileges import Privilege
from sessions_app.policy.commands.postgres.roles import SCHEDULERS, SYSTEM_SCHEMAS, WIDE, role_fault
from sessions_app.policy.commands.privileges.lint import effect_findings, name_findings, overlaps, values_of


def lint(document: PostgresCommandSet) -> list[Finding]:
    """Return all findings, errors first, each in document order."""
    found = list(document_findings(document))
    found += statement_findings(document) if document.statements else _set_findings(document)
    return sorted(dict.fromkeys(found), key=lambda finding: finding.severity != "error")


def _set_findings(document: PostgresCommandSet) -> Iterator[Finding]:
    for index, rule in enumerate(document.commands):
        if not isinstance(rule, PostgresRule):
            continue
        where = f"commands[{index}].grant"
        for one in rule.privileges():
            yield from _privilege_findings(document, rule, one, where)
        yield from effect_findings(rule, index)
    yield from overlaps(document)


def _privilege_findings(
    document: PostgresCommandSet, rule: PostgresRule, one: Privilege, where: str
) -> Iterator[Finding]:
    values = values_of(document, rule, one)
    if one.kind == "role":
        yield from _role_findings(values[0], one, where)
        return
    if SYSTEM_SCHEMAS.intersection(values[0] or ()) and one.kind != "database":
        yield Finding(
            "error",
            "system",
            where,
            "system schemas contain functions that read files and end other sessions, and objects that "
            "all users rely on",
            "remove it: all users already have the harmless privileges on these schemas",
        )
    if SCHEDULERS.intersection(values[0] or ()) and one.kind != "database":
        yield Finding(
            "error",
            "scheduler",
            where,
            "scheduled jobs run after the grant ends, and users of the schema can add jobs",
            "remove it: put the task into a function in another schema, owned by the owner of this "
            "schema, and grant EXECUTE on the function",
        )
    yield from name_findings(document, rule, one, where)


def _role_findings(values: tuple[str, ...] | None, one: Privilege, where: str) -> Iterator[Finding]:
    for role in values or ():
        if fault := role_fault(role):
            yield Finding(
                "error",
                "role",
                where,
                f"`{role}` {fault}, so no other limit would apply to its holder",
                "create a template role with the needed privileges, and name that role",
            )
        elif role in WIDE:
            yield Finding(
                "warning",
                "wide_role",
                where,
                f"`{role}` reads every table of every database, including future tables",
                "grant SELECT on the tables that are needed, or create a template role for them",
            )
    if values is None:
        yield Finding(
            "error",
            "free_role",
            where,
            f"{one} lets the requester choose any role of the server",
            "write the role, or a choice of roles",
        )
