"""Sentences for entries about workflows, identities, the catalog, webhooks and the record itself."""

from __future__ import annotations

from broker.audit.events import Event
from sessions_app.web.display.phrases import (
    Act,
    Data,
    ending_grants,
    factor,
    for_workflow,
    listed,
    many,
    on,
    signed_in_with,
    source,
    times,
    why,
)

_CALLED = {"email": "email address"}


def _created(ref: str, data: Data) -> str:
    owner = f", owned by {data['owner']}" if data.get("owner") else ""
    return f"created {data.get('kind') or 'identity'} {ref}{owner}"


def _changed(ref: str, data: Data) -> str:
    if "confirmed" in data:
        return f"confirmed the email address of {ref}"
    names = [_CALLED.get(key, key.replace("_", " ")) for key in data]
    return f"changed the {', '.join(names)} of {ref}" if names else f"changed {ref}"


def _token_refused(_ref: str, data: Data) -> str:
    return f"refused a token{times(data) or source(data)}: {listed(data.get('unmet'), '')}".removesuffix(": ")


def _recovery_used(_ref: str, data: Data) -> str:
    return "used a recovery code" + (f"; {data['left']} left" if "left" in data else "")


def _not_mailed(ref: str, data: Data) -> str:
    return f"could not deliver mail to {ref}{why(data, 'error')}"


def _verified(_ref: str, data: Data) -> str:
    first, entries, signed = data.get("first_seq"), data.get("entries"), data.get("signed")
    if not isinstance(entries, int):
        return "verified the record: intact"
    since = f" from entry {first:,} on" if isinstance(first, int) else ""
    fit = f", and consistent with the checkpoint at {signed:,} entries" if isinstance(signed, int) else ""
    return f"verified {entries:,} entries{since}: intact{fit}"


def _broken(_ref: str, data: Data) -> str:
    bad = data.get("first_bad_seq")
    return (
        f"found the record broken{f' at entry {bad:,}' if isinstance(bad, int) else ''}{why(data, 'detail')}"
    )


def _left_out(_ref: str, data: Data) -> str:
    return f"could not append a deferred entry{why(data, 'event')}{why(data, 'object_ref')}{why(data, 'why')}"


_WORKFLOWS: dict[str, Act] = {
    Event.WORKFLOW_OPENED: lambda ref, data: f"opened {ref}{why(data, 'title')}",
    Event.WORKFLOW_CLOSED: lambda ref, data: (
        f"closed {ref}; {many(data.get('grants_ended', 0), 'grant')} ended"
    ),
    Event.WORKFLOW_CHANGED: lambda ref, data: (
        f"synced changes to {ref}: {listed(data.get('changed'), 'a fact')}"
    ),
    Event.WORKFLOW_JOINED: "joined {ref}",
    Event.SOURCE_CREATED: "created workflow source {ref}",
    Event.SOURCE_CHANGED: "changed workflow source {ref}",
    Event.SOURCE_REMOVED: ending_grants("removed", "workflow source"),
    Event.SOURCE_SECRET_ROTATED: "rotated the webhook secret of {ref}",
    Event.SOURCE_REFUSED: lambda ref, data: (
        f"refused {many(data.get('count', 1), 'webhook')} to {ref}{why(data)}"
    ),
}

_IDENTITIES: dict[str, Act] = {
    Event.IDENTITY_CREATED: _created,
    Event.IDENTITY_CHANGED: _changed,
    Event.IDENTITY_DISABLED: lambda ref, data: (
        f"disabled {ref}; {many(data.get('grants_ended', 0), 'grant')} ended"
    ),
    Event.IDENTITY_ENABLED: "enabled {ref} again",
    Event.IDENTITY_GRANTS_ENDED: lambda ref, data: (
        f"ended all access for {ref}: {listed(data.get('grants'), 'nothing new')}"
    ),
    Event.IDENTITY_KEY_ADDED: lambda ref, data: f"added a key for {ref}{why(data, 'fingerprint')}",
    Event.IDENTITY_KEY_REMOVED: lambda ref, data: f"removed a key from {ref}{why(data, 'fingerprint')}",
    Event.IDENTITY_TOKEN_CREATED: lambda ref, data: (
        f"created a token for {ref} with scopes: {listed(data.get('scopes'), 'none')}"
    ),
    Event.IDENTITY_TOKEN_REVOKED: "revoked a token for {ref}",
    Event.IDENTITY_TOKEN_EXCHANGED: lambda ref, data: (
        f"authenticated as {ref} by {data.get('trust_policy') or 'a trust policy'}{for_workflow(data)}"
    ),
    Event.IDENTITY_TOKEN_REFUSED: _token_refused,
    Event.IDENTITY_DEVICE_AUTHORIZED: lambda _ref, data: (
        f"authorized {data.get('client') or 'a program'}{source(data)}"
    ),
    Event.IDENTITY_DEVICE_DENIED: lambda _ref, data: (
        f"refused to authorize {data.get('client') or 'a program'}{source(data)}"
    ),
    Event.IDENTITY_MAIL_FAILED: _not_mailed,
    Event.IDENTITY_FACTOR_ADDED: lambda ref, data: f"added {factor(data)} to the sign-in of {ref}",
    Event.IDENTITY_FACTOR_REMOVED: lambda ref, data: f"removed {factor(data)} from the sign-in of {ref}",
    Event.IDENTITY_FACTORS_RESET: lambda ref, data: (
        f"reset two-factor for {ref} and signed them out{why(data)}"
    ),
    Event.IDENTITY_RECOVERY_RENEWED: "created new recovery codes for {ref}",
    Event.IDENTITY_RECOVERY_USED: _recovery_used,
    Event.IDENTITY_SIGNED_IN: lambda _ref, data: f"signed in{signed_in_with(data)}",
    Event.IDENTITY_SIGNED_OUT: "signed out",
    Event.IDENTITY_LINKED: lambda ref, data: f"linked {ref} to the identity provider{why(data, 'email')}",
    Event.IDENTITY_UNLINKED: lambda ref, data: (
        f"unlinked {ref} from the identity provider{why(data, 'email')}"
    ),
    Event.IDENTITY_SIGN_IN_FAILED: "failed to sign in as {ref}",
    Event.IDENTITY_PASSWORD_CHANGED: "set the password of {ref}",
}


def _proposed_by(data: Data) -> str:
    return f" that {data['proposed_by']} proposed" if data.get("proposed_by") else ""


_CATALOG: dict[str, Act] = {
    Event.CATALOG_APPLIED: lambda _ref, data: (
        f"applied {many(data.get('count', 0), 'change')} to the catalog"
    ),
    Event.PROPOSAL_CREATED: lambda ref, data: (
        f"proposed a change to {ref} that may widen its {' and '.join(data.get('wider') or ['access'])}"
    ),
    Event.PROPOSAL_PUBLISHED: lambda ref, data: f"published the change to {ref}{_proposed_by(data)}",
    Event.PROPOSAL_REFUSED: lambda ref, data: (
        f"denied the change to {ref}{_proposed_by(data)}{why(data, 'comment')}"
    ),
    Event.PROPOSAL_WITHDRAWN: "withdrew a proposed change to {ref}",
    Event.COMMAND_SET_DRAFTED: "saved a draft of command set {ref}",
    Event.COMMAND_SET_PUBLISHED: lambda ref, data: (
        f"published version {data.get('version', '')} of command set {ref}"
    ),
    Event.COMMAND_SET_RETIRED: ending_grants("retired", "command set"),
    Event.POLICY_CREATED: ending_grants("created", "policy"),
    Event.POLICY_CHANGED: ending_grants("changed", "policy"),
    Event.POLICY_REMOVED: ending_grants("removed", "policy"),
    Event.TRUST_POLICY_CREATED: "created trust policy {ref}",
    Event.TRUST_POLICY_CHANGED: "changed trust policy {ref}",
    Event.TRUST_POLICY_REMOVED: "removed trust policy {ref}",
    Event.CLUSTER_CREATED: ending_grants("created", "cluster"),
    Event.CLUSTER_CHANGED: ending_grants("changed", "cluster"),
    Event.CLUSTER_CHECKED: lambda ref, data: f"checked the connection to {ref}{on(data)}",
    Event.CLUSTER_SETUP_SHOWN: lambda ref, data: (
        f"viewed the setup instructions of {ref}{', including its key' if data.get('has_secret') else ''}"
    ),
    Event.CLUSTER_REMOVED: ending_grants("removed", "cluster"),
    Event.PERMISSION_CHANGED: "changed the permissions or members of group {ref}",
    Event.CA_CREATED: "created signing key {ref}",
    Event.CA_ROTATED: "rotated to signing key {ref}",
    Event.CA_RETIRED: "retired signing key {ref}",
}

_WEBHOOKS: dict[str, Act] = {
    Event.WEBHOOK_CREATED: lambda ref, data: f"created webhook {ref}{why(data, 'host')}",
    Event.WEBHOOK_CHANGED: lambda ref, data: f"changed webhook {ref}{why(data, 'host')}",
    Event.WEBHOOK_REMOVED: "removed webhook {ref}",
    Event.WEBHOOK_ROTATED: "rotated the signing key of webhook {ref}",
    Event.WEBHOOK_PAUSED: lambda ref, data: f"paused webhook {ref}{why(data)}",
    Event.WEBHOOK_RESUMED: lambda ref, data: (
        f"resumed webhook {ref} with {many(data.get('waiting', 0), 'message')} queued"
    ),
    Event.WEBHOOK_REPLAYED: lambda ref, data: (
        f"replayed {many(data.get('count', 0), 'message')} to webhook {ref}"
    ),
    Event.WEBHOOK_TESTED: "tested webhook {ref}",
}

_RECORD: dict[str, Act] = {
    Event.RECORD_VERIFIED: _verified,
    Event.RECORD_BROKEN: _broken,
    Event.RECORD_EXPORTED: lambda _ref, data: f"exported the record to {data.get('file', 'a file')}",
    Event.RECORD_ARCHIVED: lambda _ref, data: f"archived the record up to entry {data.get('until', '?')}",
    Event.RECORD_TEXTS_REMOVED: lambda _ref, data: (
        f"removed the archived texts of {data.get('entries', 'some')}"
        f" entries, up to entry {data.get('until', '?')}"
    ),
    Event.LEGAL_HOLD_ADDED: lambda ref, data: f"added the legal hold {ref}{why(data)}",
    Event.LEGAL_HOLD_REMOVED: lambda ref, data: f"removed the legal hold {ref}{why(data)}",
    Event.RECORD_ENTRY_REPLACED: _left_out,
    Event.RECORD_KEY_CREATED: "created the key that signs checkpoints of the record",
    Event.RECORD_RESTORED: lambda _ref, data: (
        f"continued with a restored database that lacks {data.get('lost', 'some')} entries{why(data)}"
    ),
}

ACTS = {**_WORKFLOWS, **_IDENTITIES, **_CATALOG, **_WEBHOOKS, **_RECORD}
