"""The linter for SSH. It finds non-obvious effects of a command set. Its findings are
shown before publishing.
"""

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import EFFECT_RANK
from sessions_app.policy.commands.findings import Finding, Severity, document_findings
from sessions_app.policy.commands.ssh.as_root import SudoCannotSay, root_lines
from sessions_app.policy.commands.ssh.command import ParsedCommand
from sessions_app.policy.commands.ssh.document import SSHCommand, SSHCommandSet
from sessions_app.policy.commands.ssh.file_rules import FileRule
from sessions_app.policy.commands.ssh.hits import Hit
from sessions_app.policy.commands.ssh.judge import judge
from sessions_app.policy.commands.ssh.lint_files import file_hits
from sessions_app.policy.commands.ssh.lint_values import type_findings, value_findings
from sessions_app.policy.commands.ssh.places import is_secret
from sessions_app.policy.commands.ssh.table import table

__all__ = ["Finding", "Severity", "lint"]


def lint(document: SSHCommandSet) -> list[Finding]:
    """Return all findings, errors first, each in document order."""
    found = [*document_findings(document), *_type_findings(document), *_uncontained(document)]
    commands = [ParsedCommand(document, index, rule) for index, rule in enumerate(document.commands)]
    for command in commands:
        found += value_findings(command)
        found += _command_findings(command)
    found += _overlaps(commands)
    return sorted(dict.fromkeys(found), key=lambda finding: finding.severity != "error")


def _uncontained(document: SSHCommandSet) -> Iterator[Finding]:
    # For a command that runs as root, it is an error.
    asked = {
        f"commands[{index}].contain": rule.contain
        for index, rule in enumerate(document.commands)
        if isinstance(rule, SSHCommand) and not rule.as_root
    }
    for where, contain in {"contain": document.contain, **asked}.items():
        if contain == "group":
            yield Finding(
                "warning",
                "uncontained",
                where,
                "a process can leave the group and hide, and for a root process there is no way to verify "
                "that it has ended",
                "remove it, so that each command has a PID namespace that ends with the command. Accept "
                "the finding for targets where the account can't create PID namespaces",
            )


def _type_findings(document: SSHCommandSet) -> Iterator[Finding]:
    for name, type_ in document.parameters.items():
        yield from type_findings(f"parameters.{name}", type_)
    for index, rule in enumerate(document.commands):
        for name, type_ in rule.where.items():
            yield from type_findings(f"commands[{index}].where.{name}", type_)


def _command_findings(command: ParsedCommand) -> Iterator[Finding]:
    if not command.rule.text.isascii():
        yield command.found(
            "warning",
            "look_alike",
            "the command contains letters that look like other letters",
            "check that each letter is the intended one",
        )
    for word in command.spoken[1:]:
        secrets = (text for text in word.texts or (word.text,) if is_secret(table().places, text))
        if (text := next(secrets, None)) is not None:
            yield command.found(
                "warning",
                "secret",
                f"`{text}` looks like a location of passwords or keys, and {_seen_by(command)[0]}",
                f"remove it, or accept that {_seen_by(command)[1]}",
            )
    yield from _as_root(command)
    if isinstance(command.rule, FileRule):
        hits = file_hits(command.rule, command.spoken[1])
    else:
        hits = judge(table(), command.spoken, says_read=command.rule.effect == "read")
    yield from _hit_findings(command, hits)
    yield from _effect(command, hits)


def _seen_by(command: ParsedCommand) -> tuple[str, str]:
    """Return two clauses: who can see the content of the files that a command names, and the consequence that
    an author would accept.
    """
    if isinstance(command.rule, FileRule):
        return "the holder keeps what was transferred", "the holder can learn their content"
    return "the output is recorded", "the holder and recording reviewers can read it"


def _as_root(command: ParsedCommand) -> Iterator[Finding]:
    """Check that sudoers can allow exactly this command."""
    if not isinstance(command.rule, SSHCommand) or not command.rule.as_root:
        return
    if command.rule.contain == "group":
        yield command.found(
            "error",
            "as_root",
            "runs as root in a process group, which root can leave",
            "remove `contain: group`: under systemd, a command of root runs in a scope, which needs no PID "
            "namespace",
        )
    types = {name: command.document.type_of(command.rule, name) for name in command.rule.names}
    try:
        root_lines(command.words, types)
    except SudoCannotSay as error:
        yield command.found(
            "error",
            "as_root",
            f"runs as root, but {error}",
            "list the values with `choice`, or remove `as: root`",
        )


def _hit_findings(command: ParsedCommand, hits: Iterable[Hit]) -> Iterator[Finding]:
    """Return one finding for each danger among the hits, because a warning is accepted by its code and
    path.
    """
    contained = command.document.contain_of(command.rule) == "pidns"
    grouped: dict[tuple[Severity, str], list[Hit]] = {}
    for hit in hits:
        if hit.code is not None and not (hit.contained and contained):
            grouped.setdefault((hit.severity, hit.code), []).append(hit)
    for (severity, code), same in grouped.items():
        first, *others = dict.fromkeys(clip(hit.shown, length=100) for hit in same)
        also = f"; so does {' and '.join(others)}" if others else ""
        yield command.found(severity, code, f"{first} {same[0].why}{also}", same[0].fix)


def _effect(command: ParsedCommand, hits: Iterable[Hit]) -> Iterator[Finding]:
    """Check that the stated effect, on which approvers rely, does not understate the command's known
    effect.
    """
    most = min(hits, key=lambda hit: EFFECT_RANK[hit.effect])
    if EFFECT_RANK[command.rule.effect] > EFFECT_RANK[most.effect]:
        reading = command.rule.effect == "read"
        does = "changes" if most.effect == "change" else "destroys something on"
        yield Finding(
            "error" if reading else "warning",
            "effect",
            f"commands[{command.index}].effect",
            f"{clip(most.shown, length=100)} {does} the target, but approvers would see that it only "
            f"{'reads' if reading else 'changes it'}",
            f"set effect: {most.effect}",
        )


def _overlaps(commands: list[ParsedCommand]) -> Iterator[Finding]:
    """Find pairs of commands that could both match one line, if it matters which one decides."""
    by_shape: dict[tuple[str, int], list[ParsedCommand]] = {}
    for command in commands:
        by_shape.setdefault((command.texts[0], len(command.words)), []).append(command)
    for first, second in (pair for group in by_shape.values() for pair in combinations(group, 2)):
        if _may_meet(first, second):
            same = _limits(first) == _limits(second)
            yield second.found(
                "warning",
                "overlap",
                f"a line can match both this and commands[{first.index}]"
                + ("" if same else ": the stricter one applies"),
                "remove one, or narrow its values so that no line matches both",
            )


def _limits(command: ParsedCommand) -> dict[str, Any]:
    return command.rule.model_dump(exclude={command.rule.WRITTEN, "where"})


def _may_meet(first: ParsedCommand, second: ParsedCommand) -> bool:
    """Whether some line could match both commands. Returns True if in doubt."""
    return (
        all(one.may_meet(other) for one, other in zip(first.spoken, second.spoken, strict=True))
        and _repeats(first, second)
        and _repeats(second, first)
    )


def _repeats(one: ParsedCommand, other: ParsedCommand) -> bool:
    """Whether the words of one command can be equal in the places where the other command repeats a value."""
    places = [(name, position) for name, _, position in other.whole_word_types()]
    return all(
        one.spoken[at].may_meet(one.spoken[again])
        for (name, at), (same, again) in combinations(places, 2)
        if name == same
    )
