"""Privileges in a database."""

from __future__ import annotations

from sessions_app.policy.commands.kind import CommandKind
from sessions_app.policy.commands.postgres.decide import compile_open, compile_set, covers, decide, describe
from sessions_app.policy.commands.postgres.document import PostgresCommandSet
from sessions_app.policy.commands.postgres.lint import lint
from sessions_app.policy.commands.postgres.starters import STARTERS

KIND = CommandKind(
    name="postgres",
    title="PostgreSQL",
    document=PostgresCommandSet,
    starters=STARTERS,
    hint="UPDATE (status) ON app.orders",
    with_values=compile_set,
    open=compile_open,
    decide=decide,
    covers=covers,
    describe=describe,
    lint=lint,
)
