"""All that the page of one grant shows."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.conf import settings

from accounts.models import Identity
from sessions_app.connectors.registry import find
from sessions_app.models import Grant, GrantState, Lease, RequestState, Session, Target
from sessions_app.operations.grants.delegate_grant import delegates_of
from sessions_app.policy.commands.answers import CommandView, FreeParameter
from sessions_app.policy.commands.kinds import describe
from sessions_app.policy.commands.ssh.quoting import quote
from sessions_app.queries import commands
from sessions_app.queries.chain import chain_of, tree_below
from sessions_app.queries.deciders import may_not_decide_in, may_not_review, reviewers
from sessions_app.queries.endings import Ending, endings
from sessions_app.queries.gateways import mcp_address
from sessions_app.queries.receipts import summary
from sessions_app.web.grants.log import Asked, Log, log_of
from sessions_app.web.shell.words import in_order
from sessions_app.web.templatetags.stint import extensions, is_running

_SHELL_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=\- ]+")
OVER = (GrantState.REVOKING, GrantState.ENDED)
# More commands than this fold away.
FIRST = 8


@dataclass(frozen=True, slots=True)
class RunField:
    """One value that is free at each run, as a field of the form."""

    name: str
    free: FreeParameter
    value: str


@dataclass(frozen=True, slots=True)
class Runnable:
    """One allowed command, its fields, and the line that runs it from a terminal. ``copy`` is empty while values are open."""

    view: CommandView
    fields: Sequence[RunField]
    line: str
    copy: str

    @property
    def names(self) -> str:
        """Its fields, as what is wrong with them is said of: `v.2.lines:lines`."""
        return " ".join(f"{field.name}:{field.free.name}" for field in self.fields)


@dataclass(frozen=True, slots=True)
class Proof:
    """What the targets said about the end of a grant."""

    leases: Sequence[Lease]
    untouched: int

    @property
    def gone(self) -> int:
        """On how many targets the end is proven."""
        return sum(1 for lease in self.leases if lease.gone_at)

    @property
    def silent(self) -> list[Lease]:
        """Those that have not confirmed yet."""
        return [lease for lease in self.leases if not lease.gone_at]

    @property
    def sentence(self) -> str:
        """`11 of 12 targets confirmed; web-2 does not answer, still asking`."""
        if not self.leases:
            return "It was never used, so no target had anything of it"
        word = "target" if len(self.leases) == 1 else "targets"
        said = f"{self.gone} of {len(self.leases)} {word} confirmed"
        names = [lease.target.name for lease in self.silent]
        if not names:
            return said
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        failing = any(lease.last_error for lease in self.silent)
        verb = "do" if len(names) > 1 else "does"
        return f"{said}; {shown} {verb} not answer, still asking" if failing else f"{said}; asking {shown}"


@dataclass(frozen=True, slots=True)
class GrantPage:
    """One grant for one reader."""

    grant: Grant
    own: bool
    may_run: bool
    may_end: bool
    ending: Ending
    may_not_review: str
    # Who can look at what was done behind broken glass, where it waits for that and the reader can't.
    reviewers: Sequence[Identity]
    may_release: bool
    targets: Sequence[Target]
    target: Target | None
    runnable: Sequence[Runnable]
    log: Log
    proof: Proof
    receipt: dict[str, Any] | None
    sessions: Sequence[Session]
    pending_extension: str
    chain: Sequence[Grant]
    below: Sequence[tuple[int, Grant]]
    delegates: Sequence[Identity]
    seen: str

    def has_form(self, form: str, which: int | None) -> bool:
        """Whether one of its forms is on the page now: of a command the one of its number, of longer access that by so many
        seconds.
        """
        holds = self.own and self.grant.state not in OVER
        return {
            "run": self.may_run and which in {one.view.index for one in self.runnable},
            "end": self.may_end,
            "extend": self.may_end
            and not self.pending_extension
            and which in {offer.seconds for offer in extensions(self.grant)},
            "delegate": bool(self.delegates),
            "credential": holds and self.issues and not self.by_gateway and is_running(self.grant),
            "release": self.may_release and self.grant.held_at is not None,
            "review": self.may_not_review == "",
        }.get(form, False)

    @property
    def by_gateway(self) -> bool:
        """Whether its commands run through the SSH gateway, also from the page."""
        return _runs(self.grant)

    @property
    def issues(self) -> bool:
        """Whether it is used with a credential of the target's own."""
        kind = find(self.grant.cluster.kind)
        return kind is not None and kind.issues

    @property
    def mcp_address(self) -> str:
        """Where agents connect; nothing where access is not by MCP."""
        return mcp_address(self.grant.cluster)

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.grant.state == GrantState.ENDED

    @property
    def address(self) -> str:
        """What the live part has to be asked with, so that it shows the same again."""
        log = self.log
        values = {
            "seen": self.seen, "show": log.show, "before": log.asked.before, "open": log.asked.opened, "order": log.asked.order,
            "target": self.target.name if self.target and self.target != self.targets[0] else "",
        }  # fmt: skip
        return urlencode({name: value for name, value in values.items() if value not in ("", None)})

    @property
    def open_sessions(self) -> Sequence[Session]:
        """The sessions that are open now."""
        return [session for session in self.sessions if session.closed_at is None]

    @property
    def first(self) -> Sequence[Runnable]:
        """The commands that are shown at once."""
        return self.runnable[:FIRST]

    @property
    def rest(self) -> Sequence[Runnable]:
        """The commands that are folded away."""
        return self.runnable[FIRST:]


def grant_page(
    grant: Grant,
    reader: Identity,
    now: dt.datetime,
    *,
    asked: Asked,
    target: str = "",
    typed: Mapping[str, str] | None = None,
) -> GrantPage:
    """Return one grant with what was tried in it, the latest first. ``typed`` is what a form sent."""
    targets = sorted(grant.targets.all(), key=lambda one: in_order(one.name))
    chosen = next((one for one in targets if one.name == target), targets[0] if targets else None)
    log = log_of(grant, reader, now, asked)
    leases = list(grant.leases.select_related("target").order_by("gone_at", "target__name"))
    sessions = list(grant.sessions.select_related("target").order_by("-pk")[:20])
    pending = grant.extensions.filter(state=RequestState.PENDING).first()
    live = grant.state == GrantState.ACTIVE and grant.expires_at > now
    below = tree_below(grant)
    ending = endings([grant], now)[grant.pk]
    why_not_review = may_not_review(grant, reader) if grant.review_due_at and not grant.reviewed_at else "-"
    return GrantPage(
        grant=grant,
        own=reader.pk in (grant.holder_id, grant.holder.owner_id),
        may_run=live and reader.pk == grant.holder_id and _runs(grant) and grant.held_at is None,
        may_end=_may_end(grant, reader, now),
        ending=ending,
        may_not_review=why_not_review,
        reviewers=reviewers(grant) if why_not_review not in ("", "-") and grant.state in OVER else [],
        may_release=live and grant.held_at is not None and not may_not_decide_in(grant, reader),
        targets=targets,
        target=chosen,
        runnable=_runnable(grant, chosen, now, typed or {}),
        log=log,
        proof=Proof(leases, len(targets) - len(leases)),
        receipt=summary(grant, now) if grant.state in OVER else None,
        sessions=sessions,
        pending_extension=pending.ref if pending else "",
        chain=chain_of(grant) if grant.parent_id else [],
        below=below,
        delegates=delegates_of(grant, now) if live and reader.pk == grant.holder_id else [],
        seen=_seen(grant, log, leases, sessions, pending.ref if pending else "", below),
    )


def _may_end(grant: Grant, reader: Identity, now: dt.datetime) -> bool:
    """Whether the reader may end what has not ended yet, or cut what may finish in it."""
    finishing = grant.finish_until is not None and grant.finish_until > now
    if grant.state == GrantState.ENDED or (grant.state == GrantState.REVOKING and not finishing):
        return False
    return Grant.objects.endable_by(reader).filter(pk=grant.pk).exists()


def field_name(index: int, name: str) -> str:
    """Return the name under which the form of all commands sends one value of one of them."""
    return f"v.{index}.{name}"


def _runnable(
    grant: Grant, target: Target | None, now: dt.datetime, typed: Mapping[str, str]
) -> list[Runnable]:
    views = describe(commands.compiled(grant.command_set_version, grant.parameters, grant.commands))
    if not _runs(grant):
        return [Runnable(view, [], "", "") for view in views]
    if target is None:
        return []
    account = _account(grant, target, now)
    found = []
    for view in views:
        command = view.text if view.free else _for_shell(view.text)
        line = f"ssh -p {settings.SSH_GATEWAY_PORT} {account}@{settings.SSH_PUBLIC_HOST} {command}"
        names = [(field_name(view.index, free.name), free) for free in view.free]
        fields = [RunField(name, free, typed.get(name, "")) for name, free in names]
        found.append(Runnable(view, fields, line, "" if view.free else line))
    return found


def _runs(grant: Grant) -> bool:
    kind = find(grant.cluster.kind)
    return kind is not None and kind.runs


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
    log: Log,
    leases: Sequence[Lease],
    sessions: Sequence[Session],
    pending: str,
    below: Sequence[tuple[int, Grant]],
) -> str:
    """Return a short name of all that the live part shows, so that a look without news changes nothing on the page."""
    parts: list[object] = [
        grant.version,
        grant.state,
        grant.held_at,
        grant.expires_at,
        grant.last_error,
        grant.reviewed_at,
        grant.heartbeat_due_at,
        pending,
        *((one.ref, one.state) for _, one in below),
    ]
    parts += [
        (
            entry.run.pk,
            entry.run.state,
            entry.run.decided_at,
            entry.may_decide,
            entry.may_withdraw,
            entry.open,
        )
        for entry in log.entries
    ]
    parts += [(entry.order.pk, entry.look, entry.why) for entry in log.orders]
    parts += [(lease.pk, lease.made_until, lease.gone_at, lease.last_error) for lease in leases]
    parts += [(session.pk, session.closed_at) for session in sessions]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
