"""The linter for MariaDB. It finds non-obvious effects of a set of privileges."""

from __future__ import annotations

from collections.abc import Iterator

from sessions_app.policy.commands.findings import Finding, document_findings
from sessions_app.policy.commands.mariadb.document import MariaDBCommandSet, MariaDBRule
from sessions_app.policy.commands.mariadb.lines import SYSTEM
from sessions_app.policy.commands.mariadb.privileges import Privilege
from sessions_app.policy.commands.privileges.lint import effect_findings, name_findings, overlaps, values_of


def lint(document: MariaDBCommandSet) -> list[Finding]:
    """Return all findings, errors first, each in document order."""
    found = list(document_findings(document))
    for index, rule in enumerate(document.commands):
        for one in rule.privileges():
            found += _privilege_findings(document, rule, one, f"commands[{index}].grant")
        found += effect_findings(rule, index)
    found += overlaps(document)
    return sorted(dict.fromkeys(found), key=lambda finding: finding.severity != "error")


def _privilege_findings(
    document: MariaDBCommandSet, rule: MariaDBRule, one: Privilege, where: str
) -> Iterator[Finding]:
    databases = values_of(document, rule, one)[0] or ()
    if SYSTEM.intersection(map(str.lower, databases)):
        yield Finding(
            "error",
            "system",
            where,
            "system schemas contain accounts and settings that all users rely on",
            "remove the privilege: no grant can include it",
        )
    if one.privilege == "EXECUTE":
        yield Finding(
            "warning",
            "definer",
            where,
            f"`{one}` may run with the privileges of the account that defined it",
            "check what the routine does, and state that in the reason when you accept the finding",
        )
    yield from name_findings(document, rule, one, where)
