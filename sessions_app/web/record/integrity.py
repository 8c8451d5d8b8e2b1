"""The integrity of the record: the last verification, the entries added since then, and the newest
checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from broker.audit.checkpoint import newest_checkpoint
from broker.audit.models import AuditCheckpoint, AuditTrouble, AuditVerification
from broker.audit.queries import checkpoint_trouble, latest_verification
from sessions_app.web.display.states import plural
from sessions_app.web.templatetags.times import ago, when

ENTRIES = "entry,entries"
NOT_VERIFIED = (
    "The worker verifies new entries every ten minutes, and all of them once a day. An administrator can"
    " verify the record now, on this page."
)


@dataclass(frozen=True, slots=True)
class Integrity:
    """The last verification (None if there was none), the number of entries added ``since`` then, and the
    newest checkpoint.

    ``trouble`` is the reason why checkpoints can't be signed or saved outside the database, if any.
    """

    verification: AuditVerification | None
    since: int
    checkpoint: AuditCheckpoint | None
    trouble: AuditTrouble | None

    @property
    def is_broken(self) -> bool:
        """Whether the last verification found a break in the record."""
        return self.verification is not None and not self.verification.ok

    @property
    def tone(self) -> str:
        """The color of the panel, as a CSS tone."""
        if self.verification is None:
            return "mute"
        if self.is_broken:
            return "bad"
        return "warn" if self.trouble else "ok"

    @property
    def heading(self) -> SafeString | str:
        """The verification's result as a heading."""
        last = self.verification
        if last is None:
            return "Not verified yet"
        if last.ok:
            return format_html("Intact at {}", when(last.at))
        return f"Record broken at entry {last.first_bad_seq:,}" if last.first_bad_seq else "Record broken"

    @property
    def says(self) -> Sequence[SafeString | str]:
        """The verification's result as sentences."""
        last = self.verification
        if last is None:
            return [NOT_VERIFIED]
        return self._intact(last) if last.ok else self._broken(last)

    def _intact(self, last: AuditVerification) -> list[SafeString | str]:
        count = plural(last.entries, ENTRIES)
        if last.first_seq > 1:
            earlier = ago(last.whole_at) or "before"
            found = [
                f"{count} form an unbroken chain.",
                format_html(
                    "Entries from {} on were verified in that check; earlier entries were verified {}.",
                    f"{last.first_seq:,}",
                    earlier,
                ),
            ]
        else:
            found = [f"{count} verified. Each contains the hash of the entry before it."]
        found.append(
            f"{plural(self.since, ENTRIES)} added since then will be verified next time."
            if self.since
            else "No entries were added since then."
        )
        if self.checkpoint:
            covered = plural(self.checkpoint.size, ENTRIES)
            found.append(
                format_html("The newest checkpoint covers {}, signed {}.", covered, ago(self.checkpoint.at))
            )
        return found

    def _broken(self, last: AuditVerification) -> list[SafeString | str]:
        before = bool(last.first_bad_seq and last.first_bad_seq > 1)
        return [
            f"{capfirst(last.problem)}: {last.detail}",
            *(["Entries before it are intact."] if before else []),
            format_html("Verified {}.", when(last.at)),
            "Keep the database as it is and compare it with a backup.",
        ]

    @property
    def read(self) -> SafeString | str:
        """When the record was last verified, and the first entry that was verified."""
        last = self.verification
        if last is None:
            return ""
        start = f", from entry {last.first_seq:,} on" if last.first_seq > 1 else ""
        return format_html("{}{}", when(last.at), start)


def integrity(head: int) -> Integrity:
    """Return the integrity of the record. ``head`` is the number of the last entry."""
    last = latest_verification()
    since = max(0, head - last.entries) if last else head
    return Integrity(last, since, newest_checkpoint(), checkpoint_trouble())
