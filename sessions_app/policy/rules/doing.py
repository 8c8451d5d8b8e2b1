"""Whose doing a workflow is: a workflow stands in for an approval or a review only as another person's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Whose(StrEnum):
    """Whose doing a workflow is, as far as the requester's access is concerned."""

    OWN = "own"
    OTHER = "other"
    UNKNOWN = "unknown"


class Act(StrEnum):
    """What someone did to a workflow, before its reference."""

    OPENED = "opened"
    CHANGED = "last changed the severity, urgency or assignee of"


@dataclass(frozen=True, slots=True)
class Doing:
    """Who opened a workflow, or last changed what access can depend on, compared with the requester.

    ``by`` is the person or system as the source names them, or a username for Stint's own workflows; empty if nobody is
    named. The requester's own are what they did through their owner, their machine, or another account of theirs.
    Without facts it is unknown, which counts as their own.
    """

    whose: Whose = Whose.UNKNOWN
    act: Act = Act.OPENED
    by: str = ""

    @property
    def is_others(self) -> bool:
        """Whether someone else is known to have opened it, and the requester is known not to have changed it."""
        return self.whose is Whose.OTHER

    def said(self, workflow: str, who: str = "You") -> str:
        """Return what is known of the workflow with this reference, as a sentence without its period. ``who`` stands for
        the requester.
        """
        if self.whose is Whose.OWN:
            return f"{who} {self.act} {workflow}"
        if self.whose is Whose.OTHER:
            return f"Someone else ({self.by}) {self.act} {workflow}"
        unmatched = f" (no confirmed account belongs to {self.by})" if self.by else ""
        return f"Who {self.act} {workflow} is unknown{unmatched}"


# What is known without any facts: nothing.
UNTOLD = Doing()
