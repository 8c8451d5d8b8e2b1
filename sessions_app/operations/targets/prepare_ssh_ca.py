"""Make the next certificate authority, for targets to trust before it signs anything."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.crypto import seal
from broker.kernel.errors import Conflict
from sessions_app.models import SigningKey
from sessions_app.queries.authority import SSH_USER_CA


class AlreadyPrepared(Conflict):
    """A next authority waits already; two would only be confusing."""

    code = "already_prepared"


def prepare_ssh_ca(*, actor: Actor, now: dt.datetime) -> SigningKey:
    """Make an authority that targets should trust from now, and that signs after ``rotate_ssh_ca``.

    Raises AlreadyPrepared.
    """
    with transaction.atomic():
        waiting = prepared_ssh_ca()
        if waiting is not None:
            raise AlreadyPrepared(
                f"The authority {waiting.fingerprint} is already prepared.",
                hint="Install it on the targets and run `manage.py ssh_ca rotate`, or retire it.",
            )
        return make_key(actor=actor, now=now, active=False)


def prepared_ssh_ca() -> SigningKey | None:
    """Return the authority that is made and has never signed."""
    return SigningKey.objects.filter(
        purpose=SSH_USER_CA, is_active=False, activated_at__isnull=True, retired_at__isnull=True
    ).first()


def make_key(*, actor: Actor, now: dt.datetime, active: bool) -> SigningKey:
    """Make an ed25519 authority, sealed under STINT_SECRET_KEY, in the caller's transaction."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    fingerprint = "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    key = SigningKey.objects.create(
        purpose=SSH_USER_CA,
        public_key=f"{public} stint-{now:%Y-%m-%d}",
        fingerprint=fingerprint,
        sealed_private_key=seal(pem, purpose=SSH_USER_CA),
        created_at=now,
        activated_at=now if active else None,
        is_active=active,
    )
    record(
        event=Event.CA_CREATED, actor=actor, object_type="ca", object_ref=fingerprint, now=now,
        data={"purpose": SSH_USER_CA, "signs": active},
    )  # fmt: skip
    return key
