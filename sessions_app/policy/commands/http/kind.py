"""Requests to an application behind a proxy."""

from __future__ import annotations

from sessions_app.policy.commands.http.compiling import compile_open, compile_set
from sessions_app.policy.commands.http.covers import covers
from sessions_app.policy.commands.http.decide import decide
from sessions_app.policy.commands.http.document import HTTPCommandSet
from sessions_app.policy.commands.http.lint import lint
from sessions_app.policy.commands.http.starters import STARTERS
from sessions_app.policy.commands.http.views import describe
from sessions_app.policy.commands.kind import CommandKind

KIND = CommandKind(
    name="http",
    title="HTTP",
    document=HTTPCommandSet,
    starters=STARTERS,
    hint="GET /tickets/T-42",
    with_values=compile_set,
    open=compile_open,
    decide=decide,
    covers=covers,
    describe=describe,
    lint=lint,
)
