"""The receipt of a grant: the approvals, the commands run and refused, the end, and its verification."""

from __future__ import annotations

import datetime as dt
from typing import Any

from broker.audit.events import Event
from broker.audit.models import AuditEntry
from sessions_app.models import CommandRun, EndReason, Grant, Lease, RunState
from sessions_app.policy.commands.kinds import describe
from sessions_app.queries.catalog.command_sets import compiled
from sessions_app.queries.grants.budgets import plain_budgets
from sessions_app.queries.grants.comparisons import NEVER_RAN, comparison


def receipt(grant: Grant, now: dt.datetime) -> dict[str, Any]:
    """Return the receipt as plain data.

    Before the end, the receipt shows the current state. Times are ISO 8601, durations in seconds.
    """
    runs = list(grant.runs.select_related("target").order_by("pk"))
    return {
        **summary(grant, now),
        "run": [_run(run) for run in runs if run.state not in (*NEVER_RAN, RunState.HELD)],
        "refused": [_refused(run) for run in runs if run.state in NEVER_RAN],
        "sessions": _sessions(grant),
        "checked": [
            _checked(lease) for lease in grant.leases.select_related("target").order_by("target__name")
        ],
    }


def summary(grant: Grant, now: dt.datetime) -> dict[str, Any]:
    """Return the part of a receipt about the grant itself. The cost does not depend on the number of commands
    run.
    """
    return {
        "grant": grant.ref,
        "request": grant.request.ref,
        "holder": grant.holder.username,
        "cluster": grant.cluster.name,
        "state": grant.state,
        "approved": _approved(grant),
        "compared": comparison(grant, now),
        "budgets": plain_budgets(grant, now),
        "suspended": _suspended(grant),
        "ended": _ended(grant, now),
    }


def _approved(grant: Grant) -> dict[str, Any]:
    approvals = (
        grant.request.approvals.select_related("approver").filter(voided_at__isnull=True).order_by("pk")
    )
    return {
        "command_set": str(grant.command_set_version),
        "commands": [
            view.text
            for view in describe(compiled(grant.command_set_version, grant.parameters, grant.commands))
        ],
        "parameters": grant.parameters,
        "targets": sorted(target.name for target in grant.targets.all()),
        "starts_at": grant.starts_at.isoformat(),
        "expires_at": grant.expires_at.isoformat(),
        "digest": grant.request.digest,
        "reason": grant.request.reason,
        "ticket": grant.request.ticket,
        "workflow": grant.workflow.ref if grant.workflow else None,
        "break_glass": grant.break_glass,
        "own_incident": grant.is_own_incident,
        "by": [
            {
                "approver": approval.approver.username,
                "name": str(approval.approver),
                "verdict": approval.verdict,
                "comment": approval.comment,
                "narrowing": approval.narrowing,
                "at": approval.created_at.isoformat(),
            }
            for approval in approvals
        ],
    }


def _suspended(grant: Grant) -> list[dict[str, Any]]:
    """Return each suspension with its end, from the record."""
    entries = AuditEntry.objects.filter(
        object_type="grant",
        object_ref=grant.ref,
        event__in=(Event.GRANT_HELD.value, Event.GRANT_RELEASED.value),
    )
    found: list[dict[str, Any]] = []
    for entry in entries.order_by("seq"):
        if entry.event == Event.GRANT_HELD.value:
            by_person = entry.actor_id is not None
            found.append(
                {
                    "at": entry.at.isoformat(),
                    "by": entry.actor if by_person else None,
                    "why": entry.data.get("note", "") if by_person else "too many refused commands",
                    "resumed_at": None,
                    "resumed_by": None,
                }
            )
        elif found:
            found[-1] |= {"resumed_at": entry.at.isoformat(), "resumed_by": entry.actor}
    return found


def _run(run: CommandRun) -> dict[str, Any]:
    return {
        "run": run.pk,
        "command": run.line,
        "target": run.target.name,
        "client_address": run.client_address,
        "state": run.state,
        "effect": run.effect,
        "at": run.tried_at.isoformat(),
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
        "exit_status": run.exit_status,
        "rows": run.rows,
        "output_bytes": run.output_bytes,
        "signal": run.signal,
        "why": run.reason,
        "notes": run.notes,
        "untrusted": run.untrusted,
        "recording_sha256": run.recording_digest,
    }


def _refused(run: CommandRun) -> dict[str, Any]:
    return {
        "run": run.pk,
        "command": run.line,
        "target": run.target.name,
        "client_address": run.client_address,
        "at": run.tried_at.isoformat(),
        "state": run.state,
        "why": run.reason,
    }


def _sessions(grant: Grant) -> list[dict[str, Any]]:
    return [
        {
            "session": session.pk,
            "target": session.target.name,
            "from": session.client_address,
            "key": session.proof,
            "opened_at": session.opened_at.isoformat(),
            "closed_reason": session.close_reason,
            "closed_at": session.closed_at.isoformat() if session.closed_at else None,
        }
        for session in grant.sessions.select_related("target").order_by("pk")
    ]


def _ended(grant: Grant, now: dt.datetime) -> dict[str, Any] | None:
    if not grant.end_reason:
        return None
    began = grant.revoking_at or grant.ended_at or now
    return {
        "reason": grant.end_reason,
        "why": EndReason(grant.end_reason).label,
        "note": grant.end_note,
        "by": grant.ender.username if grant.ender else None,
        "began_at": began.isoformat(),
        "proven_at": grant.ended_at.isoformat() if grant.ended_at else None,
        "seconds": round(((grant.ended_at or now) - began).total_seconds(), 3),
        "early_seconds": max(0, round((grant.expires_at - began).total_seconds())),
        "last_error": grant.last_error,
        "attempts": grant.attempts,
    }


def _checked(lease: Lease) -> dict[str, Any]:
    return {
        "target": lease.target.name,
        "made": lease.made,
        "made_at": lease.made_at.isoformat(),
        "gone": lease.gone_at is not None,
        "gone_at": lease.gone_at.isoformat() if lease.gone_at else None,
        "evidence": lease.evidence,
        "attempts": lease.attempts,
        "last_error": lease.last_error,
    }
