"""The prepared statements and portals of one connection, by the names that its client gave them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sessions_app.gateways.postgres import binary, wire
from sessions_app.gateways.postgres.attempts import Run
from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.postgres.statements import Passes, Prepared, Runs

MAX_NAME = 63


@dataclass(slots=True, eq=False)
class Entry:
    """A prepared statement: its text as the client sent it, the decision on it, and the OIDs of its
    parameters' types, 0 for those that only the target knows.

    On the target, a statement that may be held at its COMMIT returns ``hidden`` more columns.
    """

    text: str
    decided: Prepared | Passes
    types: Sequence[int]
    hidden: int = 0

    def lacks_types(self, formats: Sequence[int], values: Sequence[bytes | None]) -> bool:
        """Whether a binary value can't be read without asking the target for its type."""
        return wire.BINARY in formats and any(
            value is not None and kind == wire.BINARY and not self._type(at)
            for at, (kind, value) in enumerate(zip(formats, values, strict=True))
        )

    def _type(self, at: int) -> int:
        return self.types[at] if at < len(self.types) else 0

    def bound(
        self, formats: Sequence[int], values: Sequence[bytes | None]
    ) -> tuple[list[str | None], Runs | Refused]:
        """Return the values as text, and the decision on the statement with them.

        Raises ValueError for values that can't be read.
        """
        if isinstance(self.decided, Passes):
            raise AssertionError  # noqa: TRY004  # it has no values
        texts = [
            None if value is None else self._text(at, kind, value)
            for at, (kind, value) in enumerate(zip(formats, values, strict=True))
        ]
        runs = self.decided.bind(texts)
        if isinstance(runs, Runs) and runs.text != self.decided.text:
            # The text on the target belongs to another command, which casts the values differently.
            runs = Refused(
                "two commands allow this statement in different ways: write the values in the text",
                None,
                "value",
            )
        return texts, runs

    def _text(self, at: int, kind: int, value: bytes) -> str:
        if kind == wire.BINARY:
            return binary.decode(self._type(at), value)
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"the value of ${at + 1} is not UTF-8") from error


@dataclass(slots=True, eq=False)
class Portal:
    """A portal, and what it does. ``hidden`` is as in `Entry`. ``run`` is the last execution of a command.

    FETCH would execute a portal by its name without a decision. So a portal with a name exists on the target
    only once an Execute of it was allowed. Until then, ``unbound`` is its Bind message, and ``entry`` the
    statement of that message.
    """

    name: str
    does: Runs | Passes
    hidden: int = 0
    run: Run | None = None
    unbound: wire.Bind | None = None
    entry: Entry | None = None

    def bind(self, name: str) -> bytes:
        """Return the Bind message for a portal of this name on the target."""
        if self.unbound is None:
            raise AssertionError
        return self.unbound.encoded(name, self.unbound.statement, self.hidden)


def is_name(name: str) -> bool:
    """Whether a statement or portal may have this name.

    A server cuts names after 63 bytes, in its own encoding. So two names that are longer, or not ASCII, could
    be the same there.
    """
    return len(name) <= MAX_NAME and name.isascii()


class Named:
    """All statements and portals of a connection, by the names that they also have on the target."""

    def __init__(self) -> None:
        self._statements: dict[str, Entry] = {}
        self._portals: dict[str, Portal] = {}

    def statement(self, name: str) -> Entry | None:
        """Return a prepared statement."""
        return self._statements.get(name)

    def add(self, name: str, entry: Entry) -> Callable[[], None]:
        """Add a prepared statement, and return a function that restores the previous state."""
        before = self._statements.get(name)
        self._statements[name] = entry
        return lambda: _put_back(self._statements, name, before)

    def forget_unnamed(self) -> None:
        """Drop the unnamed statement, as the simple protocol does."""
        self._statements.pop("", None)

    def portal(self, name: str) -> Portal | None:
        """Return a portal; None if it can't be bound because its statement was closed or replaced."""
        portal = self._portals.get(name)
        if portal is None or portal.unbound is None:
            return portal
        return portal if self._statements.get(portal.unbound.statement) is portal.entry else None

    def drop_portal(self, name: str) -> Run | None:
        """Drop a portal, and return its last execution."""
        portal = self._portals.pop(name, None)
        return portal.run if portal else None

    def open(self, name: str, portal: Portal) -> Callable[[], None]:
        """Add a portal, and return a function that restores the previous state."""
        before = self._portals.get(name)
        self._portals[name] = portal
        return lambda: _put_back(self._portals, name, before)

    def close_statement(self, name: str) -> Callable[[], None]:
        """Return a function that drops a statement, unless its name has been reused."""
        found = self._statements.get(name)

        def drop() -> None:
            if self._statements.get(name) is found:
                self._statements.pop(name, None)

        return drop

    def close_portals(self) -> list[Portal]:
        """Drop all portals, and return them."""
        portals = list(self._portals.values())
        self._portals.clear()
        return portals


def _put_back(named: dict[str, Any], name: str, before: object) -> None:
    if before is None:
        named.pop(name, None)
    else:
        named[name] = before
