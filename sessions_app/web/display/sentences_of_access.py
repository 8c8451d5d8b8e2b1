"""Sentences for record entries about requests, grants, commands, and traces on targets."""

from __future__ import annotations

from collections.abc import Callable

from broker.audit.events import Event
from sessions_app.models.grant import why_over
from sessions_app.policy.durations import say_duration
from sessions_app.web.display.phrases import (
    Act,
    Data,
    drift,
    line,
    listed,
    many,
    on,
    source,
    statement,
    times,
    why,
)


def _created(ref: str, data: Data) -> str:
    span = f" for {say_duration(data['duration'])}" if isinstance(data.get("duration"), int) else ""
    if data.get("extends"):
        return f"submitted {ref} to extend {data['extends']}{span}{why(data)}"
    what = f": {data['command_set']} on {data['cluster']}" if data.get("cluster") else ""
    return f"submitted {ref}{what}{span}{why(data)}"


def _approved(ref: str, data: Data) -> str:
    if data.get("by") == "policy":
        return f"needed no approval for {ref} under {data.get('policy', 'the policy')}"
    missing = data.get("missing")
    more = f"; {many(missing, 'more approval')} needed" if missing else ""
    return f"approved {ref}{more}{why(data, 'comment')}"


def _lapsed(ref: str, data: Data) -> str:
    return f"closed {ref}: " + (
        f"{data['closed']} had ended" if data.get("closed") else "no one decided in time"
    )


def _escalated(what: str) -> Callable[[str, Data], str]:
    def act(ref: str, data: Data) -> str:
        people = map(str, data.get("notified") or [])
        webhooks = (f"webhook {name}" for name in data.get("webhooks") or [])
        return f"notified {listed([*people, *webhooks], 'no one')} that {what.format(ref=ref)}"

    return act


def _scheduled(ref: str, data: Data) -> str:
    holder = f" to {data['holder']}" if data.get("holder") else ""
    what = f": {data['command_set']} on {data['cluster']}" if data.get("cluster") else ""
    return f"granted {ref}{holder}{what}"


def _ends(ref: str, data: Data) -> str:
    because = why_over(str(data.get("reason")))
    return f"started revoking {ref}{because and f' ({because})'}{why(data, 'note')}"


def _extended(ref: str, data: Data) -> str:
    return f"extended {ref} by {say_duration(int(data.get('seconds') or 0)) or 'some time'}"


def _failing(ref: str, data: Data) -> str:
    errors = "; ".join(map(str, data.get("errors") or []))
    return f"could not yet confirm the revocation of {ref}{f': {errors}' if errors else ''}"


def _delegated(ref: str, data: Data) -> str:
    return f"delegated part of {ref}{' to ' + str(data['to']) if data.get('to') else ''}{why(data)}"


def _started(ref: str, data: Data) -> str:
    if data.get("incident"):
        return f"started {ref} without approval for {data['incident']}{why(data)}"
    return f"started break-glass access ({ref}){why(data)}"


def _decided_hold(ref: str, data: Data) -> str:
    if data.get("lapsed"):
        return f"timed out {line(data)}{on(data)} under {ref}: not approved in time"
    return f"{'allowed' if data.get('allowed') else 'denied'} the held {line(data)}{on(data)} under {ref}"


def _finished(ref: str, data: Data) -> str:
    status = data.get("exit_status")
    how = f"exited with status {status}" if status is not None else str(data.get("state") or "ended")
    return f"recorded the end of command {data.get('run', '')}{on(data)} under {ref}: {how}{why(data)}"


def _purged(ref: str, data: Data) -> str:
    if "runs" not in data:
        return f"purged {ref}, a recording file without a run; its digest remains in the record"
    return f"purged {many(len(data['runs']), 'recording')} of {ref}; their digests remain in the record"


def _suspended(ref: str, data: Data) -> str:
    if "note" in data:
        return f"suspended {ref}{why(data, 'note')}"
    return f"suspended {ref} after {many(data.get('refused', 'some'), 'refused command')}"


def _lease_made(ref: str, data: Data) -> str:
    if data.get("ahead"):
        return f"started creating access{on(data)} for {ref}"
    return f"first used{on(data) or ' a target'} under {ref}"


_REQUESTS: dict[str, Act] = {
    Event.REQUEST_CREATED: _created,
    Event.REQUEST_APPROVED: _approved,
    Event.REQUEST_DENIED: lambda ref, data: f"denied {ref}{why(data, 'comment')}",
    Event.REQUEST_APPROVAL_WITHDRAWN: "withdrew the approval of {ref}",
    Event.REQUEST_WITHDRAWN: "withdrew {ref}",
    Event.REQUEST_LAPSED: _lapsed,
    Event.REQUEST_PURGED: lambda ref, data: f"deleted {ref}, which was {data.get('state', 'closed')}",
    Event.REQUEST_NARROWED: lambda ref, data: (
        f"reduced the scope of {ref}: {listed(sorted(data), 'see the data')}"
    ),
    Event.REQUEST_COMMENTED: lambda ref, data: f"commented on {ref}{why(data, 'text')}",
    Event.REQUEST_REMINDED: "reminded the approvers of {ref}",
    Event.REQUEST_ESCALATED: _escalated("{ref} is still waiting for a decision"),
    Event.COMMAND_ESCALATED: _escalated("a command in {ref} is still waiting for a second person"),
    Event.BREAKGLASS_ESCALATED: _escalated("{ref} is still waiting for a review"),
}

_GRANTS: dict[str, Act] = {
    Event.GRANT_SCHEDULED: _scheduled,
    Event.GRANT_PROVISIONING: "started setting up {ref}",
    Event.GRANT_ACTIVE: "activated {ref}",
    Event.GRANT_REVOKING: _ends,
    Event.GRANT_ENDED: "confirmed the revocation of {ref} on all targets",
    Event.GRANT_EXTENDED: _extended,
    Event.GRANT_HELD: _suspended,
    Event.GRANT_RELEASED: lambda ref, data: f"resumed {ref}{why(data, 'note')}",
    Event.GRANT_DELEGATED: _delegated,
    Event.GRANT_REVOKE_FAILING: _failing,
    Event.GRANT_PURGED: lambda ref, data: (
        f"deleted {ref}, which had ended, with {many(data.get('runs', 'its'), 'run')}"
    ),
    Event.BREAKGLASS_STARTED: _started,
    Event.BREAKGLASS_REVIEWED: lambda ref, data: (
        f"reviewed {ref}, which had started without approval{why(data, 'note')}"
    ),
    Event.BREAKGLASS_OVERDUE: "notified administrators that the review of {ref} is overdue",
    Event.CREDENTIAL_ISSUED: lambda ref, data: f"issued a credential{on(data)} for {ref}",
    Event.CREDENTIAL_REVOKED: "revoked the token of {ref}",
}

_COMMANDS: dict[str, Act] = {
    Event.SESSION_OPENED: lambda ref, data: f"opened a session{on(data)} under {ref}{source(data)}",
    Event.SESSION_CLOSED: lambda ref, data: f"closed a session{on(data)} under {ref}{why(data)}",
    Event.COMMAND_ORDERED: lambda ref, data: f"started {line(data)}{on(data)} under {ref} from the web",
    Event.FILE_TAKEN: lambda ref, data: f"saved {data.get('path', 'a file')} under {ref} from the web",
    Event.COMMAND_ALLOWED: lambda ref, data: f"ran {line(data)}{on(data)} under {ref}",
    Event.COMMAND_REFUSED: lambda ref, data: (
        f"was refused {line(data)}{on(data)} under {ref}{times(data)}{why(data, 'why')}"
    ),
    Event.COMMAND_HELD: lambda ref, data: (
        f"tried {line(data)}{on(data)} under {ref}, which needs a second person"
    ),
    Event.COMMAND_REMINDED: lambda ref, data: (
        f"reminded the approvers of a held command{on(data)} under {ref}"
    ),
    Event.COMMAND_HOLD_DECIDED: _decided_hold,
    Event.COMMAND_STOPPED: lambda ref, data: f"ended {line(data)}{on(data)} under {ref}",
    Event.COMMAND_FINISHED: _finished,
    Event.COMMAND_OBSERVED: lambda ref, data: (
        f"ran {statement(data)}{on(data)} under {ref}, as the target reports"
    ),
    Event.COMMAND_WATCH_BEGAN: lambda ref, data: f"began watching a command{on(data)} under {ref}",
    Event.COMMAND_WATCH_ENDED: lambda ref, data: (
        f"stopped watching a command{on(data)} under {ref}{why(data)}"
    ),
    Event.CONVERSATION_RECORDED: lambda ref, data: (
        f"completed the recording of a connection{on(data)} under {ref}"
    ),
    Event.RECORDING_WATCHED: "watched a recording of {ref}",
    Event.RECORDING_RECOVERED: lambda ref, data: (
        f"recovered a recording{on(data)} under {ref}: its gateway was lost"
    ),
    Event.RECORDING_PURGED: _purged,
    Event.RECORDING_STORAGE_LOW: lambda ref, data: f"reported low disk space for {ref}{why(data, 'why')}",
}

_LEASES: dict[str, Act] = {
    Event.LEASE_MADE: _lease_made,
    Event.LEASE_PREPARED: lambda ref, data: f"created access{on(data)} for {ref}",
    Event.LEASE_GONE: lambda ref, data: (
        f"confirmed that nothing created for {ref} is left{on(data) or ' on a target'}"
    ),
    Event.LEASE_FAILING: lambda ref, data: (
        f"could not confirm revocation{on(data)} for {ref}{why(data, 'error')}"
    ),
    Event.DRIFT_DETECTED: lambda ref, data: f"found drift{on(data)} in {ref}: {drift(data)}",
    Event.DRIFT_RESOLVED: lambda ref, data: f"found drift resolved{on(data)} in {ref}{why(data, 'grant')}",
}

ACTS = {**_REQUESTS, **_GRANTS, **_COMMANDS, **_LEASES}
