"""Add an SSH public key."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from django.db import IntegrityError, transaction

from accounts.actors import actor_of
from accounts.factors import ensure_recently_proven, ensure_signed_in
from accounts.locks import lock_recipient
from accounts.models import APIToken, Identity, SSHPublicKey
from accounts.queries import may_give_credentials
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from broker.kernel.text import checked_text

_SMALLEST_RSA = 3072
_PLAIN = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
_HARDWARE = ("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com")
_HINT = "Paste one line from a .pub file, such as the output of `cat ~/.ssh/id_ed25519.pub`."


class KeyTaken(Conflict):
    """The SSH key is or was already registered. A key belongs to one identity permanently. Use
    another key.
    """

    code = "key_taken"


def add_ssh_key(
    *,
    identity_id: int,
    public_key: str,
    label: str = "",
    actor: Identity | Actor,
    by: APIToken | None = None,
    now: dt.datetime,
) -> SSHPublicKey:
    """Add an OpenSSH public key line: ed25519, ECDSA, RSA with at least 3072 bits, or a security key.

    An ``Actor`` has a shell on the server, and can add keys for anyone. ``by`` is the token that the actor
    used; tokens can't add keys. Raises InvalidInput for anything else, including private keys and
    certificates. Also raises KeyTaken, NotFound, ProofNeeded, SignInNeeded, IdentityDisabled, and Forbidden
    for another person's keys.
    """
    algorithm, blob, comment = _parse(public_key)
    label = checked_text(label, field="label", longest=100)
    ensure_signed_in(by, "add SSH keys")
    identity = Identity.objects.filter(pk=identity_id).first()
    if identity is None:
        raise NotFound("Identity not found.")
    if isinstance(actor, Identity):
        if not may_give_credentials(actor, identity):
            raise Forbidden("You can't add SSH keys for another person.")
        ensure_recently_proven(actor, now)
    fingerprint = "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    try:
        with transaction.atomic():
            lock_recipient(identity, actor)
            key = SSHPublicKey.objects.create(
                identity=identity,
                label=label or comment.replace("\0", "")[:100],
                algorithm=algorithm,
                fingerprint=fingerprint,
                public_key=f"{algorithm} {base64.b64encode(blob).decode()}",
                created_at=now,
            )
            record(
                event=Event.IDENTITY_KEY_ADDED,
                actor=actor_of(actor),
                object_type="identity",
                now=now,
                object_ref=identity.username,
                data={"fingerprint": fingerprint, "algorithm": algorithm},
            )
    except IntegrityError as error:
        raise KeyTaken(
            f"The key {fingerprint} is already in use.",
            hint="Each identity needs its own key. Generate one with `ssh-keygen -t ed25519`.",
            fields={"public_key": ["In use."]},
        ) from error
    return key


class NoKey(InvalidInput):
    """The input is not an accepted public key."""

    def __init__(self, message: str, hint: str = _HINT) -> None:
        super().__init__(message, hint=hint, fields={"public_key": ["Not accepted."]})


def _parse(line: str) -> tuple[str, bytes, str]:
    if "PRIVATE KEY" in line:
        raise NoKey("This is a private key. Never share private keys, and replace this one.")
    words = line.strip().split(None, 2)
    if len(words) < 2 or "\n" in line.strip():
        raise NoKey("This is not a public key.")
    algorithm = words[0]
    if algorithm not in _PLAIN + _HARDWARE:
        allowed = "ed25519, ECDSA, RSA of 3072 bits or more, or a security key"
        raise NoKey(f"{algorithm[:60]} keys are not supported.", f"Use one of: {allowed}.")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoKey("The key is corrupt: it is not valid base64.") from error
    _check_blob(algorithm, blob)
    return algorithm, blob, words[2] if len(words) > 2 else ""


def _check_blob(algorithm: str, blob: bytes) -> None:
    name = algorithm.encode()
    if not blob.startswith(len(name).to_bytes(4, "big") + name):
        raise NoKey("The key is corrupt: its type does not match its content.")
    try:
        key = load_ssh_public_key(name + b" " + base64.b64encode(blob))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NoKey("The key is corrupt and can't be read.") from error
    if isinstance(key, RSAPublicKey) and key.key_size < _SMALLEST_RSA:
        raise NoKey(
            f"An RSA key of {key.key_size} bits is too short.", "Generate a key with `ssh-keygen -t ed25519`."
        )
