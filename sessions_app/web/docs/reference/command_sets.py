"""The reference of command sets: the keys that all kinds share, and those of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel

from sessions_app.policy.commands import parameters
from sessions_app.policy.commands.document import CommandRule, CommandSetDocument
from sessions_app.policy.commands.kind import CommandKind
from sessions_app.policy.commands.kinds import kinds
from sessions_app.web.docs.reference.documents import PARAMETER_TYPES, fence, keys_of, text_of
from sessions_app.web.docs.reference.entries import Entry, Page, Part

_OF_ALL = tuple(CommandSetDocument.model_fields)
_OF_RULES = tuple(CommandRule.model_fields)


def shared_page() -> Page:
    """Return the page about keys that every kind shares."""
    return Page(
        "command-sets",
        "Command sets",
        "The keys of every command set, and the types of parameters.",
        [
            Part("Keys of a command set", keys_of(CommandSetDocument).entries(but=("commands",))),
            Part("Keys of every command", keys_of(CommandRule, "commands.").entries()),
            Part(
                "Parameter types",
                [_type(getattr(parameters, name)) for name in PARAMETER_TYPES],
                "A parameter is defined by the key that names its type. A value can't be empty, begin "
                "with `-` (except a negative number within its range), or contain an invisible "
                "character.",
            ),
        ],
    )


def pages() -> Iterator[Page]:
    """Yield the page of each kind."""
    yield from (_page(kind) for kind in kinds())


def _page(kind: CommandKind) -> Page:
    example = fence(kind.starters[0].source)
    document = keys_of(kind.document).entries(but=_OF_ALL)
    about = "The other keys are those of [every command set](/docs/reference/command-sets/)."
    own = [Part("Keys of the command set", document, about)] if document else []
    return Page(
        f"{kind.name}-commands",
        f"{kind.title} commands",
        f"The keys of command sets with `kind: {kind.name}`, in addition to those of "
        "[every command set](/docs/reference/command-sets/).",
        [Part("Example", (), example), *own, *(_rule(rule) for rule in _rules(kind.document))],
    )


def _rules(document: type[CommandSetDocument]) -> Iterator[type[CommandRule]]:
    """Yield the rule classes for the commands that a document can list."""
    yield from _models(document.model_fields["commands"].annotation)


def _models(annotation: object) -> Iterator[type[CommandRule]]:
    if isinstance(annotation, type) and issubclass(annotation, CommandRule):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _rule(rule: type[CommandRule]) -> Part:
    keys = keys_of(rule, f"{rule.WRITTEN}.")
    return Part(f"Commands with {rule.WRITTEN}", keys.entries(but=_OF_RULES), text_of(rule))


def _type(model: type[BaseModel]) -> Entry:
    (entry,) = keys_of(model).entries(but=("from",)) or keys_of(model).entries()
    return Entry(entry.title, text_of(model), entry.facts, anchor=f"type.{entry.title}")
