"""Tokens for using grants over HTTP, used proofs, and counted requests."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from sessions_app.models.grant import Grant
from sessions_app.models.session import CommandRun


class GrantCredential(models.Model):
    """A token for a grant, stored only as a digest. The token is valid while the grant is in use;
    ``expires_at`` can end it earlier.

    ``jkt`` is the SHA-256 thumbprint of the key that the token is bound to (RFC 9449, RFC 7638); empty for a
    bearer token.
    """

    grant = models.ForeignKey(Grant, on_delete=models.PROTECT, related_name="credentials")
    digest = models.CharField(max_length=64)
    jkt = models.CharField(max_length=43, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            # Not `unique=True`, which would add an index for LIKE.
            models.UniqueConstraint(fields=["digest"], name="credential_digest_once"),
            models.UniqueConstraint(
                fields=["grant"], condition=Q(revoked_at__isnull=True), name="credential_one_of_grant"
            ),
        ]

    def __str__(self) -> str:
        return f"credential {self.pk}"


class ProofUsed(models.Model):
    """A used DPoP proof (RFC 9449 §11.1), kept until it expires."""

    digest = models.CharField(max_length=64)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [models.UniqueConstraint(fields=["digest"], name="proof_used_once")]

    def __str__(self) -> str:
        return f"proof {self.pk}"


class RequestCount(models.Model):
    """The number of times that an allowed read request was made, from ``run.tried_at`` to ``last_at``.

    One row covers up to a second.
    """

    run = models.OneToOneField(CommandRun, on_delete=models.PROTECT, related_name="count")
    times = models.PositiveIntegerField()
    last_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.times} times"
