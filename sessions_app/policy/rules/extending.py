"""Rules about extensions of grants."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import ClassVar

from sessions_app.policy.decision import Deny, Permit
from sessions_app.policy.durations import say_duration
from sessions_app.policy.policies import Extension
from sessions_app.policy.rules.facts import Ask, Facts, GrantFacts
from sessions_app.policy.windows import Freeze, Window, covering

_NO_GRANT = Deny("No grant is named.", "Open the grant to extend it.")


@dataclass(frozen=True, slots=True)
class NotDelegated:
    """Refuses to extend a delegated grant, because such a grant ends with its parent grant."""

    tag: ClassVar[str] = "not_delegated"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.grant is None:
            return _NO_GRANT
        if facts.grant.delegated:
            return Deny(
                f"{facts.grant.ref} was delegated to you and ends with its parent grant.",
                "Ask the person who delegated it.",
            )
        return Permit("The grant was not delegated.")


@dataclass(frozen=True, slots=True)
class MayExtend:
    """Requires that the policy allows extensions. Access that started without approval can't be extended."""

    tag: ClassVar[str] = "may_extend"
    policy: str
    terms: Extension | None

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if self.terms is not None and facts.grant is not None and not facts.grant.reviewed:
            return Permit(f"The policy {self.policy} allows extensions.")
        return Deny(f"The policy {self.policy} does not allow extensions.", "Request new access.")


@dataclass(frozen=True, slots=True)
class ExtensionLength:
    """Limits the length of one extension."""

    tag: ClassVar[str] = "extension_length"
    terms: Extension | None

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        limit = self.terms.by if self.terms else 0
        if ask.extension is not None and 0 < ask.extension <= limit:
            return Permit(f"{say_duration(ask.extension)} is within the limit of {say_duration(limit)}.")
        return Deny(
            f"An extension can be at most {say_duration(limit)}.", f"Request {say_duration(limit)} or less."
        )


@dataclass(frozen=True, slots=True)
class OneExtension:
    """Allows only one pending extension at a time."""

    tag: ClassVar[str] = "one_extension"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.grant is None:
            return _NO_GRANT
        if facts.grant.waiting:
            return Deny(
                "An extension is already waiting for approval.",
                "Wait for the decision, or withdraw the extension.",
            )
        return Permit("No other extension is pending.")


@dataclass(frozen=True, slots=True)
class ExtensionsLeft:
    """Limits how often a grant can be extended."""

    tag: ClassVar[str] = "extensions_left"
    terms: Extension | None

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        times = self.terms.times if self.terms else 0
        if facts.grant is not None and facts.grant.extended < times:
            return Permit(f"{facts.grant.extended} of {times} extensions are used.")
        return Deny(f"The limit of {times} extensions has been reached.", "Request new access.")


@dataclass(frozen=True, slots=True)
class ExtensionWithinWorkflow:
    """Requires that an extension ends within the planned time of the workflow."""

    tag: ClassVar[str] = "extension_within_workflow"

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.grant is None:
            return _NO_GRANT
        closes = facts.workflow.ends_at if facts.workflow else None
        if closes is not None and _end(ask, facts.grant) > closes:
            return Deny(
                f"The extension would end after {ask.workflow}.",
                "Shorten the extension, or move the planned end.",
            )
        return Permit("The extension ends within the workflow's planned time.")


@dataclass(frozen=True, slots=True)
class ExtensionInWindow:
    """Requires that the time from now until the new end is within the policy's windows."""

    tag: ClassVar[str] = "extension_in_window"
    windows: tuple[Window, ...]

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        if facts.grant is None:
            return _NO_GRANT
        if covering(self.windows, facts.now, _end(ask, facts.grant)):
            return Permit("The new end is in the allowed window.")
        return Deny(
            "The extension would leave the allowed time window.",
            "Shorten the extension, or request access in another window.",
        )


@dataclass(frozen=True, slots=True)
class ExtensionNotFrozen:
    """Refuses an extension that overlaps a freeze."""

    tag: ClassVar[str] = "extension_not_frozen"
    freezes: tuple[Freeze, ...]

    def verify(self, ask: Ask, facts: Facts) -> Permit | Deny:
        grant = facts.grant
        if grant is None:
            return _NO_GRANT
        if any(freeze.touches(grant.expires_at, _end(ask, grant)) for freeze in self.freezes):
            return Deny("The extension would overlap a freeze.", "Choose an end before the freeze.")
        return Permit("No freeze applies at that time.")


def _end(ask: Ask, grant: GrantFacts) -> dt.datetime:
    """Return the end of a grant after the extension."""
    return grant.expires_at + dt.timedelta(seconds=ask.extension or 0)
