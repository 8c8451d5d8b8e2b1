"""The key that signs checkpoints. It comes from the environment, or is created once and stored encrypted in
the database.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings
from django.db import IntegrityError, transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.models import MAIN_LOG, AuditCheckpoint, AuditKey
from broker.audit.record import record
from broker.audit.signed_note import verifier_key
from broker.kernel.crypto import SecretLocation, seal, unseal
from broker.kernel.errors import StintError


class NotACheckpointKey(StintError):
    """``STINT_CHECKPOINT_KEY`` is not an Ed25519 key in PEM. Create one with ``openssl genpkey -algorithm
    ed25519``.
    """

    code = "not_a_checkpoint_key"
    status = 500


class CheckpointKeyMissing(StintError):
    """The key that signed earlier checkpoints is missing. Set ``STINT_CHECKPOINT_KEY`` to that key."""

    code = "checkpoint_key_missing"
    status = 500


@dataclass(frozen=True, slots=True)
class Signer:
    """A key, and its name in signatures, which is the log's origin."""

    name: str
    key: Ed25519PrivateKey = field(repr=False)

    @property
    def verifier(self) -> str:
        """The public key, as a verifier key of signed notes."""
        return verifier_key(self.name, self.key.public_key())


def known_signer(*, log: str = MAIN_LOG, using: str = "default") -> Signer | None:
    """Return the signer of a log's checkpoints; None if no key was created yet.

    The public key is derived from the encrypted private one, so that the database's owner can't replace it.
    Raises CannotDecrypt and NotACheckpointKey.
    """
    if settings.CHECKPOINT_KEY:
        return Signer(settings.RECORD_ORIGIN, _given(settings.CHECKPOINT_KEY))
    row = AuditKey.objects.using(using).filter(log=log).first()
    if row is None:
        return None
    sealed = unseal(bytes(row.sealed_private_key), place=_place(log))
    return Signer(row.origin, Ed25519PrivateKey.from_private_bytes(sealed))


def signer(*, now: dt.datetime, log: str = MAIN_LOG) -> Signer:
    """Return the signer of a log's checkpoints, and create the key if there is none. Safe for concurrent
    processes.

    Raises CheckpointKeyMissing, and the same errors as ``known_signer``.
    """
    found = known_signer(log=log)
    if found is None:
        if AuditCheckpoint.objects.filter(log=log).exists():
            raise CheckpointKeyMissing(
                "Checkpoints exist, but the key that signed them is missing from the database.",
                hint=(
                    "Compare the database with a backup. To continue with another key, set"
                    " STINT_CHECKPOINT_KEY_FILE."
                ),
            )
        try:
            found = _make(log, now)
        except IntegrityError:
            found = known_signer(log=log)
            if found is None:
                raise
    return found


def _make(log: str, now: dt.datetime) -> Signer:
    made = Signer(settings.RECORD_ORIGIN, Ed25519PrivateKey.generate())
    with transaction.atomic():
        sealed = seal(made.key.private_bytes_raw(), place=_place(log))
        AuditKey.objects.create(log=log, origin=made.name, sealed_private_key=sealed, created_at=now)
        record(
            event=Event.RECORD_KEY_CREATED,
            actor=Actor.system("setup"),
            object_type="log",
            object_ref=log,
            now=now,
            data={"verifier": made.verifier},
        )
    return made


def _place(log: str) -> SecretLocation:
    return SecretLocation("audit_key", log, "sealed_private_key")


def _given(pem: str) -> Ed25519PrivateKey:
    hint = (
        "Generate a key with `openssl genpkey -algorithm ed25519`, and set STINT_CHECKPOINT_KEY_FILE "
        "to its file."
    )
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError) as error:
        raise NotACheckpointKey(
            "STINT_CHECKPOINT_KEY is not an unencrypted PEM private key.", hint=hint
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise NotACheckpointKey("STINT_CHECKPOINT_KEY is not an Ed25519 key.", hint=hint)
    return key
