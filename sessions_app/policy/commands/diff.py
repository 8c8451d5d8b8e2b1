"""What changed between two versions of a command set, in words for those who approve and publish."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sessions_app.policy.commands.document import CommandSetDocument

Action = Literal["added", "removed", "changed"]
# What matters most of a command, in this order; the rest follows.
_FIRST = ("effect", "hold", "end", "contain", "where")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `where` is what it is about (`command systemctl stop {unit}`), `message` a whole
    sentence.
    """

    action: Action
    where: str
    message: str
    before: str | None = None
    after: str | None = None


def diff_documents(old: CommandSetDocument, new: CommandSetDocument) -> list[Change]:
    """The differences: what is about the whole set, its parameters, its commands, its examples.

    The order of commands means nothing and is not compared. Commands are the same if they are written the same way.
    """
    before = old.model_dump(mode="json", by_alias=True)
    after = new.model_dump(mode="json", by_alias=True)
    return [
        *_fields("the set", before, after, ("name", "kind", "summary", "risk", "contain")),
        *_entries("parameter", before["parameters"], after["parameters"]),
        *_entries("command", _by_text(before, old), _by_text(after, new)),
        *_lines("allow", before, after),
        *_lines("refuse", before, after),
    ]


def _by_text(data: Mapping[str, Any], document: CommandSetDocument) -> dict[str, Any]:
    """The commands by their text; a text that appears twice gets a number. What the set says for all counts for each."""
    found: dict[str, Any] = {}
    for written, rule in zip(data["commands"], document.commands, strict=True):
        key, count = rule.text, 2
        while key in found:
            key, count = f"{rule.text} ({count})", count + 1
        found[key] = {rule.WRITTEN: written.get(rule.WRITTEN), **written, **document.in_force(rule)}
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
    """A value of a document as it would be written, without what is not set."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        written = (f"{key}: {_say(inner)}" for key, inner in value.items() if inner not in (None, {}, False))
        return "{" + ", ".join(written) + "}"
    return json.dumps(value, ensure_ascii=False)
