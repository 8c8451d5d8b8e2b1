"""All that the page of one grant shows."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from accounts.models import Identity
from sessions_app.models import CommandRun, Grant, GrantState, Lease, RequestState, RunState, Session, Target
from sessions_app.operations.review_break_glass import may_not_review
from sessions_app.policy.commands.quoting import quote
from sessions_app.policy.commands.ssh import CommandView, describe
from sessions_app.queries import commands
from sessions_app.web.reads.waiting import holds_for
from sessions_app.web.recording import Output, output_of

MOST_RUNS = 100
FILTERS = {
    "held": (RunState.HELD, RunState.HOLD_DENIED, RunState.HOLD_LAPSED),
    "refused": (RunState.REFUSED, RunState.HOLD_DENIED),
}
_SHELL_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=\- ]+")


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One command tried, with its output when it is shown."""

    run: CommandRun
    output: Output | None
    open: bool
    may_decide: bool


@dataclass(frozen=True, slots=True)
class Runnable:
    """One allowed command and the line that runs it from a terminal. ``copy`` is empty while values are open."""

    view: CommandView
    line: str
    copy: str


@dataclass(frozen=True, slots=True)
class GrantPage:
    """One grant for one reader."""

    grant: Grant
    own: bool
    may_end: bool
    may_not_review: str
    targets: Sequence[Target]
    target: Target | None
    runnable: Sequence[Runnable]
    entries: Sequence[RunEntry]
    counts: dict[str, int]
    leases: Sequence[Lease]
    sessions: Sequence[Session]
    pending_extension: str
    show: str
    opened: int | None
    seen: str

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.grant.state == GrantState.ENDED

    @property
    def gone(self) -> int:
        """On how many targets the end is proven."""
        return sum(1 for lease in self.leases if lease.gone_at)

    @property
    def open_sessions(self) -> Sequence[Session]:
        """The sessions that are open now."""
        return [session for session in self.sessions if session.closed_at is None]


def grant_page(
    grant: Grant,
    reader: Identity,
    now: dt.datetime,
    *,
    show: str = "",
    opened: int | None = None,
    target: str = "",
) -> GrantPage:
    """Return one grant with what was tried in it, the latest first."""
    targets = list(grant.targets.order_by("name"))
    chosen = next((one for one in targets if one.name == target), targets[0] if targets else None)
    own = reader.pk in (grant.holder_id, grant.holder.owner_id)
    entries = _entries(grant, reader, now, show, opened)
    leases = list(grant.leases.select_related("target").order_by("target__name"))
    sessions = list(grant.sessions.select_related("target").order_by("-pk")[:20])
    pending = grant.extensions.filter(state=RequestState.PENDING).first()
    return GrantPage(
        grant=grant,
        own=own,
        may_end=Grant.objects.endable_by(reader).filter(pk=grant.pk).exists(),
        may_not_review=may_not_review(grant, reader) if grant.break_glass and not grant.reviewed_at else "-",
        targets=targets,
        target=chosen,
        runnable=_runnable(grant, chosen, now),
        entries=entries,
        counts=_counts(grant),
        leases=leases,
        sessions=sessions,
        pending_extension=pending.ref if pending else "",
        show=show,
        opened=opened,
        seen=_seen(grant, entries, leases, sessions, pending.ref if pending else ""),
    )


def _entries(
    grant: Grant, reader: Identity, now: dt.datetime, show: str, opened: int | None
) -> list[RunEntry]:
    runs = grant.runs.select_related("target", "decided_by").order_by("-pk")
    if show in FILTERS:
        runs = runs.filter(state__in=FILTERS[show])
    elif show == "changes":
        runs = runs.exclude(effect__in=["read", ""])
    decidable = set(holds_for(reader, now).filter(grant=grant).values_list("pk", flat=True))
    return [
        RunEntry(
            run, output_of(run.recording) if run.pk == opened else None, run.pk == opened, run.pk in decidable
        )
        for run in runs[:MOST_RUNS]
    ]


def _counts(grant: Grant) -> dict[str, int]:
    found = list(grant.runs.values_list("state", "effect"))
    return {
        "all": len(found),
        "held": sum(1 for state, _ in found if state in FILTERS["held"]),
        "refused": sum(1 for state, _ in found if state in FILTERS["refused"]),
        "changes": sum(1 for _, effect in found if effect not in ("read", "")),
    }


def _runnable(grant: Grant, target: Target | None, now: dt.datetime) -> list[Runnable]:
    if target is None:
        return []
    account = _account(grant, target, now)
    found = []
    for view in describe(commands.compiled(grant.command_set_version, grant.parameters, grant.commands)):
        command = view.text if view.free else _for_shell(view.text)
        line = f"ssh -p {settings.SSH_GATEWAY_PORT} {account}@{settings.SSH_PUBLIC_HOST} {command}"
        found.append(Runnable(view, line, "" if view.free else line))
    return found


def _account(grant: Grant, target: Target, now: dt.datetime) -> str:
    """Return the user name that the gateway takes; with the grant's own name where another grant fits as well."""
    others = Grant.objects.filter(
        holder=grant.holder_id, state=GrantState.ACTIVE, expires_at__gt=now, targets__name=target.name
    ).exclude(pk=grant.pk)
    return f"{grant.ref}.{target.name}" if others.exists() else target.name


def _for_shell(command: str) -> str:
    """Return a command as one typed into a local shell, which would otherwise undo its quotes."""
    return command if _SHELL_PLAIN.fullmatch(command) else quote(command)


def _seen(
    grant: Grant,
    entries: Sequence[RunEntry],
    leases: Sequence[Lease],
    sessions: Sequence[Session],
    pending: str,
) -> str:
    """Return a short name of all that the live part shows, so that a poll without news changes nothing on the page."""
    parts = [grant.version, grant.state, grant.expires_at, grant.last_error, grant.reviewed_at, pending]
    parts += [(entry.run.pk, entry.run.state, entry.run.decided_at, entry.may_decide) for entry in entries]
    parts += [(lease.pk, lease.gone_at, lease.last_error) for lease in leases]
    parts += [(session.pk, session.closed_at) for session in sessions]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
