"""Every event that the record knows. A name never changes its meaning and is never used again for another."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """Dotted names: what the act was done to, then the act. The part before the dot is the event's family."""

    # An identity asked for access; the data is the exact request and its digest.
    REQUEST_CREATED = "request.created"
    # One approver's yes; the data has the digest that it is bound to and how many are still missing.
    REQUEST_APPROVED = "request.approved"
    # One approver's no, which closes the request.
    REQUEST_DENIED = "request.denied"
    # The requester withdrew the request before it was decided.
    REQUEST_WITHDRAWN = "request.withdrawn"
    # Nobody decided within the policy's decision time, or the window passed.
    REQUEST_LAPSED = "request.lapsed"
    # An approver made the request shorter or took commands or targets out; what the other approvers left is cut down to what all left.
    REQUEST_NARROWED = "request.narrowed"

    # Somebody wrote in the thread of the request: a question or an answer; the data has the text.
    REQUEST_COMMENTED = "request.commented"
    # The requester asked those who can decide once more.
    REQUEST_REMINDED = "request.reminded"

    # Nobody has decided for so long that the next people, whom the data names, were told.
    REQUEST_ESCALATED = "request.escalated"

    # The last approval that was needed has come; the grant exists and waits for its start.
    GRANT_SCHEDULED = "grant.scheduled"
    # The start has come and the connector was asked to make access.
    GRANT_PROVISIONING = "grant.provisioning"
    # Access exists and may be used from now to the deadline.
    GRANT_ACTIVE = "grant.active"
    # The end has begun, with its reason: from now nothing new is allowed and what was made is being unmade.
    GRANT_REVOKING = "grant.revoking"
    # Every lease was read back as gone and every session is closed.
    GRANT_ENDED = "grant.ended"
    # A new decision moved the deadline of a live grant.
    GRANT_EXTENDED = "grant.extended"
    # A grant was held after too many refused commands.
    GRANT_HELD = "grant.held"
    # An approver lets a held grant go on.
    GRANT_RELEASED = "grant.released"
    # Its holder delegated a part of it; the data has the delegate and the chain of grants from the first one.
    GRANT_DELEGATED = "grant.delegated"
    # A target did not confirm the revocation; Stint retries, for ever.
    GRANT_REVOKE_FAILING = "grant.revoke_failing"

    # A holder proved who they are and a gateway let them in under a grant.
    SESSION_OPENED = "session.opened"
    # The session is over and its connections are closed, with the reason.
    SESSION_CLOSED = "session.closed"

    # A holder asked, on the page of the grant, that a gateway runs a line; what became of it is in the entries after it.
    COMMAND_ORDERED = "command.ordered"
    # A command matched the grant and was sent to a target.
    COMMAND_ALLOWED = "command.allowed"
    # A command did not match, or no grant covered it; nothing was sent.
    COMMAND_REFUSED = "command.refused"
    # A command matched but waits for a second person.
    COMMAND_HELD = "command.held"
    # A second person let a held command run once or refused it, its holder withdrew it, or nobody came in time.
    COMMAND_HOLD_DECIDED = "command.hold_decided"
    # The holder asked those who may allow a held command once more.
    COMMAND_REMINDED = "command.reminded"
    # Nobody has decided a held command for so long that the next people, whom the data names, were told.
    COMMAND_ESCALATED = "command.escalated"
    # A command that was allowed is over: its exit status, or why it was cut, and its recording's SHA-256 digest.
    COMMAND_FINISHED = "command.finished"
    # A target told afterwards what a holder ran on it.
    COMMAND_OBSERVED = "command.observed"
    # Somebody watched a recording, or read its output in full; the data says which.
    RECORDING_WATCHED = "recording.watched"
    # The recording of a run whose gateway was lost was found and taken in; the data has its SHA-256 digest and size.
    RECORDING_RECOVERED = "recording.recovered"
    # Recordings of a grant, or one that no run knows, were deleted when their time was over; the data has the files' SHA-256
    # digests.
    RECORDING_PURGED = "recording.purged"
    # Recording storage is almost full; administrators were told, and the data says of what.
    RECORDING_STORAGE_LOW = "recording.storage_low"

    # Something may be made on a target for a grant from now on.
    LEASE_MADE = "lease.made"
    # A connector made something there; the data says what, and until when it is good.
    LEASE_PREPARED = "lease.prepared"
    # A holder was given a credential for what was made; the data never holds it.
    CREDENTIAL_ISSUED = "credential.issued"
    # Whoever held the token of a grant revoked it; the grant goes on.
    CREDENTIAL_REVOKED = "credential.revoked"
    # What was made was read back as gone, with the evidence.
    LEASE_GONE = "lease.gone"
    # Provisioning, revoking or verifying failed; the data has the error.
    LEASE_FAILING = "lease.failing"
    # A target is not as it should be: something is missing, was changed, or is left of a grant that is over.
    DRIFT_DETECTED = "drift.detected"
    # It is as it should be again.
    DRIFT_RESOLVED = "drift.resolved"

    # A grant began without approvals under a policy that allows it, with a reason, by break-glass access or by an incident
    # that its holder opened, which the data names; the approvers were told.
    BREAKGLASS_STARTED = "breakglass.started"
    # An approver reviewed such a grant afterwards and gave a verdict.
    BREAKGLASS_REVIEWED = "breakglass.reviewed"
    # Nobody reviewed such a grant in time; the administrators that the data names were told.
    BREAKGLASS_OVERDUE = "breakglass.overdue"

    # A review is due for so long that the next people, whom the data names, were told.
    BREAKGLASS_ESCALATED = "breakglass.escalated"

    # A workflow was opened that access can be bound to.
    WORKFLOW_OPENED = "workflow.opened"
    # It was closed; every grant bound to it ends, and the data says how many.
    WORKFLOW_CLOSED = "workflow.closed"
    # Its source says something else of it than before; the data has the names of what changed, and the grants that ended.
    WORKFLOW_CHANGED = "workflow.changed"
    # Somebody joined those who work on it.
    WORKFLOW_JOINED = "workflow.joined"

    # A source of work was made.
    SOURCE_CREATED = "source.created"
    # A source of work was changed; the data has the digest of its document, never a secret.
    SOURCE_CHANGED = "source.changed"
    # A source of work was removed; grants that rested on its work end.
    SOURCE_REMOVED = "source.removed"
    # A new secret for a source's webhooks was made; the one before is good until the next.
    SOURCE_SECRET_ROTATED = "source.secret_rotated"  # noqa: S105
    # A delivery that did not prove where it comes from; one entry a minute stands for all, and the data has their number.
    SOURCE_REFUSED = "source.refused"

    # A person, service or agent was made.
    IDENTITY_CREATED = "identity.created"
    # An identity's name, mail address, kind, owner, groups or rights were changed; the data has what was before and is now.
    IDENTITY_CHANGED = "identity.changed"
    # An identity was disabled; its grants end.
    IDENTITY_DISABLED = "identity.disabled"
    # A disabled identity may act again; ended grants stay ended.
    IDENTITY_ENABLED = "identity.enabled"
    # Every grant that an identity held was ended at once by somebody who may end them; the identity stays enabled.
    IDENTITY_GRANTS_ENDED = "identity.grants_ended"
    # An SSH public key was registered; the data has its fingerprint.
    IDENTITY_KEY_ADDED = "identity.key_added"
    # An SSH public key was removed and is no longer valid.
    IDENTITY_KEY_REMOVED = "identity.key_removed"
    # An API token was made; the data has its name, scopes and expiry, never the token.
    IDENTITY_TOKEN_CREATED = "identity.token_created"  # noqa: S105
    # An API token was revoked before its expiry.
    IDENTITY_TOKEN_REVOKED = "identity.token_revoked"  # noqa: S105
    # A machine proved itself with a token of its issuer and was given one of Stint's; the data has the claims that it was
    # matched by and the workflow that it is bound to, never a token.
    IDENTITY_TOKEN_EXCHANGED = "identity.token_exchanged"  # noqa: S105
    # A token of an issuer was not taken; the data says which conditions it did not meet.
    IDENTITY_TOKEN_REFUSED = "identity.token_refused"  # noqa: S105
    # A person let a program that shows a code act as them, with what scopes and from where it asked.
    IDENTITY_DEVICE_AUTHORIZED = "identity.device_authorized"
    # A person refused such a program.
    IDENTITY_DEVICE_DENIED = "identity.device_denied"
    # Mail to a person was given up; the data has the error and the administrators who were told, at most once a day.
    IDENTITY_MAIL_FAILED = "identity.mail_failed"
    # An identity signed in to the pages.
    IDENTITY_SIGNED_IN = "identity.signed_in"
    # An identity signed out of the pages.
    IDENTITY_SIGNED_OUT = "identity.signed_out"
    # A person was linked to somebody of the identity provider, whose address was theirs; the data has whom.
    IDENTITY_LINKED = "identity.linked"
    # An administrator removed that link, and the person's sessions ended.
    IDENTITY_UNLINKED = "identity.unlinked"
    # A sign-in failed; the object is the name that was tried, whether or not it exists.
    IDENTITY_SIGN_IN_FAILED = "identity.sign_in_failed"
    # A person added a second factor to their sign-in; the data has its kind and name, never a secret.
    IDENTITY_FACTOR_ADDED = "identity.factor_added"
    # A person removed one.
    IDENTITY_FACTOR_REMOVED = "identity.factor_removed"
    # An administrator, or who has the server's shell, took away all of a person's; every sign-in of theirs ended.
    IDENTITY_FACTORS_RESET = "identity.factors_reset"
    # A person generated new recovery codes; the previous ones are no longer valid.
    IDENTITY_RECOVERY_RENEWED = "identity.recovery_renewed"
    # A recovery code was used up in place of a second factor; the data says how many are left.
    IDENTITY_RECOVERY_USED = "identity.recovery_used"
    # An identity's password was set by itself or by another.
    IDENTITY_PASSWORD_CHANGED = "identity.password_changed"  # noqa: S105

    # A set of catalogue files was applied in one transaction; the data has counts and the files' digest.
    CATALOGUE_APPLIED = "catalogue.applied"
    # A draft of a command set was written in place of an earlier one; the data has its digest. It allows nothing.
    COMMAND_SET_DRAFTED = "command_set.drafted"
    # A version of a command set was published and can't change any more; the data has its digest.
    COMMAND_SET_PUBLISHED = "command_set.published"
    # A command set was taken out of use: nothing new may be asked for on it.
    COMMAND_SET_RETIRED = "command_set.retired"
    # A policy was made.
    POLICY_CREATED = "policy.created"
    # A policy was changed; the data has what was before and is now.
    POLICY_CHANGED = "policy.changed"
    # A policy was removed; grants made under it end.
    POLICY_REMOVED = "policy.removed"
    # A trust policy was made.
    TRUST_POLICY_CREATED = "trust_policy.created"
    # A trust policy was changed; the data has its version, its digest, and whom it lets in.
    TRUST_POLICY_CHANGED = "trust_policy.changed"
    # A trust policy was removed, and the tokens that it issued were revoked.
    TRUST_POLICY_REMOVED = "trust_policy.removed"
    # A cluster was made.
    CLUSTER_CREATED = "cluster.created"
    # A cluster or its targets were changed; the data has what was before and is now.
    CLUSTER_CHANGED = "cluster.changed"
    # A target was looked at step by step because somebody asked; the data has each step's answer.
    CLUSTER_CHECKED = "cluster.checked"
    # What the administrator of its targets has to run was printed on the server; the data says whether a key stands in it.
    CLUSTER_SETUP_SHOWN = "cluster.setup_shown"
    # A cluster was removed; grants on it end.
    CLUSTER_REMOVED = "cluster.removed"
    # An endpoint for outgoing webhooks was made; the data names its host and never its whole address.
    WEBHOOK_CREATED = "webhook.created"
    # Its address, events, owners or signing key were changed.
    WEBHOOK_CHANGED = "webhook.changed"
    # It was removed: nothing more is sent there.
    WEBHOOK_REMOVED = "webhook.removed"
    # A new signing key was made; the old one signs as well until the time in the data.
    WEBHOOK_ROTATED = "webhook.rotated"
    # Nothing more is sent there, because somebody said so or because it took nothing for days.
    WEBHOOK_PAUSED = "webhook.paused"
    # It is sent to again, with all that waited.
    WEBHOOK_RESUMED = "webhook.resumed"
    # Messages were sent again because somebody asked; the data says how many.
    WEBHOOK_REPLAYED = "webhook.replayed"
    # A test message was sent because somebody asked.
    WEBHOOK_TESTED = "webhook.tested"
    # An object permission was given to, or taken from, a person or group.
    PERMISSION_CHANGED = "permission.changed"

    # The key that signs the gateway's certificates was made; the data has its fingerprint.
    CA_CREATED = "ca.created"
    # A new signing key took over; targets should trust both until the old one is retired.
    CA_ROTATED = "ca.rotated"
    # An old signing key was put out of use.
    CA_RETIRED = "ca.retired"

    # A verification read the whole log, or from an entry on, and found it intact.
    RECORD_VERIFIED = "record.verified"
    # A verification found the log broken; the data says where and how.
    RECORD_BROKEN = "record.broken"
    # All entries were written to a file; the data says up to which.
    RECORD_EXPORTED = "record.exported"
    # An entry that had been kept aside can't be one; the data has what it said, each part cut, and why.
    RECORD_ENTRY_REPLACED = "record.entry_replaced"
    # An older backup was restored, and somebody went on with it; the data says why, what was lost, and what ended.
    RECORD_RESTORED = "record.restored"
    # The key that signs checkpoints of the record was made; the data has its public half, as verifiers take it.
    RECORD_KEY_CREATED = "record.key_created"

    @property
    def family(self) -> str:
        """The part before the dot."""
        return self.value.partition(".")[0]
