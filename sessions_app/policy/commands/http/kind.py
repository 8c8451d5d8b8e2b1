"""The http kind, as `policy.commands.kinds` registers it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sessions_app.policy.commands.answers import Allowed, CommandView, Refused
from sessions_app.policy.commands.findings import Finding
from sessions_app.policy.commands.http import decide as deciding
from sessions_app.policy.commands.http.covers import covers
from sessions_app.policy.commands.http.decide import CompiledSet
from sessions_app.policy.commands.http.document import HTTPCommandSet
from sessions_app.policy.commands.http.lint import lint
from sessions_app.policy.commands.http.starters import STARTERS
from sessions_app.policy.commands.starters import Starter


class HTTPKind:
    """Requests to an application behind a proxy."""

    name = "http"
    title = "HTTP"
    document = HTTPCommandSet
    starters: Sequence[Starter] = STARTERS
    hint = "GET /tickets/T-42"

    def compile(
        self, document: HTTPCommandSet, bindings: Mapping[str, str] | None, keep: Collection[int] | None
    ) -> CompiledSet:
        """The requests with values in place."""
        if bindings is None:
            return deciding.compile_open(document)
        return deciding.compile_set(document, bindings, keep)

    def decide(self, compiled: CompiledSet, line: str) -> Allowed | Refused:
        """Whether this request may be made."""
        return deciding.decide(compiled, line)

    def covers(self, parent: CompiledSet, child: CompiledSet) -> str | None:
        """Why one set is not within the other; None when it is."""
        return covers(parent, child)

    def describe(self, compiled: CompiledSet) -> list[CommandView]:
        """The requests with bound values."""
        return deciding.describe(compiled)

    def lint(self, document: HTTPCommandSet) -> list[Finding]:
        """What the requests allow beyond what they seem to."""
        return lint(document)


KIND = HTTPKind()
