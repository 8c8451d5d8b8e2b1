"""Privileges on a server's databases."""

from __future__ import annotations

from sessions_app.policy.commands.kind import CommandKind
from sessions_app.policy.commands.mariadb.decide import compile_open, compile_set, covers, decide, describe
from sessions_app.policy.commands.mariadb.document import MariaDBCommandSet
from sessions_app.policy.commands.mariadb.lint import lint
from sessions_app.policy.commands.mariadb.starters import STARTERS

KIND = CommandKind(
    name="mariadb",
    title="MariaDB",
    document=MariaDBCommandSet,
    starters=STARTERS,
    hint="UPDATE (status) ON shop.orders",
    with_values=compile_set,
    open=compile_open,
    decide=decide,
    covers=covers,
    describe=describe,
    lint=lint,
)
