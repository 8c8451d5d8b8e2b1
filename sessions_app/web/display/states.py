"""Display styles of states on pages: a tone, an icon and a word for each. A tone is never the only signal."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from sessions_app.models import (
    AccessRequest,
    CommandRun,
    Grant,
    GrantState,
    RequestKind,
    RequestState,
    Risk,
    RunState,
    Workflow,
    WorkflowKind,
    WorkflowState,
)
from sessions_app.web.templatetags.times import say_rough


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: `1 target`, `2 targets`. `entry,entries` gives both forms."""
    one, _, many = noun.partition(",")
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def in_order(name: str) -> list[str | int]:
    """Return a sort key for names in natural order: `web-2` before `web-10`."""
    return [int(part) if at % 2 else part for at, part in enumerate(re.split(r"([0-9]+)", name))]


class Look(NamedTuple):
    """A tone of the stylesheet, an icon of the sprite and a word."""

    tone: str
    icon: str
    word: str


REQUEST: dict[str, Look] = {
    RequestState.PENDING: Look("warn", "clock", "Waiting"),
    RequestState.APPROVED: Look("ok", "check", "Approved"),
    RequestState.DENIED: Look("bad", "x", "Denied"),
    RequestState.WITHDRAWN: Look("mute", "x", "Withdrawn"),
    RequestState.LAPSED: Look("mute", "clock", "Expired"),
}

# Break-glass access starts without an approval, so no page calls it approved.
BREAK_GLASS = Look("glass", "flame", "Break-glass access")

GRANT: dict[str, Look] = {
    GrantState.SCHEDULED: Look("info", "clock", "Scheduled"),
    GrantState.PROVISIONING: Look("info", "plug", "Starting"),
    GrantState.ACTIVE: Look("ok", "", "Active"),
    GrantState.REVOKING: Look("warn", "stop", "Ending"),
    GrantState.ENDED: Look("mute", "check", "Ended"),
}

RUN: dict[str, Look] = {
    RunState.REFUSED: Look("bad", "x", "Refused"),
    RunState.HELD: Look("warn", "pause", "Waiting for a second person"),
    RunState.HOLD_DENIED: Look("bad", "x", "Denied by a second person"),
    RunState.HOLD_LAPSED: Look("mute", "clock", "Timed out"),
    RunState.HOLD_WITHDRAWN: Look("mute", "x", "Withdrawn"),
    RunState.ALLOWED: Look("info", "", "Starting"),
    RunState.RUNNING: Look("info", "", "Running"),
    RunState.DONE: Look("ok", "check", "Done"),
    RunState.CUT: Look("bad", "stop", "Terminated"),
    RunState.FAILED: Look("bad", "alert", "Failed to start"),
}
# The command finished with a nonzero exit status, a signal or an error. The meaning depends on the program.
DONE_BADLY = Look("warn", "alert", "Done")

WORKFLOW: dict[str, Look] = {
    WorkflowKind.INCIDENT: Look("glass", "flame", "Incident"),
    WorkflowKind.CHANGE: Look("info", "gantt", "Change"),
    WorkflowKind.TICKET: Look("info", "ticket", "Ticket"),
    WorkflowKind.TASK: Look("info", "check", "Task"),
    WorkflowKind.PIPELINE: Look("info", "play", "Pipeline"),
}

EFFECT: dict[str, Look] = {
    "read": Look("mute", "eye", "read"),
    "change": Look("info", "cmd", "change"),
    "destructive": Look("bad", "alert", "destructive"),
}

RISK: dict[str, Look] = {
    Risk.LOW: Look("ok", "check", "Low"),
    Risk.MEDIUM: Look("warn", "alert", "Medium"),
    Risk.HIGH: Look("bad", "alert", "High"),
    "critical": Look("bad", "alert", "Critical"),
}

MESSAGE: dict[str, Look] = {
    "error": Look("bad", "alert", "Error"),
    "warning": Look("warn", "check", "Warning"),
    "success": Look("ok", "check", "Done"),
}

# Differences between two versions, with their signs in a diff.
CHANGE: dict[str, Look] = {
    "added": Look("ok", "+", "added"),
    "removed": Look("bad", "−", "removed"),
    "changed": Look("info", "~", "changed"),
}

UNKNOWN = Look("mute", "ask", "Unknown")


# Record entries, by the family of their event.
ENTRY: dict[str, Look] = {
    "request": Look("info", "ticket", "Request"),
    "grant": Look("info", "key", "Grant"),
    "session": Look("mute", "plug", "Session"),
    "command": Look("info", "term", "Command"),
    "recording": Look("mute", "rec", "Recording"),
    "lease": Look("mute", "lock", "Target access"),
    "credential": Look("mute", "key", "Credential"),
    "drift": Look("warn", "alert", "Drift"),
    "breakglass": Look("glass", "flame", "Break-glass access"),
    "workflow": Look("mute", "clock", "Workflow"),
    "source": Look("mute", "plug", "Workflow source"),
    "identity": Look("mute", "people", "Identity"),
    "permission": Look("mute", "people", "Permission"),
    "command_set": Look("mute", "cmd", "Command set"),
    "cluster": Look("mute", "cluster", "Cluster"),
    "webhook": Look("mute", "link", "Webhook"),
    "ca": Look("mute", "shield", "Certificate authority"),
    "record": Look("mute", "shield", "Record"),
}
CATALOG_ENTRY = Look("mute", "policy", "Catalog")
# Words in event names for actions that were refused, failed or ended access, and for successful actions.
_BAD = {"denied", "refused", "failed", "failing", "broken", "revoke_failing", "mail_failed"}
_BAD |= {"sign_in_failed", "token_refused", "device_denied"}
_GOOD = {"approved", "active", "released", "verified", "gone"}


class Tile(NamedTuple):
    """One figure with its tone, its title and an explanation below."""

    tone: str
    title: str
    value: str
    below: str


class Linked(NamedTuple):
    """A name with the address of its page. Without an address it is plain text."""

    label: str
    url: str = ""


def line_style(line: str) -> str:
    """Return the CSS class of a line in a unified diff."""
    return {"+": "ins", "-": "del", "@": "faint"}.get(line[:1], "")


def step_look(step: Mapping[str, Any]) -> Look:
    """Return the display style of a stored step of a connection check. A step that passed may still have
    advice.
    """
    if not step["ok"]:
        return Look("bad", "x", "failed")
    return Look("warn" if step["fix"] else "ok", "check", "passed")


def severity_look(severity: str) -> Look | None:
    """Return the display style of an incident's severity; None if no severity is set."""
    return Look("bad" if severity in ("P1", "P2") else "warn", "alert", severity) if severity else None


def request_look(request: AccessRequest, now: dt.datetime) -> Look:
    """Return the display style of a request's state. A request past its deadline is shown as expired, even if
    no worker has closed it yet.
    """
    if request.state == RequestState.PENDING and request.lapses_at <= now:
        return REQUEST[RequestState.LAPSED]
    if request.state == RequestState.APPROVED and request.kind == RequestKind.BREAK_GLASS:
        return BREAK_GLASS
    return REQUEST.get(request.state, UNKNOWN)


def grant_look(grant: Grant, now: dt.datetime) -> Look:
    """Return the display style of a grant's state. A grant past its deadline is shown as expired, even if no
    worker has ended it yet. An end without confirmation is marked as such.
    """
    if grant.state in (GrantState.ACTIVE, GrantState.PROVISIONING) and grant.expires_at <= now:
        return Look("warn", "clock", "Expired")
    if grant.state == GrantState.REVOKING and grant.last_error:
        return Look("bad", "alert", "Revocation not confirmed")
    if grant.state == GrantState.ACTIVE and grant.held_at is not None:
        return Look("warn", "pause", "Suspended")
    return GRANT.get(grant.state, UNKNOWN)


def entry_look(event: str) -> Look:
    """Return the display style of a record entry: the icon of its event family, and the tone of the
    outcome.
    """
    family, _, act = event.partition(".")
    look = ENTRY.get(family, CATALOG_ENTRY)
    if act in _BAD:
        return look._replace(tone="bad")
    return look._replace(tone="ok") if act in _GOOD else look


def workflow_state(workflow: Workflow) -> Look:
    """Return the display style of a workflow's state. Only open incidents are highlighted."""
    if workflow.state != WorkflowState.OPEN:
        return Look("mute", "check", "Closed")
    if workflow.kind == WorkflowKind.INCIDENT:
        return Look("glass", "flame", "Open")
    return Look("info", "clock", "Open")


def run_look(run: CommandRun, now: dt.datetime) -> Look:
    """Return the display style of a command run's state. A held command past its deadline is shown as timed
    out, even if no worker has ended the hold yet.
    """
    if run.state == RunState.HELD and not run.may_yet_run(now):
        return RUN[RunState.HOLD_LAPSED]
    if run.state == RunState.DONE and (run.signal or run.exit_status or run.reason):
        return DONE_BADLY
    return RUN.get(run.state, UNKNOWN)


def health_look(targets: int, failing: int, unchecked: int) -> Look:
    """Return the display style of the latest checks of a cluster's targets."""
    if failing:
        return Look("bad", "x", f"{failing} target{' fails' if failing == 1 else 's fail'}")
    if not targets:
        return Look("mute", "ask", "no targets")
    if unchecked == targets:
        return Look("mute", "ask", "never checked")
    if unchecked:
        return Look("warn", "alert", f"{unchecked} of {targets} never checked")
    return Look("ok", "check", "healthy")


def took(run: CommandRun) -> str:
    """Return how long a command ran: `0.9 s`, `11 s`, `3 min`; empty if the command has not ended."""
    if run.started_at is None or run.ended_at is None:
        return ""
    seconds = (run.ended_at - run.started_at).total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else say_rough(int(seconds))


def run_result(run: CommandRun) -> str:
    """Return a command's result and duration: `exit 0, 0.9 s`; empty if the command did not finish."""
    if run.state != RunState.DONE:
        return ""
    if run.rows is not None:
        return f"{plural(run.rows, 'row')}, {took(run)}"
    return f"killed by {run.signal}, {took(run)}" if run.signal else f"exit {run.exit_status}, {took(run)}"
