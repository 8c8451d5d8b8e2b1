"""Whether one set of command lines is within another, and at least as strict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.parameters import ParameterType, ValueRefused
from sessions_app.policy.commands.ssh import decide as deciding
from sessions_app.policy.commands.ssh.decide import CompiledSet, CompiledSSHCommand
from sessions_app.policy.commands.ssh.templates import Slot, Word
from sessions_app.policy.commands.within import UNDERSTATED, Names, type_within, understates

Types = Mapping[str, ParameterType]


def covers(parent: CompiledSet, child: CompiledSet) -> str | None:
    """Return why the child may allow a line that the parent does not, or does less strictly; None if it never does.

    Each command of the child must be one of the parent's, with places filled or narrowed, word by word. For every line
    that both could match, the child must hold, cut off and contain what the parent does, run as root nothing that the parent
    does not, and never understate its effect.
    """
    for command in child.commands:
        said = clip(deciding.text_of(command.words))
        if not any(_within(command, outer) for outer in parent.commands):
            return f"{said} is not covered by the grant"
        for outer in parent.commands:
            if _may_meet(command, outer) and (why := _laxer(command, outer)):
                return f"{said} {why}"
    return None


def _within(inner: CompiledSSHCommand, outer: CompiledSSHCommand) -> bool:
    return words_within(inner.words, outer.words, inner.types, outer.types, Names())


def words_within(
    inner: Sequence[Word], outer: Sequence[Word], types: Types, given: Types, names: Names
) -> bool:
    """Whether every argv of one is an argv of the other. `types` are those of the inner one's places, `given` those of
    the outer one's, and `names` what these stand for.
    """
    return len(inner) == len(outer) and all(
        _word_within(one, other, types, given, names) for one, other in zip(inner, outer, strict=True)
    )


def _word_within(inner: Word, outer: Word, types: Types, given: Types, names: Names) -> bool:
    if (text := _plain(inner)) is not None:
        matched: dict[str, str] = {}
        if not _takes(outer, text, given, matched):
            return False
        return all(names.value(name, value) for name, value in matched.items())
    if len(inner) != len(outer):
        return False
    return all(
        _piece_within(one, other, types, given, names) for one, other in zip(inner, outer, strict=True)
    )


def _piece_within(inner: str | Slot, outer: str | Slot, types: Types, given: Types, names: Names) -> bool:
    if isinstance(inner, Slot) and isinstance(outer, Slot):
        narrower = type_within(types[inner.name], given[outer.name])
        return inner.stop == outer.stop and narrower and names.place(outer.name, inner.name)
    return inner == outer


def _plain(word: Word) -> str | None:
    return word[0] if len(word) == 1 and isinstance(word[0], str) else None


def _takes(spec: Word, text: str, types: Types, matched: dict[str, str]) -> bool:
    try:
        deciding.match_word(spec, text, types, matched)
    except ValueRefused:
        return False
    return True


def _may_meet(inner: CompiledSSHCommand, outer: CompiledSSHCommand) -> bool:
    """Whether some line could match both. Returns True if in doubt."""
    return len(inner.words) == len(outer.words) and all(
        _words_may_meet(one, other, inner, outer) for one, other in zip(inner.words, outer.words, strict=True)
    )


def _words_may_meet(inner: Word, outer: Word, child: CompiledSSHCommand, parent: CompiledSSHCommand) -> bool:
    if (text := _plain(inner)) is not None:
        return _takes(outer, text, parent.types, {})
    if (text := _plain(outer)) is not None:
        return _takes(inner, text, child.types, {})
    return True


def _laxer(inner: CompiledSSHCommand, outer: CompiledSSHCommand) -> str | None:
    if outer.rule.held and not inner.rule.held:
        return "would run without the approval that each run needs"
    if (inner.rule.finish_seconds or 0) > (outer.rule.finish_seconds or 0):
        return "could continue for longer after the end"
    if outer.contain == "pidns" and inner.contain != "pidns":
        return "would contain its processes less strictly"
    if inner.rule.as_root and not outer.rule.as_root:
        return "would run as root"
    if understates(inner.rule.effect, outer.rule.effect):
        return f"{UNDERSTATED}: {clip(deciding.text_of(outer.words))}"
    return None
