"""All events of the record. The meaning of a name never changes, and names are never reused."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Event(StrEnum):
    """Dotted names: the object of the action, then the action. The part before the dot is the event's family.

    ``meaning`` describes, in Markdown, when an entry is written. ``data`` lists the keys that the entry's
    data can have.
    """

    meaning: str
    data: tuple[str, ...]

    def __new__(cls, value: str, meaning: str = "", data: str = "") -> Self:
        event = str.__new__(cls, value)
        event._value_ = value
        event.meaning, event.data = meaning, tuple(data.split())
        return event

    # Requests
    REQUEST_CREATED = (
        "request.created",
        "Someone requested access, or an extension.",
        "kind cluster command_set targets parameters starts_at duration reason ticket policy digest extends",
    )
    REQUEST_APPROVED = (
        "request.approved",
        (
            "An approver approved the request, or the policy needs no approval. `missing` is how many "
            "approvals are still required."
        ),
        "settled missing digest comment by policy",
    )
    REQUEST_DENIED = (
        "request.denied",
        "An approver denied the request, which closes it.",
        "settled digest comment",
    )
    REQUEST_APPROVAL_WITHDRAWN = (
        "request.approval_withdrawn",
        (
            "An approver withdrew an approval seconds after giving it. `grant` is the grant that ended before"
            " its start."
        ),
        "digest grant",
    )
    REQUEST_WITHDRAWN = (
        "request.withdrawn",
        "The requester withdrew the request before it was decided, or was disabled.",
        "disabled",
    )
    REQUEST_LAPSED = (
        "request.lapsed",
        "The request expired: no one decided it in time, its window passed, or its workflow was closed.",
        "lapsed_at closed",
    )
    REQUEST_NARROWED = (
        "request.narrowed",
        (
            "An approver shortened the request, or removed commands or targets. The grant has "
            "only what all approvers left."
        ),
        "duration commands targets",
    )
    REQUEST_COMMENTED = ("request.commented", "Someone wrote a comment on the request.", "text")
    REQUEST_REMINDED = ("request.reminded", "The requester reminded the approvers.", "notified")
    REQUEST_ESCALATED = (
        "request.escalated",
        "No one decided the request in time, so the next people of the policy were notified.",
        "step waited notified webhooks",
    )
    REQUEST_PURGED = (
        "request.purged",
        "A request that was not granted was deleted when its retention ended.",
        "state",
    )

    # Grants
    GRANT_SCHEDULED = (
        "grant.scheduled",
        "The last required approval arrived. The grant exists and waits for its start.",
        "request holder cluster command_set commands parameters targets starts_at expires_at",
    )
    GRANT_PROVISIONING = (
        "grant.provisioning",
        "The grant's start time was reached, and Stint began to create access on the targets.",
        "from",
    )
    GRANT_ACTIVE = ("grant.active", "Access exists and can be used until the deadline.", "from")
    GRANT_REVOKING = (
        "grant.revoking",
        "The grant began to end. Nothing new can run, and access is being removed from the targets.",
        "from reason note cut",
    )
    GRANT_ENDED = (
        "grant.ended",
        "Every target confirmed that access is gone, and every session is closed.",
        "from reason seconds targets_asked note",
    )
    GRANT_EXTENDED = (
        "grant.extended",
        "The deadline of an active grant was moved.",
        "request seconds expires_at",
    )
    GRANT_HELD = (
        "grant.held",
        "The grant was suspended, by a person or Stint with a `note`, or after too many refused commands.",
        "note refused tried",
    )
    GRANT_RELEASED = ("grant.released", "A suspended grant was resumed.", "note")
    GRANT_DELEGATED = (
        "grant.delegated",
        "The holder delegated part of the grant. `chain` is the chain of grants, starting with the original.",
        "to grant request command_set parameters duration reason chain",
    )
    GRANT_REVOKE_FAILING = (
        "grant.revoke_failing",
        (
            "A target did not confirm the revocation, or someone asked Stint to retry now. Stint "
            "retries until every target confirms."
        ),
        "errors attempts retry",
    )
    GRANT_PURGED = (
        "grant.purged",
        "A grant and its runs were deleted when its retention ended.",
        "request ended_at runs",
    )

    # Sessions
    SESSION_OPENED = (
        "session.opened",
        "A holder authenticated, and a gateway opened a session under a grant.",
        "session target from proof",
    )
    SESSION_CLOSED = (
        "session.closed",
        "The session ended, and its connections are closed.",
        "session target reason",
    )

    # Commands
    COMMAND_ORDERED = (
        "command.ordered",
        "The holder started a command from the page of the grant. The entries that follow show the outcome.",
        "order line target from bytes sha256",
    )
    FILE_TAKEN = (
        "file.taken",
        (
            "The holder saved a file from the page of the grant. A gateway had fetched it from the target,"
            " which has an entry of its own."
        ),
        "order run path bytes sha256 from",
    )
    COMMAND_ALLOWED = (
        "command.allowed",
        "A command matched the grant and was sent to a target.",
        "run session argv index target from held notes",
    )
    COMMAND_REFUSED = (
        "command.refused",
        "A command did not match the grant, or there was no grant for it. Nothing was sent to the target.",
        "run session target from line why code proof",
    )
    COMMAND_HELD = (
        "command.held",
        "A command matched but needs a second person's approval before it runs, or at its COMMIT.",
        "run session argv index target from notes commit",
    )
    COMMAND_HOLD_DECIDED = (
        "command.hold_decided",
        "A held command was approved for one or several runs, denied or withdrawn, or it expired.",
        "run argv target allowed for_grant times lapsed withdrawn",
    )
    COMMAND_REMINDED = (
        "command.reminded",
        "The holder reminded the approvers of a held command.",
        "run target notified",
    )
    COMMAND_ESCALATED = (
        "command.escalated",
        "No one decided a held command in time, so the next people of the policy were notified.",
        "run step waited notified webhooks",
    )
    COMMAND_STOPPED = (
        "command.stopped",
        "Someone ended one running command, while its grant continues.",
        "run argv target",
    )
    COMMAND_FINISHED = (
        "command.finished",
        (
            "An allowed command ended. The entry has its exit status, or why it was cut, and the digest of"
            " its recording."
        ),
        "run order target state exit_status signal reason output_bytes recording recording_sha256",
    )
    COMMAND_OBSERVED = (
        "command.observed",
        "A target reported afterward a statement that a holder ran on it.",
        "run target statement database at error",
    )
    CONVERSATION_RECORDED = (
        "recording.completed",
        (
            "The recording of a database connection was completed. It belongs to `run`, the first statement"
            " that ran."
        ),
        "run session target recording recording_sha256 recording_bytes",
    )
    RECORDING_WATCHED = (
        "recording.watched",
        "Someone watched a recording or read its output in full.",
        "run target recording_sha256",
    )
    COMMAND_WATCH_BEGAN = (
        "command.watch_began",
        "Someone began to watch the output of a running command.",
        "run target",
    )
    COMMAND_WATCH_ENDED = (
        "command.watch_ended",
        "A person stopped watching. `reason` is the cause, and `seconds` the duration.",
        "run target seconds reason",
    )
    RECORDING_RECOVERED = (
        "recording.recovered",
        "The recording of a command on a lost gateway was found and completed.",
        "run target state recording recording_sha256 recording_bytes",
    )
    RECORDING_PURGED = (
        "recording.purged",
        "Recordings were deleted when their retention ended, or because they belong to no known run.",
        "runs recording_sha256 recording_bytes object_sha256",
    )
    RECORDING_STORAGE_LOW = (
        "recording.storage_low",
        "The storage for recordings is almost full, and administrators were notified.",
        "why",
    )

    # Targets
    LEASE_MADE = (
        "lease.made",
        "Stint is about to create access for a grant on a target.",
        "target ahead",
    )
    LEASE_PREPARED = (
        "lease.prepared",
        "Access was created on a target. `made` describes what was created, and `until` is its expiry.",
        "target made until",
    )
    CREDENTIAL_ISSUED = (
        "credential.issued",
        "The holder got a credential for the target or the gateway. The entry never contains it.",
        "target until bound_to",
    )
    CREDENTIAL_REVOKED = (
        "credential.revoked",
        "The token of a grant was revoked by someone who had it. The grant continues.",
    )
    LEASE_GONE = (
        "lease.gone",
        "The target confirmed that everything created for the grant is gone. `evidence` has the proof.",
        "target evidence",
    )
    LEASE_FAILING = (
        "lease.failing",
        "Creating, revoking or verifying access on a target failed. Stint retries.",
        "target error",
    )
    DRIFT_DETECTED = (
        "drift.detected",
        (
            "A target differs from its expected state: access is missing, was changed, or is left over from"
            " an ended grant."
        ),
        "target drift grant detail",
    )
    DRIFT_RESOLVED = (
        "drift.resolved",
        ("The target is in its expected state again."),
        "target drift grant detail",
    )

    # Break-glass
    BREAKGLASS_STARTED = (
        "breakglass.started",
        (
            "A grant started without approval: break-glass access, or access for an incident that may be the "
            "holder's own."
        ),
        "request reason incident",
    )
    BREAKGLASS_REVIEWED = (
        "breakglass.reviewed",
        "Another person reviewed a grant that started without approval.",
        "note",
    )
    BREAKGLASS_OVERDUE = (
        "breakglass.overdue",
        "A grant that started without approval was not reviewed in time, and administrators were notified.",
        "notified",
    )
    BREAKGLASS_ESCALATED = (
        "breakglass.escalated",
        "A review was still pending, so the policy's next escalation step was notified.",
        "step waited notified webhooks",
    )

    # Workflows
    WORKFLOW_OPENED = (
        "workflow.opened",
        "A workflow was opened, to which access can be bound.",
        "kind title severity source clusters assignee opened_by changed_by",
    )
    WORKFLOW_CLOSED = (
        "workflow.closed",
        "A workflow was closed. Grants that are bound to it end.",
        "note grants_ended requests_lapsed",
    )
    WORKFLOW_CHANGED = (
        "workflow.changed",
        "A workflow changed in its source, for example its severity or assignee.",
        "changed grants_ended opened_by changed_by",
    )
    WORKFLOW_JOINED = ("workflow.joined", "Someone joined the people who work on a workflow.")
    SOURCE_CREATED = ("source.created", "A workflow source was created.", "provider digest")
    SOURCE_CHANGED = ("source.changed", "A workflow source was changed.", "provider digest")
    SOURCE_REMOVED = (
        "source.removed",
        "A workflow source was removed. Grants that are bound to its workflows end.",
        "grants_ended",
    )
    SOURCE_SECRET_ROTATED = (
        "source.secret_rotated",
        (
            "A new secret for a source's webhooks was created. The previous secret stays valid until "
            "the next rotation."
        ),
    )
    SOURCE_REFUSED = (
        "source.refused",
        "Webhook deliveries could not be verified. One entry a minute covers all of them.",
        "reason count",
    )

    # Identities
    IDENTITY_CREATED = (
        "identity.created",
        "A person, service or agent was created.",
        "kind owner groups administrator",
    )
    IDENTITY_CHANGED = (
        "identity.changed",
        (
            "The name, email address, kind, owner, groups, permissions or time zone of an identity "
            "changed. Each key has the previous and the new value."
        ),
        "confirmed time_zone",
    )
    IDENTITY_DISABLED = (
        "identity.disabled",
        "An identity was disabled. Its grants end.",
        "grants_ended requests_withdrawn tokens_revoked",
    )
    IDENTITY_ENABLED = ("identity.enabled", "A disabled identity was enabled. Ended grants stay ended.")
    IDENTITY_GRANTS_ENDED = (
        "identity.grants_ended",
        "All grants of an identity were ended together. The identity stays enabled.",
        "grants note",
    )
    IDENTITY_KEY_ADDED = ("identity.key_added", "An SSH public key was registered.", "fingerprint algorithm")
    IDENTITY_KEY_REMOVED = (
        "identity.key_removed",
        "An SSH public key was removed and is no longer valid.",
        "fingerprint",
    )
    IDENTITY_TOKEN_CREATED = (
        "identity.token_created",
        "An API token was created. The entry never contains it.",
        "token_id scopes expires_at workflow made_by",
    )
    IDENTITY_TOKEN_REVOKED = (
        "identity.token_revoked",
        "An API token was revoked before it expired.",
        "token_id trust_policy workflow",
    )
    IDENTITY_TOKEN_EXCHANGED = (
        "identity.token_exchanged",
        (
            "A machine exchanged a token from its issuer for a Stint API token. `claims` are the claims "
            "that matched the trust policy."
        ),
        "trust_policy issuer workflow token_id claims",
    )
    IDENTITY_TOKEN_REFUSED = (
        "identity.token_refused",
        "An issuer's token was refused. `unmet` lists the conditions that the token does not meet.",
        "unmet from",
    )
    IDENTITY_DEVICE_AUTHORIZED = (
        "identity.device_authorized",
        "A person entered the code that a program showed, and authorized the program to act for them.",
        "client scopes from",
    )
    IDENTITY_DEVICE_DENIED = (
        "identity.device_denied",
        "A person denied a program that requested access.",
        "client scopes from",
    )
    IDENTITY_MAIL_FAILED = (
        "identity.mail_failed",
        "Stint stopped trying to send a mail to a person. Recorded at most once a day for each person.",
        "attempts error notified",
    )
    IDENTITY_SIGNED_IN = ("identity.signed_in", "An identity signed in to the pages.", "from provider factor")
    IDENTITY_SIGNED_OUT = ("identity.signed_out", "An identity signed out of the pages.")
    IDENTITY_LINKED = (
        "identity.linked",
        "A person was linked to their account at the identity provider.",
        "issuer subject email",
    )
    IDENTITY_UNLINKED = (
        "identity.unlinked",
        (
            "An administrator unlinked a person from their account at the identity provider. The person's"
            " sessions ended."
        ),
        "issuer subject email",
    )
    IDENTITY_SIGN_IN_FAILED = (
        "identity.sign_in_failed",
        "A sign-in failed. The object is the name that was typed, whether or not it exists.",
        "name from reason",
    )
    IDENTITY_FACTOR_ADDED = (
        "identity.factor_added",
        "A person added a second factor. The entry never contains its secret.",
        "factor",
    )
    IDENTITY_FACTOR_REMOVED = ("identity.factor_removed", "A person removed a second factor.", "factor")
    IDENTITY_FACTORS_RESET = (
        "identity.factors_reset",
        "An administrator reset all second factors of a person. All of the person's sessions ended.",
        "factors reason",
    )
    IDENTITY_RECOVERY_RENEWED = (
        "identity.recovery_renewed",
        "A person generated new recovery codes. The previous codes are no longer valid.",
    )
    IDENTITY_RECOVERY_USED = (
        "identity.recovery_used",
        "A person signed in with a recovery code. `left` is how many remain.",
        "left",
    )
    IDENTITY_PASSWORD_CHANGED = (
        "identity.password_changed",
        "A password was set, by its owner or by an administrator.",
    )

    # Catalog
    CATALOG_APPLIED = (
        "catalog.applied",
        "A set of catalog files was applied in one transaction.",
        "count changes versions digest",
    )
    PROPOSAL_CREATED = (
        "proposal.created",
        (
            "Someone proposed a change that may grant more than before. Nothing changes until another "
            "administrator publishes the change."
        ),
        "proposal proposed_by wider digest comment",
    )
    PROPOSAL_PUBLISHED = (
        "proposal.published",
        "Another administrator published a proposal, and the document changed.",
        "proposal proposed_by wider digest comment",
    )
    PROPOSAL_REFUSED = (
        "proposal.refused",
        "Another administrator denied a proposal.",
        "proposal proposed_by wider digest comment",
    )
    PROPOSAL_WITHDRAWN = (
        "proposal.withdrawn",
        "The proposer withdrew or replaced a proposal.",
        "proposal proposed_by wider digest comment",
    )
    COMMAND_SET_DRAFTED = (
        "command_set.drafted",
        "A draft of a command set was saved. A draft allows nothing.",
        "version digest findings",
    )
    COMMAND_SET_PUBLISHED = (
        "command_set.published",
        "A version of a command set was published. A published version can't change.",
        "version digest accepted",
    )
    COMMAND_SET_RETIRED = (
        "command_set.retired",
        "A command set was retired. It can't be requested anymore.",
        "grants_ended",
    )
    POLICY_CREATED = ("policy.created", "A policy was created.", "version digest grants_ended")
    POLICY_CHANGED = (
        "policy.changed",
        "A policy was changed. Grants that the policy no longer allows end.",
        "version digest grants_ended",
    )
    POLICY_REMOVED = ("policy.removed", "A policy was removed. Grants under it end.", "grants_ended")
    TRUST_POLICY_CREATED = (
        "trust_policy.created",
        "A trust policy was created.",
        "version digest issuer speaks_as tokens_revoked",
    )
    TRUST_POLICY_CHANGED = (
        "trust_policy.changed",
        "A trust policy was changed.",
        "version digest issuer speaks_as tokens_revoked",
    )
    TRUST_POLICY_REMOVED = (
        "trust_policy.removed",
        "A trust policy was removed, and the tokens that were issued under it were revoked.",
        "grants_ended tokens_revoked",
    )
    CLUSTER_CREATED = ("cluster.created", "A cluster was created.", "digest grants_ended")
    CLUSTER_CHANGED = (
        "cluster.changed",
        "A cluster or its targets were changed. Grants that no longer match end.",
        "digest grants_ended",
    )
    CLUSTER_CHECKED = ("cluster.checked", "Someone checked a target step by step.", "target ok steps")
    CLUSTER_SETUP_SHOWN = (
        "cluster.setup_shown",
        (
            "A management command printed the setup instructions for the targets. `has_secret` is "
            "true if the setup contains a key."
        ),
        "has_secret",
    )
    CLUSTER_REMOVED = ("cluster.removed", "A cluster was removed. Grants on it end.", "grants_ended")
    WEBHOOK_CREATED = (
        "webhook.created",
        "An endpoint for outgoing webhooks was created. The entry has its host, never its full URL.",
        "host events scope other_key owners",
    )
    WEBHOOK_CHANGED = (
        "webhook.changed",
        "The URL, events, owners or signing key of an endpoint changed.",
        "host events scope other_key owners",
    )
    WEBHOOK_REMOVED = (
        "webhook.removed",
        "An endpoint was removed. Nothing more is sent to it.",
        "grants_ended",
    )
    WEBHOOK_ROTATED = (
        "webhook.rotated",
        "A new signing key was created. Messages are also signed with the old key until `both_until`.",
        "both_until",
    )
    WEBHOOK_PAUSED = (
        "webhook.paused",
        "Someone paused an endpoint, or the endpoint accepted nothing for days. New messages are queued.",
        "reason",
    )
    WEBHOOK_RESUMED = (
        "webhook.resumed",
        "An endpoint was resumed. All waiting messages are sent.",
        "waiting",
    )
    WEBHOOK_REPLAYED = ("webhook.replayed", "Someone had messages sent again.", "count since")
    WEBHOOK_TESTED = ("webhook.tested", "Someone sent a test message.", "message")
    PERMISSION_CHANGED = (
        "permission.changed",
        "The members of a group, or permissions on an object, changed.",
        "before after grants_ended",
    )

    # Authorities
    CA_CREATED = ("ca.created", "The key that signs a gateway's certificates was created.", "purpose signs")
    CA_ROTATED = (
        "ca.rotated",
        "A new signing key took over. Targets should trust both until the old one is retired.",
        "before",
    )
    CA_RETIRED = ("ca.retired", "An old signing key was retired.")

    # The record
    RECORD_VERIFIED = (
        "record.verified",
        "The whole record, or its newest entries, were verified and are intact.",
        "entries first_seq began signed head_seq head_hash problem first_bad_seq detail",
    )
    RECORD_BROKEN = (
        "record.broken",
        "A verification found that the record was changed. `first_bad_seq` is the first bad entry.",
        "entries first_seq began signed head_seq head_hash problem first_bad_seq detail",
    )
    RECORD_EXPORTED = ("record.exported", "All entries were written to a file.", "file until after")
    RECORD_ARCHIVED = (
        "record.archived",
        "A part of the record was written to an archive. `object` is its name in the object store.",
        "after until sha256 object",
    )
    RECORD_TEXTS_REMOVED = (
        "record.texts_removed",
        "The texts of archived entries were removed from the database, except those under legal hold.",
        "until entries holds",
    )
    LEGAL_HOLD_ADDED = (
        "legal_hold.added",
        "A legal hold was added, which protects the data that it covers from being deleted or archived.",
        "ref identity starts_at ends_at reason",
    )
    LEGAL_HOLD_REMOVED = ("legal_hold.removed", "A legal hold was removed.", "reason")
    RECORD_ENTRY_REPLACED = (
        "record.entry_replaced",
        (
            "An entry from the backlog can't be recorded. This entry has its content in shortened form,"
            " with the reason."
        ),
        "recorded_at",
    )
    RECORD_RESTORED = (
        "record.restored",
        "An older backup was restored, and an administrator chose to continue with it.",
        "reason lost signed_before signed_root signed_at agreed agreed_at head checkpoints grants sign_ins",
    )
    RECORD_KEY_CREATED = (
        "record.key_created",
        "The key that signs checkpoints was created. `verifier` is its public half.",
        "verifier",
    )

    @property
    def family(self) -> str:
        """The part before the dot."""
        return self.value.partition(".")[0]
