"""All events of the record. A name never changes its meaning, and is never reused."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """Dotted names: the object of the act, then the act. The part before the dot is the event's family."""

    # An identity requested access; the data is the exact request and its digest.
    REQUEST_CREATED = "request.created"
    # One approver approved the request; the data has the approved digest and the number of approvals still missing.
    REQUEST_APPROVED = "request.approved"
    # One approver denied the request, which closes it.
    REQUEST_DENIED = "request.denied"
    # The requester withdrew the request before it was decided.
    REQUEST_WITHDRAWN = "request.withdrawn"
    # The request expired: no one decided within the policy's decision time, or its time window passed.
    REQUEST_LAPSED = "request.lapsed"
    # An approver shortened the request, or removed commands or targets. The grant gets only what no approver removed.
    REQUEST_NARROWED = "request.narrowed"

    # Someone commented on the request; the data has the text.
    REQUEST_COMMENTED = "request.commented"
    # The requester reminded the approvers.
    REQUEST_REMINDED = "request.reminded"

    # The request was escalated, because no one decided in time; the data has the people who were notified.
    REQUEST_ESCALATED = "request.escalated"
    # A request without a grant was deleted at the end of its retention; the data has its outcome.
    REQUEST_PURGED = "request.purged"

    # The last required approval was given; the grant exists and waits for its start.
    GRANT_SCHEDULED = "grant.scheduled"
    # The grant's start was reached, and the connector began to create access.
    GRANT_PROVISIONING = "grant.provisioning"
    # Access exists and may be used until the deadline.
    GRANT_ACTIVE = "grant.active"
    # The grant began to end, for the reason in the data: nothing new is allowed, and access on targets is being removed.
    GRANT_REVOKING = "grant.revoking"
    # The grant ended: every target confirmed that access is gone, and every session is closed.
    GRANT_ENDED = "grant.ended"
    # An approved extension moved the grant's deadline.
    GRANT_EXTENDED = "grant.extended"
    # A grant was suspended after too many refused commands.
    GRANT_HELD = "grant.held"
    # An approver resumed a suspended grant.
    GRANT_RELEASED = "grant.released"
    # The holder delegated a part of the grant; the data has the delegate and the chain of grants from the first one.
    GRANT_DELEGATED = "grant.delegated"
    # A target did not confirm the revocation; Stint retries until it does.
    GRANT_REVOKE_FAILING = "grant.revoke_failing"
    # A grant was deleted with its runs at the end of its retention; the data has its request and the number of runs.
    GRANT_PURGED = "grant.purged"

    # A holder authenticated at a gateway, which opened a session under a grant.
    SESSION_OPENED = "session.opened"
    # The session ended and its connections are closed; the data has the reason.
    SESSION_CLOSED = "session.closed"

    # A holder started a command on the grant's page; later entries have the outcome.
    COMMAND_ORDERED = "command.ordered"
    # A command matched the grant and was sent to a target.
    COMMAND_ALLOWED = "command.allowed"
    # A command did not match the grant, or no grant covered it; nothing was sent to the target.
    COMMAND_REFUSED = "command.refused"
    # A command matched the grant and waits for a second person.
    COMMAND_HELD = "command.held"
    # A held command was allowed once or denied by a second person, withdrawn by its holder, or timed out.
    COMMAND_HOLD_DECIDED = "command.hold_decided"
    # The holder reminded the approvers of a held command.
    COMMAND_REMINDED = "command.reminded"
    # A held command was escalated, because no one decided in time; the data has the people who were notified.
    COMMAND_ESCALATED = "command.escalated"
    # An allowed command ended; the data has its exit status, or why it was terminated, and its recording's SHA-256 digest.
    COMMAND_FINISHED = "command.finished"
    # A target's log shows a command or statement that a holder ran.
    COMMAND_OBSERVED = "command.observed"
    # Someone watched a recording, or read its output in full; the data says which.
    RECORDING_WATCHED = "recording.watched"
    # The recording of a run at a lost gateway was recovered; the data has its SHA-256 digest and size.
    RECORDING_RECOVERED = "recording.recovered"
    # Recordings of a grant, or one of an unknown run, were deleted at the end of their retention; the data has the files'
    # SHA-256 digests.
    RECORDING_PURGED = "recording.purged"
    # Recording storage is almost full; administrators were notified, and the data has the details.
    RECORDING_STORAGE_LOW = "recording.storage_low"

    # Access on a target is about to be created for a grant, so it must be revoked at the end.
    LEASE_MADE = "lease.made"
    # A connector created access on the target; the data has the objects and their expiry.
    LEASE_PREPARED = "lease.prepared"
    # A holder received a credential; the data never contains it.
    CREDENTIAL_ISSUED = "credential.issued"
    # A grant's token was revoked by someone who had it; the grant continues.
    CREDENTIAL_REVOKED = "credential.revoked"
    # The target confirmed that access is gone; the data has the evidence.
    LEASE_GONE = "lease.gone"
    # Provisioning, revocation or its confirmation failed on a target; the data has the error.
    LEASE_FAILING = "lease.failing"
    # A target differs from the expected state: an object is missing, was changed, or is left over from an ended grant.
    DRIFT_DETECTED = "drift.detected"
    # The difference no longer exists.
    DRIFT_RESOLVED = "drift.resolved"

    # A grant started without approvals, as its policy allows: break-glass access, or access for an incident that the
    # holder may have opened; the data says which. The approvers were notified.
    BREAKGLASS_STARTED = "breakglass.started"
    # An approver reviewed such a grant; the data has the verdict.
    BREAKGLASS_REVIEWED = "breakglass.reviewed"
    # No one reviewed such a grant in time; the data has the administrators who were notified.
    BREAKGLASS_OVERDUE = "breakglass.overdue"

    # A review was escalated, because no one did it in time; the data has the people who were notified.
    BREAKGLASS_ESCALATED = "breakglass.escalated"

    # A workflow was opened that access can be bound to.
    WORKFLOW_OPENED = "workflow.opened"
    # A workflow was closed, and every grant bound to it ends; the data has their number.
    WORKFLOW_CLOSED = "workflow.closed"
    # A workflow changed at its source; the data has the names of the changed facts, and the grants that ended.
    WORKFLOW_CHANGED = "workflow.changed"
    # Someone joined a workflow.
    WORKFLOW_JOINED = "workflow.joined"

    # A workflow source was created.
    SOURCE_CREATED = "source.created"
    # A workflow source was changed; the data has the digest of its document, never a secret.
    SOURCE_CHANGED = "source.changed"
    # A workflow source was removed; grants bound to its workflows end.
    SOURCE_REMOVED = "source.removed"
    # A new secret for a source's webhooks was created; the previous one stays valid until the next rotation.
    SOURCE_SECRET_ROTATED = "source.secret_rotated"  # noqa: S105
    # Webhook deliveries to a source were not authenticated; one entry a minute covers all of them, with their number.
    SOURCE_REFUSED = "source.refused"

    # A person, service or agent was created.
    IDENTITY_CREATED = "identity.created"
    # An identity's name, email address, kind, owner, groups or permissions were changed; the data has the values before
    # and after.
    IDENTITY_CHANGED = "identity.changed"
    # An identity was disabled; its grants end.
    IDENTITY_DISABLED = "identity.disabled"
    # A disabled identity was enabled; ended grants stay ended.
    IDENTITY_ENABLED = "identity.enabled"
    # All grants of an identity were ended at once; the identity stays enabled.
    IDENTITY_GRANTS_ENDED = "identity.grants_ended"
    # An SSH public key was registered; the data has its fingerprint.
    IDENTITY_KEY_ADDED = "identity.key_added"
    # An SSH public key was removed and is no longer valid.
    IDENTITY_KEY_REMOVED = "identity.key_removed"
    # An API token was created; the data has its name, scopes and expiry, never the token.
    IDENTITY_TOKEN_CREATED = "identity.token_created"  # noqa: S105
    # An API token was revoked before its expiry.
    IDENTITY_TOKEN_REVOKED = "identity.token_revoked"  # noqa: S105
    # A machine exchanged a token of its issuer for a Stint token; the data has the matched claims and the workflow that
    # the new token is bound to, never a token.
    IDENTITY_TOKEN_EXCHANGED = "identity.token_exchanged"  # noqa: S105
    # A token of an issuer was refused; the data has the conditions that it did not meet.
    IDENTITY_TOKEN_REFUSED = "identity.token_refused"  # noqa: S105
    # A person authorized a program by its device code; the data has its scopes and address.
    IDENTITY_DEVICE_AUTHORIZED = "identity.device_authorized"
    # A person denied a program with a device code.
    IDENTITY_DEVICE_DENIED = "identity.device_denied"
    # Stint stopped retrying an email to a person; the data has the error and the administrators who were notified. At
    # most once a day.
    IDENTITY_MAIL_FAILED = "identity.mail_failed"
    # An identity signed in to the pages.
    IDENTITY_SIGNED_IN = "identity.signed_in"
    # An identity signed out of the pages.
    IDENTITY_SIGNED_OUT = "identity.signed_out"
    # A person was linked to the identity provider's account with their email address; the data has the account.
    IDENTITY_LINKED = "identity.linked"
    # An administrator removed the link to an identity provider, and the person's sessions ended.
    IDENTITY_UNLINKED = "identity.unlinked"
    # A sign-in failed; the object is the username that was tried, whether or not it exists.
    IDENTITY_SIGN_IN_FAILED = "identity.sign_in_failed"
    # A person added a second factor; the data has its kind and name, never a secret.
    IDENTITY_FACTOR_ADDED = "identity.factor_added"
    # A person removed a second factor.
    IDENTITY_FACTOR_REMOVED = "identity.factor_removed"
    # A person's two-factor authentication was reset by an administrator or on the server; all of their sessions ended.
    IDENTITY_FACTORS_RESET = "identity.factors_reset"
    # A person generated new recovery codes; the previous ones are no longer valid.
    IDENTITY_RECOVERY_RENEWED = "identity.recovery_renewed"
    # A recovery code was used instead of a second factor; the data has the number of codes left.
    IDENTITY_RECOVERY_USED = "identity.recovery_used"
    # An identity's password was changed, by itself or by someone else.
    IDENTITY_PASSWORD_CHANGED = "identity.password_changed"  # noqa: S105

    # A set of catalog files was applied in one transaction; the data has counts and the files' digest.
    CATALOG_APPLIED = "catalog.applied"
    # Someone proposed a change to a document that may widen access; the data has the keys that do. It has no effect until
    # another administrator publishes it.
    PROPOSAL_CREATED = "proposal.created"
    # Another administrator published a proposal, and the document changed.
    PROPOSAL_PUBLISHED = "proposal.published"
    # Another administrator rejected a proposal.
    PROPOSAL_REFUSED = "proposal.refused"
    # The author of a proposal withdrew or replaced it.
    PROPOSAL_WITHDRAWN = "proposal.withdrawn"
    # A draft of a command set replaced an earlier one; the data has its digest. A draft allows nothing.
    COMMAND_SET_DRAFTED = "command_set.drafted"
    # A version of a command set was published, which can't be changed anymore; the data has its digest.
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
    # A trust policy was changed; the data has its version, its digest, and the subjects that it accepts.
    TRUST_POLICY_CHANGED = "trust_policy.changed"
    # A trust policy was removed, and the tokens that it issued were revoked.
    TRUST_POLICY_REMOVED = "trust_policy.removed"
    # A cluster was created.
    CLUSTER_CREATED = "cluster.created"
    # A cluster or its targets were changed; the data has the values before and after.
    CLUSTER_CHANGED = "cluster.changed"
    # A target was checked; the data has the result of each step.
    CLUSTER_CHECKED = "cluster.checked"
    # The setup of a cluster's targets was printed on the server; the data says whether it contains a key.
    CLUSTER_SETUP_SHOWN = "cluster.setup_shown"
    # A cluster was removed; grants on it end.
    CLUSTER_REMOVED = "cluster.removed"
    # A webhook endpoint was created; the data has its host, never its full URL.
    WEBHOOK_CREATED = "webhook.created"
    # A webhook endpoint's URL, events, owners or signing key were changed.
    WEBHOOK_CHANGED = "webhook.changed"
    # A webhook endpoint was removed; no more messages are sent to it.
    WEBHOOK_REMOVED = "webhook.removed"
    # A new signing key of a webhook was created; the old one also signs until the time in the data.
    WEBHOOK_ROTATED = "webhook.rotated"
    # A webhook was paused, by someone or because it accepted no messages for days.
    WEBHOOK_PAUSED = "webhook.paused"
    # A webhook was resumed; waiting messages are sent.
    WEBHOOK_RESUMED = "webhook.resumed"
    # Webhook messages were sent again; the data has their number.
    WEBHOOK_REPLAYED = "webhook.replayed"
    # A test message was sent to a webhook.
    WEBHOOK_TESTED = "webhook.tested"
    # An object permission was granted to, or revoked from, a person or group.
    PERMISSION_CHANGED = "permission.changed"

    # A key of a certificate authority was created; the data has its fingerprint.
    CA_CREATED = "ca.created"
    # A new CA key signs from now on; targets should trust both until the old one is retired.
    CA_ROTATED = "ca.rotated"
    # An old CA key was retired.
    CA_RETIRED = "ca.retired"

    # A verification of the log, or of its entries from a number on, found it intact.
    RECORD_VERIFIED = "record.verified"
    # A verification found the log broken; the data has the entry and the problem.
    RECORD_BROKEN = "record.broken"
    # Entries were exported to a file; the data has their range.
    RECORD_EXPORTED = "record.exported"
    # An entry of the backlog can't be recorded; the data has its truncated content and the reason.
    RECORD_ENTRY_REPLACED = "record.entry_replaced"
    # A restored older backup was confirmed; the data has the reason, what was lost, and the grants that ended.
    RECORD_RESTORED = "record.restored"
    # The key that signs the record's checkpoints was created; the data has its public key, as a verifier key.
    RECORD_KEY_CREATED = "record.key_created"

    @property
    def family(self) -> str:
        """The part before the dot."""
        return self.value.partition(".")[0]
