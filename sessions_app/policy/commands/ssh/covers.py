"""Whether one set of command lines and files is within another, and at least as strict."""

from __future__ import annotations

from sessions_app.policy.commands.argv.matching import text_of
from sessions_app.policy.commands.argv.templates import Word
from sessions_app.policy.commands.argv.within import plain_text, takes, words_within
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.ssh import transfers
from sessions_app.policy.commands.ssh.decide import CompiledSet, CompiledSSHCommand
from sessions_app.policy.commands.ssh.file_rules import FileRule
from sessions_app.policy.commands.within import UNDERSTATED, Names, understates


def covers(parent: CompiledSet, child: CompiledSet) -> str | None:
    """Return why the child may allow a line that the parent does not, or does less strictly; None if it never
    does.

    Each command of the child must be one of the parent's, with placeholders filled or narrowed, word by word.
    For every line that both could match, the child must hold, cut off and contain at least what the parent
    does, run nothing as root that the parent does not, limit files at least as strictly, and never
    understate its effect.
    """
    for command in child.commands:
        said = clip(text_of(command.words))
        if not any(_within(command, outer) for outer in parent.commands):
            return f"{said} is not covered by the grant"
        for outer in parent.commands:
            if _may_meet(command, outer) and (why := _laxer(command, outer)):
                return f"{said} {why}"
    return None


def _within(inner: CompiledSSHCommand, outer: CompiledSSHCommand) -> bool:
    return words_within(inner.words, outer.words, inner.types, outer.types, Names())


def _may_meet(inner: CompiledSSHCommand, outer: CompiledSSHCommand) -> bool:
    """Whether some line could match both commands. Returns True if in doubt."""
    return len(inner.words) == len(outer.words) and all(
        _words_may_meet(one, other, inner, outer) for one, other in zip(inner.words, outer.words, strict=True)
    )


def _words_may_meet(inner: Word, outer: Word, child: CompiledSSHCommand, parent: CompiledSSHCommand) -> bool:
    if (text := plain_text(inner)) is not None:
        return takes(outer, text, parent.types, {})
    if (text := plain_text(outer)) is not None:
        return takes(inner, text, child.types, {})
    return True


def _laxer(inner: CompiledSSHCommand, outer: CompiledSSHCommand) -> str | None:
    if outer.rule.held and not inner.rule.held:
        return "would run without the approval that each run requires"
    if (inner.rule.finish_seconds or 0) > (outer.rule.finish_seconds or 0):
        return "could continue for longer after the grant ends"
    if outer.contain == "pidns" and inner.contain != "pidns":
        return "would contain its processes less strictly"
    if inner.rule.as_root and not outer.rule.as_root:
        return "would run as root"
    if understates(inner.rule.effect, outer.rule.effect):
        return f"{UNDERSTATED}: {clip(text_of(outer.words))}"
    if isinstance(inner.rule, FileRule) and isinstance(outer.rule, FileRule):
        return transfers.laxer(inner.rule, outer.rule, (inner.digest, outer.digest))
    return None
