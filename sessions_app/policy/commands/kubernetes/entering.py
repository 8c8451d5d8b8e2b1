"""Checks for `exec`, `attach` and `port-forward`: the container, the program and its arguments, and the
ports.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sessions_app.policy.commands.argv.lines import LineRefused, check_argv
from sessions_app.policy.commands.argv.matching import match_word, text_of
from sessions_app.policy.commands.argv.templates import Slot, Word
from sessions_app.policy.commands.argv.templates import fill as fill_word
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.kubernetes.api_request import KubeRequest, Sent
from sessions_app.policy.commands.kubernetes.checks import Check, Pairs, Taken, check_query
from sessions_app.policy.commands.kubernetes.rights import assignments
from sessions_app.policy.commands.kubernetes.texts import Text, fill, literal, slots_of
from sessions_app.policy.commands.kubernetes.wants import Differs, Said, Types, Values
from sessions_app.policy.commands.parameters import ValueRefused

_QUERY = frozenset(("container", "command", "stdin", "stdout", "stderr", "tty", "timeout"))


@dataclass(frozen=True, slots=True)
class Enters(Check):
    """A stream into a container.

    With `words`, the request runs a program (`exec`); without, it attaches to the running one.
    """

    container: Text
    stdin: bool
    tty: bool
    words: tuple[Word, ...] = ()

    def filled(self, values: Values) -> Enters:
        return replace(
            self,
            container=fill(self.container, values),
            words=tuple(fill_word(word, values) for word in self.words),
        )

    @property
    def names(self) -> tuple[str, ...]:
        inside = (piece.name for word in self.words for piece in word if isinstance(piece, Slot))
        return tuple(dict.fromkeys((*slots_of(self.container), *inside)))

    @property
    def limits(self) -> str:
        return "program" if self.words else "container"

    def take(self, request: KubeRequest, sent: Sent, types: Types, known: Values) -> Taken:
        check_query(request, _QUERY)
        if sent.body is not None:
            raise Differs("there must be no body")
        request.flag("stdout"), request.flag("stderr")
        for key, option, allowed in (("stdin", "-i", self.stdin), ("tty", "-t", self.tty)):
            if request.flag(key) and not allowed:
                raise Differs(f"the command does not allow {option}")
        try:
            known = Said(self.container).take(request.value("container"), types, known)
        except Differs as error:
            raise Differs(f"-c {error}") from None
        argv = request.values("command")
        options = [f"-{'i' * request.flag('stdin')}{'t' * request.flag('tty')}"]
        return Taken(
            self._match(argv, types, known),
            options=("-c", request.value("container"), *(one for one in options if one != "-")),
            program=argv,
        )

    def _match(self, argv: tuple[str, ...], types: Types, known: Values) -> Values:
        if len(argv) != len(self.words):
            raise Differs(
                f"the program must be {clip(text_of(self.words))}"
                if self.words
                else "`attach` can't name a program"
            )
        matched = dict(known)
        try:
            if argv:
                check_argv(argv)
            for spec, word in zip(self.words, argv, strict=True):
                match_word(spec, word, types, matched)
        except ValueRefused as error:
            raise Differs(str(error)) from None
        except LineRefused as error:
            raise Differs(error.reason) from None
        return matched

    def render(self, verb: str) -> tuple[Pairs, Sent]:
        pairs = [("command", word[0]) for word in self.words if isinstance(word[0], str)]
        pairs += [("container", literal(self.container) or "")]
        pairs += [
            (key, "true") for key, on in (("stdin", self.stdin), ("tty", self.tty), ("stdout", True)) if on
        ]
        return tuple(pairs), Sent()


@dataclass(frozen=True, slots=True)
class Forwards(Check):
    """Connections to listed ports of a pod. Each connection names its port inside the stream."""

    ports: tuple[Text, ...]

    def filled(self, values: Values) -> Forwards:
        return replace(self, ports=tuple(fill(text, values) for text in self.ports))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for text in self.ports for name in slots_of(text)))

    @property
    def limits(self) -> str:
        return "ports"

    def take(self, request: KubeRequest, sent: Sent, types: Types, known: Values) -> Taken:
        check_query(request, ("timeout", "ports"))
        if sent.body is not None:
            raise Differs("there must be no body")
        listed = self.listed(types)
        asked = request.value("ports")
        chosen = tuple(map(_port, asked.split(","))) if asked else listed
        for port in chosen:
            if port not in listed:
                raise Differs(
                    f"port {asked if port < 0 else port} is not one of {', '.join(map(str, listed))}"
                )
        return Taken(known, tuple(map(str, chosen)), ports=chosen)

    def listed(self, types: Types) -> tuple[int, ...]:
        """Return every port that the values of the placeholders can produce."""
        made = (
            literal(fill(text, values)) or ""
            for text in self.ports
            for values in assignments(slots_of(text), types)
        )
        return tuple(dict.fromkeys(int(port) for port in made if port.isdigit()))

    def render(self, verb: str) -> tuple[Pairs, Sent]:
        return (("ports", ",".join(literal(text) or "" for text in self.ports)),), Sent()


def _port(text: str) -> int:
    """Return a port number, or -1 if the text is not one."""
    return int(text) if len(text) <= 5 and text.isascii() and text.isdigit() else -1
