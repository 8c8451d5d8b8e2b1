"""Who opened or changed a workflow. A workflow takes the place of an approval or a review only if
another person did so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Whose(StrEnum):
    """Who is responsible for a workflow, relative to the requester: themselves, another person, or
    unknown.
    """

    OWN = "own"
    OTHER = "other"
    UNKNOWN = "unknown"


class Act(StrEnum):
    """An action on a workflow, as a phrase that precedes its reference."""

    OPENED = "opened"
    CHANGED = "last changed the severity, urgency or assignee of"


@dataclass(frozen=True, slots=True)
class Doing:
    """Who opened a workflow, or last changed a property that access depends on, and whether that was the
    requester.

    ``by`` is the person or system as the source names them, or a username for Stint's own workflows; empty if
    no one is named. Actions by the requester's owner, machines, or other accounts count as the
    requester's own. Without facts, the person is unknown, which also counts as the requester's own.
    """

    whose: Whose = Whose.UNKNOWN
    act: Act = Act.OPENED
    by: str = ""

    @property
    def is_others(self) -> bool:
        """Whether another person is known to have opened the workflow, and the requester is known not to have
        changed it.
        """
        return self.whose is Whose.OTHER

    def said(self, workflow: str, who: str = "You") -> str:
        """Return a sentence, without its period, about who opened or changed the workflow with this
        reference.

        ``who`` is the name to use for the requester.
        """
        if self.whose is Whose.OWN:
            return f"{who} {self.act} {workflow}"
        if self.whose is Whose.OTHER:
            return f"Someone else ({self.by}) {self.act} {workflow}"
        unmatched = f" (no confirmed account belongs to {self.by})" if self.by else ""
        return f"Who {self.act} {workflow} is unknown{unmatched}"


# The value if there are no facts: unknown.
UNTOLD = Doing()
