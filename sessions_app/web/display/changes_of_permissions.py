"""Permission changes as sentences: `Ana Ruiz and 2 others gain restart-web on web`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accounts.models import Identity
from sessions_app.policy.permissions import Change
from sessions_app.web.display.states import Look, plural

_LOOKS = {
    "gained": Look("warn", "plus", "Gained"),
    "lost": Look("info", "x", "Lost"),
    "changed": Look("mute", "policy", "Changed"),
}
# Verbs in the past tense and in the conditional, each in the singular and the plural.
_VERBS = {
    ("gained", True): ("gained", "gained"),
    ("lost", True): ("lost", "lost"),
    ("changed", True): ("kept", "kept"),
    ("gained", False): ("gains", "gain"),
    ("lost", False): ("loses", "lose"),
    ("changed", False): ("keeps", "keep"),
}
_WHAT = {
    "request": "{}",
    "incident": "on-call access to {}",
    "break_glass": "break-glass access to {}",
    "delegation": "delegated access to {}",
    "approve": "the approval of {}",
    "view": "the view of {}",
    "administer": "the administration of {}",
}
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class ShownChange:
    """One change with the affected identities.

    ``past`` means that the change was made; otherwise, a draft proposes it.
    """

    change: Change
    identities: Sequence[Identity | str]
    past: bool

    @property
    def look(self) -> Look:
        """The display style of the change."""
        return _LOOKS[self.change.kind]

    @property
    def who(self) -> str:
        """The subject: up to two names, or `3 people and 1 machine`."""
        if len(self.identities) <= 2:
            return " and ".join(map(str, self.identities))
        machines = sum(not isinstance(one, str) and not one.is_person for one in self.identities)
        people = len(self.identities) - machines
        counts = [(people, "person,people"), (machines, "machine")]
        return " and ".join(plural(count, noun) for count, noun in counts if count)

    @property
    def what(self) -> str:
        """The object: `break-glass access to restart-web on web and api`."""
        change = self.change
        sets = _list(change.command_sets, "command sets")
        if change.permission in ("view", "administer"):
            return _WHAT[change.permission].format(_list(change.clusters, "clusters"))
        on = f"{sets or 'held commands'} on {_list(change.clusters, 'clusters')}"
        return _WHAT[change.permission].format(on)

    @property
    def text(self) -> str:
        """The sentence, without the requirements of the access."""
        one, many = _VERBS[self.change.kind, self.past]
        return f"{self.who} {one if len(self.identities) == 1 else many} {self.what}"

    @property
    def needs(self) -> str:
        """The approvals that the access needs, with the previous ones if they changed. Empty if access was
        lost or needs no approval.
        """
        now, before = " or ".join(self.change.after), " or ".join(self.change.before)
        if self.change.kind == "changed":
            return f"now {now}; before {before}" if self.past else f"{now} instead of {before}"
        return now


def shown_changes(changes: Sequence[Change], *, past: bool) -> list[ShownChange]:
    """Return changes with their identities, using one SQL statement."""
    names = {name for change in changes for name in change.identities}
    known: Mapping[str, Identity] = {
        one.username: one for one in Identity.objects.filter(username__in=names).select_related("owner")
    }
    return [
        ShownChange(change, [known.get(name, name) for name in change.identities], past) for change in changes
    ]


def summary(changes: Sequence[Change]) -> str:
    """Return a sentence about changes that the list doesn't contain: `No one gains permissions.`; empty if
    the list has both kinds.
    """
    kinds = {change.kind for change in changes}
    if not kinds:
        return "No one gains or loses permissions."
    texts = {"gained": "No one gains permissions.", "lost": "No one loses permissions."}
    return " ".join(text for kind, text in texts.items() if kind not in kinds)


def _list(names: Sequence[str], many: str) -> str:
    """Return names as text: `web`, `web and api`, `web, api and 3 more clusters`."""
    if len(names) > MOST_NAMED:
        rest = len(names) - (MOST_NAMED - 1)
        return f"{', '.join(names[: MOST_NAMED - 1])} and {rest} more {many}"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
