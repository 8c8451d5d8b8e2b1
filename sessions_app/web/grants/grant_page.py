"""The data of a grant's page."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from accounts.models import Identity, answers_for
from sessions_app.connectors.registry import find
from sessions_app.models import (
    Grant,
    GrantState,
    Lease,
    Observed,
    RequestState,
    Session,
    Target,
)
from sessions_app.operations.grants.delegate_grant import delegates_of
from sessions_app.operations.grants.issue_http_token import shares_token
from sessions_app.operations.notifications.notify_of_start import how_it_began
from sessions_app.queries.gateways.addresses import mcp_address
from sessions_app.queries.grants.budgets import BudgetState, budgets_of
from sessions_app.queries.grants.delegations import chain_of, tree_below
from sessions_app.queries.grants.end_preview import endings
from sessions_app.queries.grants.extensions import Extension, extensions
from sessions_app.queries.grants.observing import observed_under
from sessions_app.queries.grants.parts import ENDABLE, LEASES, PENDING_EXTENSION, SESSIONS, has_key
from sessions_app.queries.grants.receipts import summary
from sessions_app.queries.grants.suspensions import suspension_of
from sessions_app.queries.requests.deciders import may_not_release, may_not_review, reviewers
from sessions_app.web.display.cards import GrantCard
from sessions_app.web.display.states import in_order
from sessions_app.web.forms.end_form import EndForm
from sessions_app.web.forms.suspend_form import SuspendForm, suspend_form
from sessions_app.web.grants.grant_head import GrantHead
from sessions_app.web.grants.held_entries import HeldEntries, held_entries
from sessions_app.web.grants.log import Asked, Log, RunEntry, log_of
from sessions_app.web.grants.receipt import Proof, Receipt
from sessions_app.web.grants.runnable import Runnable, runnable_of, runs_by_gateway, takes_orders

OVER = (GrantState.REVOKING, GrantState.ENDED)
# The number of commands that are not collapsed.
FIRST = 8
# Up to this many targets are shown as tabs; more are chosen from a list.
MOST_TABS = 6


@dataclass(frozen=True, slots=True)
class GrantPage:
    """One grant as one reader sees it."""

    grant: Grant
    head: GrantHead
    own: bool
    may_run: bool
    may_end: bool
    ending: EndForm
    may_not_review: str
    # Who can review this break-glass access, if a review is due but the reader can't do it.
    reviewers: Sequence[Identity]
    may_release: bool
    # The form that suspends the grant; None if the reader can't suspend it now.
    suspending: SuspendForm | None
    targets: Sequence[Target]
    target: Target | None
    runnable: Sequence[Runnable]
    log: Log
    receipt: Receipt | None
    sessions: Sequence[Session]
    pending_extension: str
    extensions: Sequence[Extension]
    chain: Sequence[Grant]
    below: Sequence[tuple[int, Grant]]
    delegates: Sequence[Identity]
    # Whether the reader needs an SSH key to use the grant, and has none.
    needs_key: bool
    seen: str
    held: HeldEntries
    budgets: Sequence[BudgetState] = ()

    def has_form(self, form: str, which: int | None) -> bool:
        """Whether the page currently shows a form. ``which`` is the command's number for ``run``, and the
        extension in seconds for ``extend``.
        """
        holds = self.own and self.grant.state not in OVER
        return {
            "run": self.may_run and which in {one.view.index for one in self.runnable},
            "end": self.may_end,
            "extend": (
                self.may_end
                and not self.pending_extension
                and which in {offer.seconds for offer in self.extensions}
            ),
            "delegate": bool(self.delegates),
            "credential": holds and self.issues and not self.by_gateway and self.card.running,
            "release": self.may_release,
            "suspend": self.suspending is not None,
            "review": self.may_not_review == "",
        }.get(form, False)

    @property
    def card(self) -> GrantCard:
        """The grant's card, as lists show it."""
        return self.head.card

    @property
    def usable(self) -> bool:
        """Whether the grant can still be used. If so, the page shows how."""
        return self.grant.state not in OVER

    @property
    def reviewable(self) -> bool:
        """Whether the reader can review the grant."""
        return self.may_not_review == ""

    @property
    def title_of_review(self) -> str:
        """The heading of the grant's review."""
        return f"Review {self.card.unapproved}"

    @property
    def review_advice(self) -> str:
        """A hint for reviewers about the first step."""
        if observed_under(self.grant) == Observed.NOTHING:
            return "Commands are not observed here. Check the target, then describe what you found."
        return "Review what was run, then describe what you found."

    @property
    def unapproved_start(self) -> str:
        """A sentence about who started the grant without approval, and why."""
        own = self.grant.is_own_incident
        began = how_it_began(self.grant) if own else f"{self.grant.holder} started without approval"
        reason = self.grant.request.reason
        return f"{began}{f': “{reason}”' if reason else ''}."

    @property
    def target_names(self) -> str:
        """The names of the grant's targets."""
        return ", ".join(target.name for target in self.targets)

    @property
    def more_lines(self) -> Sequence[Runnable]:
        """The terminal lines of all commands except the first."""
        return self.runnable[1:]

    @property
    def delegated(self) -> list[tuple[bool, Grant]]:
        """The grants delegated from this one, each with whether it was delegated further."""
        return [(depth > 1, grant) for depth, grant in self.below]

    @property
    def run_title(self) -> str:
        """The heading above the grant's commands."""
        return "Run an approved command" if self.may_run else "Allowed commands"

    @property
    def run_note(self) -> str:
        """A note on how the grant's commands run, or why they can't run."""
        if self.may_run and self.target:
            return (
                f"Commands run on {self.target.name} through the gateway. They are recorded and stop when the"
                " access ends."
            )
        if self.head.yours:
            return "Nothing can run now."
        return f"Only {self.grant.holder} can run them, through the gateway."

    @property
    def target_tabs(self) -> bool:
        """Whether the number of targets is small enough for tabs."""
        return self.own and 1 < len(self.targets) <= MOST_TABS

    @property
    def target_select(self) -> bool:
        """Whether there are so many targets that they are chosen from a list."""
        return self.own and len(self.targets) > MOST_TABS

    @property
    def many_targets(self) -> bool:
        """Whether a credential can be issued for more than one target."""
        return len(self.targets) > 1

    @property
    def shares_token(self) -> bool:
        """Whether a new credential has the same token as the previous one."""
        return shares_token(self.grant)

    @property
    def heartbeat_ends(self) -> dt.datetime | None:
        """When the grant ends unless its holder sends a heartbeat."""
        return self.grant.heartbeat_due_at if self.grant.state == GrantState.ACTIVE else None

    @property
    def who_resumes(self) -> str:
        """A sentence about who can resume the suspended grant."""
        if self.may_release:
            return "Running commands continue until they end."
        return "An approver must resume it." if self.own else "Its approvers can resume it."

    @property
    def suspended_above(self) -> str:
        """A sentence about a suspended grant that this one was delegated from; empty if there is none."""
        if self.grant.held_at is not None or self.is_over or not self.chain:
            return ""
        suspension = suspension_of(self.grant)
        return f"{self.grant.ref} {suspension}." if suspension else ""

    @property
    def is_live(self) -> bool:
        """Whether the page updates itself."""
        return not self.is_over

    @property
    def by_gateway(self) -> bool:
        """Whether the grant's commands run through the SSH gateway."""
        return runs_by_gateway(self.grant)

    @property
    def takes_orders(self) -> bool:
        """Whether the grant's commands can be started on the page."""
        return takes_orders(self.grant)

    @property
    def issues(self) -> bool:
        """Whether the holder uses the grant with a credential issued for the target."""
        kind = find(self.grant.cluster.kind)
        return kind is not None and kind.issues

    @property
    def mcp_address(self) -> str:
        """The MCP server's address for agents; empty for other kinds of access."""
        return mcp_address(self.grant.cluster)

    @property
    def is_over(self) -> bool:
        """Whether the grant's state is final."""
        return self.grant.state == GrantState.ENDED

    @property
    def address(self) -> str:
        """The query with which the page's live part requests its current content."""
        log = self.log
        values = {
            "seen": self.seen,
            "show": log.show,
            "before": log.asked.before,
            "open": log.asked.opened,
            "order": log.asked.order,
            "target": self.target.name if self.target and self.target != self.targets[0] else "",
        }
        return urlencode({name: value for name, value in values.items() if value not in ("", None)})

    @property
    def watched(self) -> Sequence[RunEntry]:
        """The running commands that another person is watching now."""
        return [entry for entry in self.log.entries if entry.running and entry.watchers]

    @property
    def open_sessions(self) -> Sequence[Session]:
        """The sessions that are open now."""
        return [session for session in self.sessions if session.closed_at is None]

    @property
    def first(self) -> Sequence[Runnable]:
        """The commands that are not collapsed."""
        return self.runnable[:FIRST]

    @property
    def rest(self) -> Sequence[Runnable]:
        """The commands that are collapsed."""
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
    """Return one grant with its attempted commands, latest first. ``typed`` contains the values of a
    submitted form.
    """
    targets = sorted(grant.targets.all(), key=lambda one: in_order(one.name))
    chosen = next((one for one in targets if one.name == target), targets[0] if targets else None)
    log = log_of(grant, reader, now, asked)
    leases, sessions = LEASES(grant.pk), SESSIONS(grant.pk)
    for lease in leases:
        lease.grant = grant
    pending = PENDING_EXTENSION.first(grant.pk, RequestState.PENDING.value)
    live = grant.state == GrantState.ACTIVE and grant.expires_at > now
    below = tree_below(grant)
    chain = chain_of(grant) if grant.parent_id else []
    own = answers_for(reader, grant.holder)
    may_end = _may_end(grant, reader, now)
    ending = EndForm(grant, endings([grant], now)[grant.pk])
    budgets = budgets_of(grant, now)
    why_not_review = may_not_review(grant, reader) if grant.review_due_at and not grant.reviewed_at else "-"
    return GrantPage(
        grant=grant,
        head=GrantHead(GrantCard(grant, now), own, reader.pk == grant.holder_id),
        own=own,
        may_run=live and reader.pk == grant.holder_id and takes_orders(grant) and grant.held_at is None,
        may_end=may_end,
        ending=ending,
        may_not_review=why_not_review,
        reviewers=reviewers(grant) if why_not_review not in ("", "-") and grant.state in OVER else [],
        may_release=live and grant.held_at is not None and not may_not_release(grant, reader),
        suspending=suspend_form(grant, reader, now, ending.ending) if may_end else None,
        targets=targets,
        target=chosen,
        runnable=runnable_of(grant, chosen, now, typed or {}),
        log=log,
        receipt=_receipt(grant, log, Proof(leases, len(targets) - len(leases)), now),
        sessions=sessions,
        pending_extension=pending.ref if pending else "",
        extensions=extensions(grant, now) if reader.pk == grant.holder_id else [],
        chain=chain,
        below=below,
        delegates=delegates_of(grant, now) if live and reader.pk == grant.holder_id else [],
        needs_key=own and live and not sessions and runs_by_gateway(grant) and not has_key(grant.holder),
        seen=_seen(grant, chain, log, leases, sessions, pending.ref if pending else "", below, budgets),
        held=held_entries(log, reader, now),
        budgets=budgets,
    )


def end_form(grant: Grant, reader: Identity, now: dt.datetime) -> EndForm | None:
    """Return the form that ends a grant; None if the reader can't end it."""
    return EndForm(grant, endings([grant], now)[grant.pk]) if _may_end(grant, reader, now) else None


def _receipt(grant: Grant, log: Log, proof: Proof, now: dt.datetime) -> Receipt | None:
    return Receipt(grant, summary(grant, now), proof, log.counts) if grant.state in OVER else None


def _may_end(grant: Grant, reader: Identity, now: dt.datetime) -> bool:
    """Whether the reader can end the grant, or terminate commands that are still running after its end."""
    finishing = grant.finish_until is not None and grant.finish_until > now
    if grant.state == GrantState.ENDED or (grant.state == GrantState.REVOKING and not finishing):
        return False
    return bool(ENDABLE(reader, now, grant=grant.pk))


def _seen(
    grant: Grant,
    chain: Sequence[Grant],
    log: Log,
    leases: Sequence[Lease],
    sessions: Sequence[Session],
    pending: str,
    below: Sequence[tuple[int, Grant]],
    budgets: Sequence[BudgetState],
) -> str:
    """Return a hash of everything that the live part shows, so that polling updates the page only after
    changes.
    """
    parts: list[object] = [
        grant.version,
        grant.state,
        *(one.held_at for one in chain or [grant]),
        grant.expires_at,
        grant.last_error,
        grant.reviewed_at,
        grant.heartbeat_due_at,
        pending,
        *((one.ref, one.state) for _, one in below),
        *(one.used for one in budgets),
    ]
    parts += [
        (
            entry.run.pk,
            entry.run.state,
            entry.run.decided_at,
            entry.may_decide,
            entry.may_withdraw,
            entry.open,
            entry.watchers,
        )
        for entry in log.entries
    ]
    parts += [(entry.order.pk, entry.look, entry.why) for entry in log.orders]
    parts += [(lease.pk, lease.made_until, lease.gone_at, lease.last_error) for lease in leases]
    parts += [(session.pk, session.closed_at) for session in sessions]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
