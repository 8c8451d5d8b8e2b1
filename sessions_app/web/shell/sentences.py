"""What happened, in plain words, for each event that the record knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from broker.audit.actor import SYSTEM_PREFIX
from broker.audit.events import Event
from broker.audit.models import AuditEntry
from sessions_app.models import EndReason
from sessions_app.policy.durations import say_duration

Data = dict[str, Any]
Act = str | Callable[[str, Data], str]
LONGEST = 200

_PARTS = {
    "sweep": "The clock",
    "end": "The clock",
    "gateway": "The gateway",
    "deprovision": "The undoing",
    "verify": "The regular check",
    "audit_verify": "A check by hand",
    "provision": "Stint",
    "reconcile": "The minutely look",
    "deviations": "The count of refusals",
    "setup": "Stint",
    "webhooks": "The sending of webhooks",
    "escalation": "The clock",
    "workflows": "The work's source",
    "hooks": "The door for webhooks",
    "exchange": "The exchange of tokens",
    "record": "The record",
    "recordings": "Stint",
    "provider": "The identity provider",
}


_FACTORS = {"totp": "an authenticator app", "webauthn": "a passkey", "recovery_codes": "a recovery code"}


def sentence(entry: AuditEntry) -> str:
    """Return what an entry tells: who did what to what. Facts that the entry does not have are left out."""
    data = entry.data
    act = _ACTS.get(entry.event)
    if act is None:
        return f"{_actor(entry)}: {entry.event} on {entry.object_ref}."
    text = act(entry.object_ref, data) if callable(act) else act.format(ref=entry.object_ref)
    return f"{_actor(entry)} {_short(text)}."


def _actor(entry: AuditEntry) -> str:
    if not entry.actor.startswith(SYSTEM_PREFIX):
        return entry.actor
    part = entry.actor.removeprefix(SYSTEM_PREFIX)
    return _PARTS.get(part, f"Stint ({part})")


def _short(text: str) -> str:
    text = " ".join(text.split()).removesuffix(".")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _line(data: Data) -> str:
    argv = data.get("argv")
    line = data.get("line") or (" ".join(map(str, argv)) if isinstance(argv, list) else "")
    return f"“{line}”" if line else f"command {data.get('run', '')}".strip()


_DRIFT = {
    "missing": "something missing", "changed": "something changed by others", "orphan": "something left of an ended grant",
}  # fmt: skip


def _drift(data: Data) -> str:
    grant = f" ({data['grant']})" if data.get("grant") else ""
    return _DRIFT.get(str(data.get("drift")), "a difference") + grant


def _statement(data: Data) -> str:
    return f"“{data['statement']}”" if data.get("statement") else "a statement"


def _on(data: Data) -> str:
    return f" on {data['target']}" if data.get("target") else ""


def _from(data: Data) -> str:
    return f" from {data['from']}" if data.get("from") else ""


def _for_workflow(data: Data) -> str:
    return f" for {data['workflow']}" if data.get("workflow") else ""


def _why(data: Data, key: str = "reason") -> str:
    return f": {data[key]}" if data.get(key) else ""


def _factor(data: Data) -> str:
    name = f" “{data['name']}”" if data.get("name") else ""
    return f"{_FACTORS.get(str(data.get('factor')), 'a second factor')}{name}"


def _with(data: Data) -> str:
    how = _FACTORS.get(str(data.get("factor")))
    return (f" by {data['provider']}" if data.get("provider") else "") + (f" with {how}" if how else "")


def _times(data: Data) -> str:
    """How often, where one entry tells of all attempts of a minute."""
    if "count" not in data:
        return ""
    sources = f" from {data['sources']} addresses" if data.get("sources") else ""
    return f" {_many(data['count'], 'time')} within a minute{sources}"


def _many(count: object, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _created(ref: str, data: Data) -> str:
    span = f" for {say_duration(data['duration'])}" if isinstance(data.get("duration"), int) else ""
    if data.get("extends"):
        return f"asked ({ref}) to extend {data['extends']}{span}{_why(data)}"
    what = f" for {data['command_set']} on {data['cluster']}" if data.get("cluster") else ""
    return f"asked ({ref}){what}{span}{_why(data)}"


def _approved(ref: str, data: Data) -> str:
    if data.get("by") == "policy":
        return f"needed no approval for {ref}: {data.get('policy', 'the policy')} asks for none"
    missing = data.get("missing")
    more = f"; {_many(missing, 'approval')} still missing" if missing else ""
    return f"approved {ref}{more}{_why(data, 'comment')}"


def _scheduled(ref: str, data: Data) -> str:
    holder = f" to {data['holder']}" if data.get("holder") else ""
    what = f": {data['command_set']} on {data['cluster']}" if data.get("cluster") else ""
    return f"gave {ref}{holder}{what}"


def _ends(ref: str, data: Data) -> str:
    reason = data.get("reason")
    why = str(EndReason(reason).label) if reason in EndReason.values else ""
    return f"began to end {ref}{f', because {why}' if why else ''}{_why(data, 'note')}"


def _held(ref: str, data: Data) -> str:
    if data.get("lapsed"):
        return f"let {_line(data)}{_on(data)} under {ref} lapse: nobody allowed it in time"
    return f"{'allowed' if data.get('allowed') else 'denied'} the held {_line(data)}{_on(data)} under {ref}"


def _finished(ref: str, data: Data) -> str:
    status = data.get("exit_status")
    how = f"ended with status {status}" if status is not None else str(data.get("state") or "ended")
    return f"saw command {data.get('run', '')}{_on(data)} under {ref}: {how}{_why(data)}"


def _purged(ref: str, data: Data) -> str:
    if "runs" not in data:
        return f"purged {ref}, a file that no run knows; its digest stays in the record"
    return f"purged {_many(len(data['runs']), 'recording')} of {ref}; their digests stay in the record"


def _verified(_ref: str, data: Data) -> str:
    first = data.get("first_seq")
    since = f" from entry {first:,} on" if isinstance(first, int) else ""
    entries, signed = data.get("entries"), data.get("signed")
    fit = f", and as the checkpoint of {signed:,} entries signed them" if isinstance(signed, int) else ""
    return (
        f"read {entries:,} entries{since} and found them intact{fit}"
        if isinstance(entries, int)
        else "found it intact"
    )


def _broken(_ref: str, data: Data) -> str:
    bad = data.get("first_bad_seq")
    where = f" at entry {bad:,}" if isinstance(bad, int) else ""
    return f"found the record broken{where}: {data.get('detail', '')}"


def _made(ref: str, data: Data) -> str:
    kind = data.get("kind") or "identity"
    owner = f", owned by {data['owner']}" if data.get("owner") else ""
    return f"made the {kind} {ref}{owner}"


_CALLED = {"email": "mail address"}


def _changed(ref: str, data: Data) -> str:
    if "confirmed" in data:
        return f"confirmed the mail address of {ref}"
    return (
        f"changed the {', '.join(_CALLED.get(key, key.replace('_', ' ')) for key in data)} of {ref}"
        if data
        else f"changed {ref}"
    )


def _ended_with(verb: str, noun: str) -> Act:
    def act(ref: str, data: Data) -> str:
        ended = data.get("grants_ended")
        count = len(ended) if isinstance(ended, list) else ended
        more = f"; {_many(count, 'grant')} ended" if count else ""
        return f"{verb} the {noun} {ref}{more}"

    return act


def _escalated(what: str) -> Callable[[str, Data], str]:
    def act(ref: str, data: Data) -> str:
        told = [
            *map(str, data.get("notified") or []),
            *(f"the webhook {name}" for name in data.get("webhooks") or []),
        ]
        return f"told {', '.join(told) or 'nobody'} that {what.format(ref=ref)}"

    return act


_ACTS: dict[str, Act] = {
    Event.REQUEST_CREATED: _created,
    Event.REQUEST_APPROVED: _approved,
    Event.REQUEST_DENIED: lambda ref, data: f"denied {ref}{_why(data, 'comment')}",
    Event.REQUEST_WITHDRAWN: "withdrew {ref}",
    Event.REQUEST_LAPSED: lambda ref, data: (
        f"let {ref} lapse: "
        + (f"{data['closed']} was over" if data.get("closed") else "nobody decided it in time")
    ),
    Event.REQUEST_NARROWED: lambda ref, data: (
        f"made {ref} smaller: {', '.join(sorted(data)) or 'as the data says'}"
    ),
    Event.REQUEST_COMMENTED: lambda ref, data: f"wrote in the thread of {ref}{_why(data, 'text')}",
    Event.REQUEST_REMINDED: "reminded the approvers of {ref}",
    Event.REQUEST_ESCALATED: _escalated("{ref} still waits for a decision"),
    Event.COMMAND_ESCALATED: _escalated("a command in {ref} still waits for a second person"),
    Event.BREAKGLASS_ESCALATED: _escalated("{ref} still waits for a review"),
    Event.GRANT_SCHEDULED: _scheduled,
    Event.GRANT_PROVISIONING: "began to start {ref}",
    Event.GRANT_ACTIVE: "started {ref}: it may be used",
    Event.GRANT_REVOKING: _ends,
    Event.GRANT_ENDED: "proved {ref} ended on every target",
    Event.GRANT_EXTENDED: lambda ref, data: (
        f"extended {ref} by {say_duration(int(data.get('seconds') or 0)) or 'some time'}"
    ),
    Event.GRANT_HELD: lambda ref, data: (
        f"held {ref}: {_many(data.get('refused', 'some'), 'try').replace('trys', 'tries')} of what it does not allow"
    ),
    Event.GRANT_RELEASED: lambda ref, data: f"let {ref} go on{_why(data, 'note')}",
    Event.GRANT_DELEGATED: lambda ref, data: (
        f"handed on a part of {ref}{' to ' + str(data['to']) if data.get('to') else ''}{_why(data)}"
    ),
    Event.GRANT_REVOKE_FAILING: lambda ref, data: (
        f"could not confirm the end of {ref} yet{_why({'e': '; '.join(map(str, data.get('errors') or []))}, 'e')}"
    ),
    Event.COMMAND_ORDERED: lambda ref, data: f"asked on the page to run {_line(data)}{_on(data)} under {ref}",
    Event.COMMAND_REMINDED: lambda ref, data: (
        f"reminded those who may allow a held command{_on(data)} under {ref}"
    ),
    Event.BREAKGLASS_OVERDUE: "told administrators that the review of {ref} is overdue",
    Event.SESSION_OPENED: lambda ref, data: (
        f"opened a session{_on(data)} under {ref}{' from ' + str(data['from']) if data.get('from') else ''}"
    ),
    Event.SESSION_CLOSED: lambda ref, data: f"closed a session{_on(data)} under {ref}{_why(data)}",
    Event.COMMAND_ALLOWED: lambda ref, data: f"ran {_line(data)}{_on(data)} under {ref}",
    Event.COMMAND_REFUSED: lambda ref, data: (
        f"was refused {_line(data)}{_on(data)} under {ref}{_times(data)}{_why(data, 'why')}"
    ),
    Event.COMMAND_HELD: lambda ref, data: (
        f"tried {_line(data)}{_on(data)} under {ref}, which waits for a second person"
    ),
    Event.COMMAND_HOLD_DECIDED: _held,
    Event.COMMAND_FINISHED: _finished,
    Event.RECORDING_WATCHED: "watched a recording of {ref}",
    Event.RECORDING_RECOVERED: lambda ref, data: (
        f"recovered a recording{_on(data)} under {ref}: its gateway was lost"
    ),
    Event.RECORDING_PURGED: _purged,
    Event.RECORDING_STORAGE_LOW: lambda ref, data: f"found little room left for {ref}{_why(data, 'why')}",
    Event.COMMAND_OBSERVED: lambda ref, data: (
        f"ran {_statement(data)}{_on(data)} under {ref}, as the target tells"
    ),
    Event.LEASE_MADE: lambda ref, data: (
        f"begins to make access{_on(data)} for {ref}"
        if data.get("ahead")
        else f"first used{_on(data) or ' a target'} under {ref}"
    ),
    Event.LEASE_PREPARED: lambda ref, data: f"made access{_on(data)} for {ref}",
    Event.CREDENTIAL_ISSUED: lambda ref, data: f"took a credential{_on(data)} for {ref}",
    Event.CREDENTIAL_REVOKED: "revoked the token of {ref}",
    Event.DRIFT_DETECTED: lambda ref, data: f"found {_drift(data)}{_on(data)} in {ref}",
    Event.DRIFT_RESOLVED: lambda ref, data: f"found{_on(data)} in {ref} right again{_why(data, 'grant')}",
    Event.LEASE_GONE: lambda ref, data: f"read back{_on(data) or ' a target'} that nothing of {ref} is left",
    Event.LEASE_FAILING: lambda ref, data: f"could not read back{_on(data)} for {ref}{_why(data, 'error')}",
    Event.BREAKGLASS_STARTED: lambda ref, data: (
        f"started {ref} without approval for {data['incident']}, which they opened themselves{_why(data)}"
        if data.get("incident")
        else f"broke the glass ({ref}){_why(data)}"
    ),
    Event.BREAKGLASS_REVIEWED: lambda ref, data: (
        f"reviewed {ref}, which began without approval{_why(data, 'note')}"
    ),
    Event.WORKFLOW_OPENED: lambda ref, data: f"opened {ref}{_why(data, 'title')}",
    Event.WORKFLOW_CLOSED: lambda ref, data: (
        f"closed {ref}; {_many(data.get('grants_ended', 0), 'grant')} ended"
    ),
    Event.WORKFLOW_CHANGED: lambda ref, data: (
        f"read something new of {ref}: {', '.join(map(str, data.get('changed') or ['a fact']))}"
    ),
    Event.WORKFLOW_JOINED: "joined {ref}",
    Event.SOURCE_CREATED: "made the workflow source {ref}",
    Event.SOURCE_CHANGED: "changed the workflow source {ref}",
    Event.SOURCE_REMOVED: _ended_with("removed", "workflow source"),
    Event.SOURCE_SECRET_ROTATED: "made a new webhook secret for {ref}",
    Event.SOURCE_REFUSED: lambda ref, data: (
        f"refused {_many(data.get('count', 1), 'webhook')} to {ref}{_why(data)}"
    ),
    Event.IDENTITY_CREATED: _made,
    Event.IDENTITY_CHANGED: _changed,
    Event.IDENTITY_DISABLED: lambda ref, data: (
        f"disabled {ref}; {_many(data.get('grants_ended', 0), 'grant')} ended"
    ),
    Event.IDENTITY_ENABLED: "enabled {ref} again",
    Event.IDENTITY_GRANTS_ENDED: lambda ref, data: (
        f"ended all that {ref} held: {', '.join(map(str, data.get('grants') or [])) or 'nothing new'}"
    ),
    Event.IDENTITY_KEY_ADDED: lambda ref, data: f"registered a key of {ref}{_why(data, 'fingerprint')}",
    Event.IDENTITY_KEY_REMOVED: lambda ref, data: f"removed a key of {ref}{_why(data, 'fingerprint')}",
    Event.IDENTITY_TOKEN_CREATED: lambda ref, data: (
        f"made a token of {ref} for {', '.join(map(str, data.get('scopes') or [])) or 'nothing'}"
    ),
    Event.IDENTITY_TOKEN_REVOKED: "revoked a token of {ref}",
    Event.IDENTITY_TOKEN_EXCHANGED: lambda ref, data: (
        f"proved to be {ref} by {data.get('trust_policy') or 'a trust policy'}{_for_workflow(data)}"
    ),
    Event.IDENTITY_TOKEN_REFUSED: lambda _ref, data: (
        f"refused a token{_times(data) or _from(data)}{_why({'w': ', '.join(map(str, data.get('unmet') or []))}, 'w')}"
    ),
    Event.IDENTITY_DEVICE_AUTHORIZED: lambda _ref, data: (
        f"let {data.get('client') or 'a program'} act as them{_from(data)}"
    ),
    Event.IDENTITY_DEVICE_DENIED: lambda _ref, data: (
        f"refused to let {data.get('client') or 'a program'} act as them{_from(data)}"
    ),
    Event.RECORD_RESTORED: lambda _ref, data: (
        f"went on with a restored database that lacks {data.get('lost', 'some')} entries{_why(data, 'reason')}"
    ),
    Event.IDENTITY_MAIL_FAILED: lambda ref, data: (
        f"could not deliver mail to {ref}{f': {error}' if (error := data.get('error')) else ''}"
    ),
    Event.IDENTITY_FACTOR_ADDED: lambda ref, data: f"added {_factor(data)} to the sign-in of {ref}",
    Event.IDENTITY_FACTOR_REMOVED: lambda ref, data: f"removed {_factor(data)} from the sign-in of {ref}",
    Event.IDENTITY_FACTORS_RESET: lambda ref, data: (
        f"took all second factors of {ref} away, and ended every sign-in of theirs{_why(data)}"
    ),
    Event.IDENTITY_RECOVERY_RENEWED: "made new recovery codes for {ref}",
    Event.IDENTITY_RECOVERY_USED: lambda _ref, data: (
        "used up a recovery code" + (f"; {data['left']} left" if "left" in data else "")
    ),
    Event.IDENTITY_SIGNED_IN: lambda _ref, data: f"signed in{_with(data)}",
    Event.IDENTITY_SIGNED_OUT: "signed out",
    Event.IDENTITY_LINKED: lambda ref, data: f"linked {ref} to the identity provider{_why(data, 'email')}",
    Event.IDENTITY_UNLINKED: lambda ref, data: (
        f"unlinked {ref} from the identity provider{_why(data, 'email')}"
    ),
    Event.IDENTITY_SIGN_IN_FAILED: "saw a sign-in as {ref} fail",
    Event.IDENTITY_PASSWORD_CHANGED: "set the password of {ref}",
    Event.CATALOGUE_APPLIED: lambda _ref, data: (
        f"applied {_many(data.get('count', 0), 'change')} to the catalogue"
    ),
    Event.COMMAND_SET_DRAFTED: "wrote a draft of the command set {ref}",
    Event.COMMAND_SET_PUBLISHED: lambda ref, data: (
        f"published version {data.get('version', '')} of the command set {ref}"
    ),
    Event.COMMAND_SET_RETIRED: _ended_with("retired", "command set"),
    Event.POLICY_CREATED: _ended_with("made", "policy"),
    Event.POLICY_CHANGED: _ended_with("changed", "policy"),
    Event.POLICY_REMOVED: _ended_with("removed", "policy"),
    Event.TRUST_POLICY_CREATED: "made the trust policy {ref}",
    Event.TRUST_POLICY_CHANGED: "changed the trust policy {ref}",
    Event.TRUST_POLICY_REMOVED: "removed the trust policy {ref}",
    Event.CLUSTER_CREATED: _ended_with("made", "cluster"),
    Event.CLUSTER_CHANGED: _ended_with("changed", "cluster"),
    Event.CLUSTER_CHECKED: lambda ref, data: f"checked the connection to {ref}{_on(data)}",
    Event.CLUSTER_SETUP_SHOWN: lambda ref, data: (
        f"printed the set-up of {ref}{', with its key' if data.get('has_secret') else ''}"
    ),
    Event.CLUSTER_REMOVED: _ended_with("removed", "cluster"),
    Event.WEBHOOK_CREATED: lambda ref, data: f"made the webhook {ref}{_why(data, 'host')}",
    Event.WEBHOOK_CHANGED: lambda ref, data: f"changed the webhook {ref}{_why(data, 'host')}",
    Event.WEBHOOK_REMOVED: "removed the webhook {ref}",
    Event.WEBHOOK_ROTATED: "made a new signing key for the webhook {ref}",
    Event.WEBHOOK_PAUSED: lambda ref, data: f"paused the webhook {ref}{_why(data, 'reason')}",
    Event.WEBHOOK_RESUMED: lambda ref, data: (
        f"resumed the webhook {ref}, for which {_many(data.get('waiting', 0), 'message')} waited"
    ),
    Event.WEBHOOK_REPLAYED: lambda ref, data: (
        f"let {_many(data.get('count', 0), 'message')} go to the webhook {ref} again"
    ),
    Event.WEBHOOK_TESTED: "tried the webhook {ref}",
    Event.PERMISSION_CHANGED: "changed what the group {ref} may do or who is in it",
    Event.CA_CREATED: "made the signing key {ref}",
    Event.CA_ROTATED: "let the signing key {ref} take over",
    Event.CA_RETIRED: "retired the signing key {ref}",
    Event.RECORD_VERIFIED: _verified,
    Event.RECORD_BROKEN: _broken,
    Event.RECORD_EXPORTED: lambda _ref, data: f"exported the record to {data.get('file', 'a file')}",
    Event.RECORD_ENTRY_REPLACED: lambda _ref, data: (
        f"could not append an entry that had been kept aside{_why(data, 'event')}{_why(data, 'object_ref')}{_why(data, 'why')}"
    ),
    Event.RECORD_KEY_CREATED: "made the key that signs checkpoints of the record",
}
