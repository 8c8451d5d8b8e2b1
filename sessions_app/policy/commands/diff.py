"""Differences between two versions of a command set, as sentences for approvers and publishers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sessions_app.policy.commands.budgets import Budget, say_budgets
from sessions_app.policy.commands.document import BudgetedRule, BudgetedSet, CommandSetDocument

Action = Literal["added", "removed", "changed"]
# The most important fields of a command, in display order. Other fields follow.
_FIRST = ("effect", "hold", "budget", "end", "as", "contain", "where")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `where` is its subject (`command systemctl stop {unit}`), `message` a full sentence."""

    action: Action
    where: str
    message: str
    before: str | None = None
    after: str | None = None


def diff_documents(old: CommandSetDocument, new: CommandSetDocument) -> list[Change]:
    """Return the differences in the set itself, its parameters, its commands and its examples.

    The order of commands has no meaning and is not compared. Commands with the same text count as the same
    command.
    """
    before, after = _data(old), _data(new)
    return [
        *_fields(
            "the set", before, after, ("name", "kind", "summary", "risk", "schema", "contain", "budget")
        ),
        *_entries("parameter", before["parameters"], after["parameters"]),
        *_entries("command", _by_text(before, old), _by_text(after, new)),
        *_lines("allow", before, after),
        *_lines("refuse", before, after),
    ]


def _data(document: CommandSetDocument) -> dict[str, Any]:
    data = document.model_dump(mode="json", by_alias=True)
    if isinstance(document, BudgetedSet):
        data["budget"] = _say_budget(document.budget)
    return data


def _say_budget(budget: Sequence[Budget]) -> str:
    return ". ".join(say_budgets(budget)) or "none"


def _by_text(data: Mapping[str, Any], document: CommandSetDocument) -> dict[str, Any]:
    """Return the commands by their text, with the set's defaults applied. Repeated commands get a number."""
    found: dict[str, Any] = {}
    for written, rule in zip(data["commands"], document.commands, strict=True):
        key, count = rule.text, 2
        while key in found:
            key, count = f"{rule.text} ({count})", count + 1
        budget = {"budget": _say_budget(rule.budget)} if isinstance(rule, BudgetedRule) else {}
        found[key] = {rule.WRITTEN: written.get(rule.WRITTEN), **written, **document.in_force(rule), **budget}
    return found


def _fields(
    what: str, before: Mapping[str, Any], after: Mapping[str, Any], names: tuple[str, ...]
) -> Iterator[Change]:
    for name in names:
        if before.get(name) != after.get(name):
            was, now = _say(before.get(name)), _say(after.get(name))
            yield Change("changed", what, f"{name} of {what} is now {now}, was {was}", was, now)


def _entries(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name in before.keys() - after.keys():
        yield Change("removed", f"{kind} {name}", f"{kind} {name} is removed", _say(before[name]))
    for name, value in after.items():
        if name not in before:
            yield Change(
                "added", f"{kind} {name}", f"{kind} {name} is added: {_say(value)}", None, _say(value)
            )
        elif kind == "command":
            yield from _fields(
                f"command {name}", before[name], value, tuple(dict.fromkeys((*_FIRST, *value)))
            )
        elif before[name] != value:
            was, now = _say(before[name]), _say(value)
            yield Change("changed", f"{kind} {name}", f"{kind} {name} is now {now}, was {was}", was, now)


def _lines(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    was, now = before["examples"][kind], after["examples"][kind]
    for line in was:
        if line not in now:
            yield Change("removed", f"example to {kind}", f"the example to {kind} is removed: {line}", line)
    for line in now:
        if line not in was:
            yield Change("added", f"example to {kind}", f"an example to {kind} is added: {line}", None, line)


def _say(value: Any) -> str:
    """Format a value as in a document, without unset fields."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        written = (f"{key}: {_say(inner)}" for key, inner in value.items() if inner not in (None, {}, False))
        return "{" + ", ".join(written) + "}"
    return json.dumps(value, ensure_ascii=False)
