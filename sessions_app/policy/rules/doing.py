"""Who opened or changed a workflow. It replaces an approval or a review only if that was another person."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Whose(StrEnum):
    """Who is responsible for a workflow, as seen by the requester: themselves, someone else, or unknown."""

    OWN = "own"
    OTHER = "other"
    UNKNOWN = "unknown"


class Act(StrEnum):
    """An action on a workflow, worded to precede its reference."""

    OPENED = "opened"
    CHANGED = "last changed the severity, urgency or assignee of"


@dataclass(frozen=True, slots=True)
class Doing:
    """Who opened a workflow, or last changed a property that access depends on, and whether that was the
    requester.

    ``by`` is the person or system as the source names them, or a username for Stint's own workflows; empty if
    nobody is named. Actions through the requester's owner, machine, or another account count as the
    requester's own. Without facts it is unknown, which also counts as their own.
    """

    whose: Whose = Whose.UNKNOWN
    act: Act = Act.OPENED
    by: str = ""

    @property
    def is_others(self) -> bool:
        """Whether someone else is known to have opened it, and the requester is known not to have
        changed it.
        """
        return self.whose is Whose.OTHER

    def said(self, workflow: str, who: str = "You") -> str:
        """Return who opened or changed the workflow with this reference, as a sentence without a period.

        ``who`` stands for the requester.
        """
        if self.whose is Whose.OWN:
            return f"{who} {self.act} {workflow}"
        if self.whose is Whose.OTHER:
            return f"Someone else ({self.by}) {self.act} {workflow}"
        unmatched = f" (no confirmed account belongs to {self.by})" if self.by else ""
        return f"Who {self.act} {workflow} is unknown{unmatched}"


# The value without any facts: unknown.
UNTOLD = Doing()
