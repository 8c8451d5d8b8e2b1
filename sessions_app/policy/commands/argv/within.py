"""Checks whether one template matches every argv that another template matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sessions_app.policy.commands.argv.matching import match_word
from sessions_app.policy.commands.argv.templates import Slot, Word
from sessions_app.policy.commands.parameters import ParameterType, ValueRefused
from sessions_app.policy.commands.within import Names, type_within

Types = Mapping[str, ParameterType]


def words_within(
    inner: Sequence[Word], outer: Sequence[Word], types: Types, given: Types, names: Names
) -> bool:
    """Whether every argv that `inner` matches is also matched by `outer`.

    `types` are the types of the inner words' placeholders, `given` those of the outer words', and `names`
    maps each outer parameter to its counterpart.
    """
    return len(inner) == len(outer) and all(
        _word_within(one, other, types, given, names) for one, other in zip(inner, outer, strict=True)
    )


def _word_within(inner: Word, outer: Word, types: Types, given: Types, names: Names) -> bool:
    if (text := plain_text(inner)) is not None:
        matched: dict[str, str] = {}
        if not takes(outer, text, given, matched):
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


def plain_text(word: Word) -> str | None:
    return word[0] if len(word) == 1 and isinstance(word[0], str) else None


def takes(spec: Word, text: str, types: Types, matched: dict[str, str]) -> bool:
    try:
        match_word(spec, text, types, matched)
    except ValueRefused:
        return False
    return True
