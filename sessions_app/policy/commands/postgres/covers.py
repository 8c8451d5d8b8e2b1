"""Whether the privileges of one set are within those of another."""

from __future__ import annotations

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.postgres.decide import CompiledSet
from sessions_app.policy.commands.postgres.privileges import Privilege


def covers(parent: CompiledSet, child: CompiledSet) -> str | None:
    """Return a privilege of the child that the parent's role does not have; None if it has all of them.

    A privilege on a table covers its columns. The privileges of a template role are not examined: a template
    role is covered only by itself.
    """
    try:
        given, asked = frozenset(parent.privileges()), child.privileges()
    except ValueError as error:
        return str(error)
    for one in asked:
        if one not in given and _of_table(one) not in given:
            return f"{clip(str(one))} is not covered by the grant"
    return None


def _of_table(one: Privilege) -> Privilege | None:
    return Privilege("table", one.privilege, one.names[:2]) if one.kind == "column" else None
