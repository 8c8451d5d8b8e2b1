"""Every event that the record knows. A name never changes its meaning, and is never reused for another."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """Dotted names: the object of the act, then the act. The part before the dot is the event's family."""

    # An identity asked for access; the data is the exact request and its digest.
    REQUEST_CREATED = "request.created"
    # One approver approved; the data has the digest that this is bound to, and how many approvals are still missing.
    REQUEST_APPROVED = "request.approved"
    # One approver denied the request, which closes it.
    REQUEST_DENIED = "request.denied"
    # The requester withdrew the request before it was decided.
    REQUEST_WITHDRAWN = "request.withdrawn"
    # No one decided within the policy's decision time, or the window passed.
    REQUEST_LAPSED = "request.lapsed"
    # An approver made the request shorter, or removed commands or targets. Only what all approvers left remains.
    REQUEST_NARROWED = "request.narrowed"

    # Someone wrote in the thread of the request: a question or an answer; the data has the text.
    REQUEST_COMMENTED = "request.commented"
    # The requester reminded the approvers.
    REQUEST_REMINDED = "request.reminded"

    # No one has decided for so long that the next people, named in the data, were notified.
    REQUEST_ESCALATED = "request.escalated"
    # A request that was not granted was deleted when its time was over; the data has what had become of it.
    REQUEST_PURGED = "request.purged"

    # The last required approval has arrived; the grant exists and waits for its start.
    GRANT_SCHEDULED = "grant.scheduled"
    # The start has come, and the connector was asked to create access.
    GRANT_PROVISIONING = "grant.provisioning"
    # Access exists and may be used until the deadline.
    GRANT_ACTIVE = "grant.active"
    # The end has begun, with its reason: nothing new is allowed, and what was created is being removed.
    GRANT_REVOKING = "grant.revoking"
    # Every lease was read back as gone, and every session is closed.
    GRANT_ENDED = "grant.ended"
    # A new decision moved the deadline of a live grant.
    GRANT_EXTENDED = "grant.extended"
    # A grant was put on hold after too many refused commands.
    GRANT_HELD = "grant.held"
    # An approver released a held grant.
    GRANT_RELEASED = "grant.released"
    # Its holder delegated a part of it; the data has the delegate and the chain of grants from the first one.
    GRANT_DELEGATED = "grant.delegated"
    # A target did not confirm the revocation; Stint retries without end.
    GRANT_REVOKE_FAILING = "grant.revoke_failing"
    # A grant was deleted with its runs when its time was over; the data has its request and how many runs it had.
    GRANT_PURGED = "grant.purged"

    # A holder proved who they are, and a gateway let them in under a grant.
    SESSION_OPENED = "session.opened"
    # The session is over and its connections are closed, with the reason.
    SESSION_CLOSED = "session.closed"

    # On the page of the grant, a holder asked a gateway to run a line; the entries after this one have the outcome.
    COMMAND_ORDERED = "command.ordered"
    # A command matched the grant and was sent to a target.
    COMMAND_ALLOWED = "command.allowed"
    # A command did not match, or no grant covered it; nothing was sent.
    COMMAND_REFUSED = "command.refused"
    # A command matched but waits for a second person.
    COMMAND_HELD = "command.held"
    # A second person allowed a held command once or denied it, its holder withdrew it, or no one decided in time.
    COMMAND_HOLD_DECIDED = "command.hold_decided"
    # The holder reminded those who may allow a held command.
    COMMAND_REMINDED = "command.reminded"
    # No one has decided a held command for so long that the next people, named in the data, were notified.
    COMMAND_ESCALATED = "command.escalated"
    # An allowed command ended; the data has its exit status, or why it was cut, and its recording's SHA-256 digest.
    COMMAND_FINISHED = "command.finished"
    # A target reported afterwards what a holder ran on it.
    COMMAND_OBSERVED = "command.observed"
    # Someone watched a recording, or read its output in full; the data says which.
    RECORDING_WATCHED = "recording.watched"
    # The recording of a run on a lost gateway was found and recovered; the data has its SHA-256 digest and size.
    RECORDING_RECOVERED = "recording.recovered"
    # Recordings of a grant, or one that belongs to no known run, were deleted when their time was over; the data has
    # the files' SHA-256 digests.
    RECORDING_PURGED = "recording.purged"
    # Recording storage is almost full; administrators were notified, and the data says of what.
    RECORDING_STORAGE_LOW = "recording.storage_low"

    # From now on, something may exist on a target for a grant.
    LEASE_MADE = "lease.made"
    # A connector created something there; the data says what, and how long it is valid.
    LEASE_PREPARED = "lease.prepared"
    # A holder was given a credential for what was created; the data never contains it.
    CREDENTIAL_ISSUED = "credential.issued"
    # Someone who held the token of a grant revoked it; the grant continues.
    CREDENTIAL_REVOKED = "credential.revoked"
    # What was created was read back as gone, with the evidence.
    LEASE_GONE = "lease.gone"
    # Provisioning, revoking or verifying failed; the data has the error.
    LEASE_FAILING = "lease.failing"
    # A target is not as it should be: something is missing, was changed, or is left of a grant that has ended.
    DRIFT_DETECTED = "drift.detected"
    # It is as it should be again.
    DRIFT_RESOLVED = "drift.resolved"

    # A grant began without approvals, under a policy that allows this, with a reason. It was break-glass access, or
    # access for an incident that may be its holder's own; the data says which. The approvers were notified.
    BREAKGLASS_STARTED = "breakglass.started"
    # An approver reviewed such a grant afterwards and gave a verdict.
    BREAKGLASS_REVIEWED = "breakglass.reviewed"
    # No one reviewed such a grant in time; the administrators named in the data were notified.
    BREAKGLASS_OVERDUE = "breakglass.overdue"

    # A review has been due for so long that the next people, named in the data, were notified.
    BREAKGLASS_ESCALATED = "breakglass.escalated"

    # A workflow was opened that access can be bound to.
    WORKFLOW_OPENED = "workflow.opened"
    # It was closed; every grant bound to it ends, and the data says how many.
    WORKFLOW_CLOSED = "workflow.closed"
    # Its source describes it differently than before; the data has the names of what changed, and the grants that
    # ended.
    WORKFLOW_CHANGED = "workflow.changed"
    # Someone joined the people who work on it.
    WORKFLOW_JOINED = "workflow.joined"

    # A workflow source was created.
    SOURCE_CREATED = "source.created"
    # A workflow source was changed; the data has the digest of its document, never a secret.
    SOURCE_CHANGED = "source.changed"
    # A workflow source was removed; grants that rested on its workflows end.
    SOURCE_REMOVED = "source.removed"
    # A new secret for a source's webhooks was created; the previous one is valid until the next.
    SOURCE_SECRET_ROTATED = "source.secret_rotated"  # noqa: S105
    # Deliveries did not prove where they come from; one entry a minute covers all of them, and the data has their
    # number.
    SOURCE_REFUSED = "source.refused"

    # A person, service or agent was created.
    IDENTITY_CREATED = "identity.created"
    # An identity's name, mail address, kind, owner, groups or permissions were changed; the data has the values before
    # and after.
    IDENTITY_CHANGED = "identity.changed"
    # An identity was disabled; its grants end.
    IDENTITY_DISABLED = "identity.disabled"
    # A disabled identity may act again; ended grants stay ended.
    IDENTITY_ENABLED = "identity.enabled"
    # Someone who may end them ended every grant of an identity at once; the identity stays enabled.
    IDENTITY_GRANTS_ENDED = "identity.grants_ended"
    # An SSH public key was registered; the data has its fingerprint.
    IDENTITY_KEY_ADDED = "identity.key_added"
    # An SSH public key was removed and is no longer valid.
    IDENTITY_KEY_REMOVED = "identity.key_removed"
    # An API token was created; the data has its name, scopes and expiry, never the token.
    IDENTITY_TOKEN_CREATED = "identity.token_created"  # noqa: S105
    # An API token was revoked before its expiry.
    IDENTITY_TOKEN_REVOKED = "identity.token_revoked"  # noqa: S105
    # A machine proved itself with a token of its issuer and was given one of Stint's; the data has the claims that it
    # was matched by and the workflow that it is bound to, never a token.
    IDENTITY_TOKEN_EXCHANGED = "identity.token_exchanged"  # noqa: S105
    # A token of an issuer was refused; the data says which conditions it did not meet.
    IDENTITY_TOKEN_REFUSED = "identity.token_refused"  # noqa: S105
    # A person authorized a program that shows a code to act as them; the data has its scopes and where it asked from.
    IDENTITY_DEVICE_AUTHORIZED = "identity.device_authorized"
    # A person denied such a program.
    IDENTITY_DEVICE_DENIED = "identity.device_denied"
    # Stint gave up on mail to a person; the data has the error and the administrators who were notified, at most once a
    # day.
    IDENTITY_MAIL_FAILED = "identity.mail_failed"
    # An identity signed in to the pages.
    IDENTITY_SIGNED_IN = "identity.signed_in"
    # An identity signed out of the pages.
    IDENTITY_SIGNED_OUT = "identity.signed_out"
    # A person was linked to the account at the identity provider that has their address; the data has the account.
    IDENTITY_LINKED = "identity.linked"
    # An administrator removed that link, and the person's sessions ended.
    IDENTITY_UNLINKED = "identity.unlinked"
    # A sign-in failed; the object is the name that was tried, whether or not it exists.
    IDENTITY_SIGN_IN_FAILED = "identity.sign_in_failed"
    # A person added a second factor to their sign-in; the data has its kind and name, never a secret.
    IDENTITY_FACTOR_ADDED = "identity.factor_added"
    # A person removed a second factor.
    IDENTITY_FACTOR_REMOVED = "identity.factor_removed"
    # An administrator, or someone with a shell on the server, reset all factors of a person; all of their sign-ins
    # ended.
    IDENTITY_FACTORS_RESET = "identity.factors_reset"
    # A person generated new recovery codes; the previous ones are no longer valid.
    IDENTITY_RECOVERY_RENEWED = "identity.recovery_renewed"
    # A recovery code was used in place of a second factor; the data says how many are left.
    IDENTITY_RECOVERY_USED = "identity.recovery_used"
    # An identity's password was set, by itself or by another.
    IDENTITY_PASSWORD_CHANGED = "identity.password_changed"  # noqa: S105

    # A set of catalog files was applied in one transaction; the data has counts and the files' digest.
    CATALOG_APPLIED = "catalog.applied"
    # Someone proposed a version of a document that may widen what it gives; the data says by which keys. It changes
    # nothing until another administrator publishes it.
    PROPOSAL_CREATED = "proposal.created"
    # Another administrator published a proposal, and the document changed.
    PROPOSAL_PUBLISHED = "proposal.published"
    # Another administrator refused a proposal.
    PROPOSAL_REFUSED = "proposal.refused"
    # Who had made a proposal withdrew or replaced it.
    PROPOSAL_WITHDRAWN = "proposal.withdrawn"
    # A draft of a command set replaced an earlier one; the data has its digest. A draft allows nothing.
    COMMAND_SET_DRAFTED = "command_set.drafted"
    # A version of a command set was published and can't change anymore; the data has its digest.
    COMMAND_SET_PUBLISHED = "command_set.published"
    # A command set was retired: nothing new can be requested with it.
    COMMAND_SET_RETIRED = "command_set.retired"
    # A policy was created.
    POLICY_CREATED = "policy.created"
    # A policy was changed; the data has the values before and after.
    POLICY_CHANGED = "policy.changed"
    # A policy was removed; grants under it end.
    POLICY_REMOVED = "policy.removed"
    # A trust policy was created.
    TRUST_POLICY_CREATED = "trust_policy.created"
    # A trust policy was changed; the data has its version, its digest, and whom it accepts.
    TRUST_POLICY_CHANGED = "trust_policy.changed"
    # A trust policy was removed, and the tokens that it issued were revoked.
    TRUST_POLICY_REMOVED = "trust_policy.removed"
    # A cluster was created.
    CLUSTER_CREATED = "cluster.created"
    # A cluster or its targets were changed; the data has the values before and after.
    CLUSTER_CHANGED = "cluster.changed"
    # Someone had a target checked step by step; the data has the result of each step.
    CLUSTER_CHECKED = "cluster.checked"
    # The setup for the administrator of its targets was printed on the server; the data says whether it contains a key.
    CLUSTER_SETUP_SHOWN = "cluster.setup_shown"
    # A cluster was removed; grants on it end.
    CLUSTER_REMOVED = "cluster.removed"
    # An endpoint for outgoing webhooks was created; the data has its host, never its whole address.
    WEBHOOK_CREATED = "webhook.created"
    # Its address, events, owners or signing key were changed.
    WEBHOOK_CHANGED = "webhook.changed"
    # It was removed: nothing more is sent there.
    WEBHOOK_REMOVED = "webhook.removed"
    # A new signing key was created; the old one also signs until the time in the data.
    WEBHOOK_ROTATED = "webhook.rotated"
    # Nothing more is sent there, because someone paused it or because it accepted nothing for days.
    WEBHOOK_PAUSED = "webhook.paused"
    # Messages are sent there again, including all that waited.
    WEBHOOK_RESUMED = "webhook.resumed"
    # Someone had messages sent again; the data says how many.
    WEBHOOK_REPLAYED = "webhook.replayed"
    # Someone sent a test message.
    WEBHOOK_TESTED = "webhook.tested"
    # An object permission was granted to, or revoked from, a person or group.
    PERMISSION_CHANGED = "permission.changed"

    # The key that signs the gateway's certificates was created; the data has its fingerprint.
    CA_CREATED = "ca.created"
    # A new signing key took over; targets should trust both until the old one is retired.
    CA_ROTATED = "ca.rotated"
    # An old signing key was retired.
    CA_RETIRED = "ca.retired"

    # A verification read the whole log, or from an entry on, and found it intact.
    RECORD_VERIFIED = "record.verified"
    # A verification found the log broken; the data says where and how.
    RECORD_BROKEN = "record.broken"
    # All entries were written to a file; the data says up to which one.
    RECORD_EXPORTED = "record.exported"
    # An entry that had been kept aside can't be recorded; the data has its content, each part cut, and the reason.
    RECORD_ENTRY_REPLACED = "record.entry_replaced"
    # An older backup was restored, and someone continued with it; the data says why, what was lost, and what ended.
    RECORD_RESTORED = "record.restored"
    # The key that signs checkpoints of the record was created; the data has its public half, in the format of
    # verifiers.
    RECORD_KEY_CREATED = "record.key_created"

    @property
    def family(self) -> str:
        """The part before the dot."""
        return self.value.partition(".")[0]
