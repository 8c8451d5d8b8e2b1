"""Create the next certificate authority, so that targets and clients trust it before it signs anything."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.db import transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.crypto import place_of, seal
from broker.kernel.errors import Conflict
from broker.kernel.lock import in_turn
from broker.kernel.x509 import fingerprint, make_authority
from sessions_app.models import SigningKey
from sessions_app.queries.gateways.keys import GATEWAY_CA, SSH_HOST_KEY, SSH_USER_CA


class AlreadyPrepared(Conflict):
    """A next authority or key is already prepared. Rotate to it, or retire it first."""

    code = "already_prepared"


def prepare_authority(purpose: str, *, actor: Actor, now: dt.datetime) -> SigningKey:
    """Create an authority that is trusted from now on, and signs only after ``rotate_authority``.

    Raises AlreadyPrepared.
    """
    with transaction.atomic():
        in_turn(purpose)
        waiting = prepared_authority(purpose)
        if waiting is not None:
            raise AlreadyPrepared(
                f"The authority {waiting.fingerprint} is already prepared.",
                hint="Install this authority everywhere and rotate, or retire it.",
            )
        return make_key(purpose, actor=actor, now=now, active=False)


def prepared_authority(purpose: str) -> SigningKey | None:
    """Return the authority that was prepared and has never signed; None if there is none."""
    return SigningKey.objects.filter(
        purpose=purpose, is_active=False, activated_at__isnull=True, retired_at__isnull=True
    ).first()


def make_key(purpose: str, *, actor: Actor, now: dt.datetime, active: bool) -> SigningKey:
    """Create an authority, encrypted with STINT_SECRET_KEY, in the caller's transaction."""
    made = _MAKERS[purpose](now)
    key = SigningKey(
        purpose=purpose,
        public_key=made.public,
        fingerprint=made.fingerprint,
        created_at=now,
        activated_at=now if active else None,
        is_active=active,
    )
    key.sealed_private_key = seal(made.private, place=place_of(key, "sealed_private_key"))
    key.save(force_insert=True)
    record(
        event=Event.CA_CREATED,
        actor=actor,
        object_type="ca",
        object_ref=made.fingerprint,
        now=now,
        data={"purpose": purpose, "signs": active},
    )
    return key


@dataclass(frozen=True, slots=True)
class _Made:
    public: str
    fingerprint: str
    private: bytes


def _for_ssh(now: dt.datetime) -> _Made:
    """Create an Ed25519 key. The fingerprint has the format of ssh-keygen(1)."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return _Made(
        f"{public} stint-{now:%Y-%m-%d}",
        "SHA256:" + base64.b64encode(digest).decode().rstrip("="),
        private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
    )


def _for_web(now: dt.datetime) -> _Made:
    """Create a certificate. Its fingerprint is stored as 64 hex digits without colons."""
    made = make_authority(f"Stint gateway CA {now:%Y-%m-%d}", now=now)
    digest = fingerprint(made.certificate).replace(":", "").lower()
    return _Made(made.certificate.decode("ascii"), digest, made.key)


_MAKERS: Mapping[str, Callable[[dt.datetime], _Made]] = {
    SSH_USER_CA: _for_ssh,
    SSH_HOST_KEY: _for_ssh,
    GATEWAY_CA: _for_web,
}
