"""Split a kubectl line into its words, its namespaces, its options and the program after `--`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sessions_app.policy.commands.argv.lines import split_words
from sessions_app.policy.commands.characters import clip, hidden_at, show
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.kubernetes.texts import Text, namespace_text

_WORD = re.compile(r"[A-Za-z0-9_./:={},@+!-]+")
_NAMESPACE = ("-n", "--namespace")
_ALL = ("-A", "--all-namespaces")
_WATCH = ("-w", "--watch")
# Options that control output or waiting, which a line does not limit.
_WITH_VALUE = frozenset(
    (
        "--since",
        "--since-time",
        "-o",
        "--output",
        "-l",
        "--selector",
        "--sort-by",
        "--timeout",
        "--current-replicas",
        "--cascade",
        "-L",
        "--label-columns",
        "--limit-bytes",
        "--request-timeout",
        "--to-revision",
        "--revision",
        "--chunk-size",
        "--dry-run",
    )
)
_PLAIN = frozenset(
    (
        "--timestamps",
        "--no-headers",
        "--show-labels",
        "--wait",
        "--ignore-not-found",
        "--all-containers",
        "--prefix",
        "--overwrite",
        "--show-kind",
    )
)
# Options that change the requests of a line.
_LIMITED = {
    "-c": "-c",
    "--container": "-c",
    "--tail": "--tail",
    "--replicas": "--replicas",
    "--grace-period": "--grace-period",
}
_SWITCHES = {
    "-f": ("-f",),
    "--follow": ("-f",),
    "-p": ("-p",),
    "--previous": ("-p",),
    "-i": ("-i",),
    "--stdin": ("-i",),
    "-t": ("-t",),
    "--tty": ("-t",),
    "-it": ("-i", "-t"),
    "-ti": ("-i", "-t"),
}
_ELSEWHERE = frozenset(
    (
        "--as",
        "--as-group",
        "--as-uid",
        "--token",
        "--kubeconfig",
        "--context",
        "--cluster",
        "--user",
        "-s",
        "--server",
        "--raw",
        "--client-key",
        "--client-certificate",
        "--certificate-authority",
        "--insecure-skip-tls-verify",
    )
)


@dataclass
class Line:
    """The parts of a line.

    `limits` are the options that change the line's requests, in one spelling; a switch has an empty value.
    `program` is the text after `--`, or None. Commands remove the options that they support from `limits`.
    """

    words: list[str]
    document: bool
    namespaces: tuple[Text, ...] = ()
    everywhere: bool = False
    watch: bool = False
    subresource: str = ""
    program: str | None = None
    limits: dict[str, str] = field(default_factory=dict)

    def take(self, option: str) -> str | None:
        """Return the value of an option that the command supports, and remove it; None if it is absent."""
        return self.limits.pop(option, None)

    def switch(self, option: str) -> bool:
        """Return whether a switch that the command supports is present, and remove it."""
        return self.limits.pop(option, None) is not None


def read_line(text: str, *, document: bool) -> Line:
    """Return the parts of a line.

    In a document, a line can contain `{name}`, but no options whose use a line can't limit.

    Raises RuleRefused with the reason.
    """
    at = hidden_at(text)
    if at is not None:
        raise RuleRefused(f"{show(text[at])} is not printable: remove it")
    head, dashes, program = text.partition(" -- ")
    tokens = head.split() if document else [word for word, _ in split_words(head)]
    if tokens[:1] == ["kubectl"]:
        del tokens[0]
    line, at = Line([], document, program=program if dashes else None), 0
    while at < len(tokens):
        at += _token(line, tokens, at)
    if line.everywhere and line.namespaces:
        raise RuleRefused("-A means every namespace: remove -A or -n")
    return line


def _token(line: Line, tokens: Sequence[str], at: int) -> int:
    """Consume one word, or an option and its value. Return the number of words consumed."""
    token = tokens[at]
    _check_word(line, token, tokens[at - 1] if at else "")
    if not token.startswith("-"):
        line.words.append(token)
        return 1
    option, equals, value = token.partition("=")
    if option in (*_ALL, *_WATCH, *_PLAIN, *_SWITCHES, "--now", "--force"):
        _flag(line, option)
        return 1
    if not equals:
        value = tokens[at + 1] if at + 1 < len(tokens) else ""
    if not value:
        raise RuleRefused(f"{option} needs a value")
    _option(line, option, value)
    return 1 if equals else 2


def _check_word(line: Line, token: str, before: str) -> None:
    if line.document and not _WORD.fullmatch(token):
        raise RuleRefused(f"{clip(token)} contains a special shell character: remove it")
    if not line.document and "{" in token and before != "apply" and not line.words[:1] == ["apply"]:
        raise RuleRefused(f"{clip(token)} is a placeholder: enter a value instead")


def _flag(line: Line, option: str) -> None:
    line.everywhere |= option in _ALL
    line.watch |= option in _WATCH
    if option in ("--now", "--force"):
        line.limits.setdefault("--grace-period", "1" if option == "--now" else "0")
    for one in _SWITCHES.get(option, ()):
        line.limits[one] = ""
    if line.document and option in _PLAIN:
        raise RuleRefused(f"remove {option}, which holders can always use")


def _option(line: Line, option: str, value: str) -> None:
    if option in _NAMESPACE:
        if line.namespaces:
            raise RuleRefused("-n is written twice: keep one of them")
        line.namespaces = tuple(namespace_text(word) for word in value.split(","))
    elif option == "--subresource":
        line.subresource = value
    elif option in _LIMITED:
        line.limits[_LIMITED[option]] = value
    elif option in _ELSEWHERE:
        raise RuleRefused(
            f"{option} can't be used with a grant, which has its own server and account: remove it"
        )
    elif option not in _WITH_VALUE:
        raise RuleRefused(f"{clip(option)} is not a known option: remove it")
    elif line.document:
        raise RuleRefused(f"remove {option}, which holders can always use, with any value")
