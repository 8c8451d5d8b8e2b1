"""The text format of checkpoints: a C2SP tlog-checkpoint in a C2SP signed note, signed with Ed25519.

A note is its text, an empty line, and a line for each signature of the text::

    stint.example.com/record                      origin: the name of the log
    20852163                                      number of entries
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=  root of their tree, in base64
    time 2026-11-25T09:30:00Z                     time of the signature

    — stint.example.com/record Az3grlgtzPICa5OS8npV…
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

# The key type in key IDs and verifier keys.
_ED25519 = b"\1"
_ID_BYTES = 4
_TEXT = re.compile(
    r"(?P<origin>[^\n]+)\n(?P<size>0|[1-9]\d{0,18})\n(?P<root>[A-Za-z0-9+/]{43}=)\n(?:[^\n]+\n)*", re.ASCII
)
_TIME = re.compile(r"^time (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)$", re.ASCII | re.MULTILINE)
_SIGNATURE = re.compile(r"— (?P<name>\S+) (?P<signature>[A-Za-z0-9+/]+=*)")


@dataclass(frozen=True, slots=True)
class Statement:
    """The content of a checkpoint: the log, the number of entries and their root."""

    origin: str
    size: int
    root: bytes


def checkpoint_text(statement: Statement, at: dt.datetime) -> str:
    """Return the text to sign."""
    root = base64.b64encode(statement.root).decode()
    return f"{statement.origin}\n{statement.size}\n{root}\ntime {at.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}\n"


def sign(text: str, *, name: str, key: Ed25519PrivateKey) -> str:
    """Return the text as a note, signed with a name and key."""
    signature = _key_id(name, key.public_key()) + key.sign(text.encode())
    return f"{text}\n— {name} {base64.b64encode(signature).decode()}\n"


def read(note: str) -> Statement:
    """Return the content of a note, without verifying it. Raises ValueError if it is not a checkpoint."""
    text, _, _ = note.partition("\n\n")
    found = _TEXT.fullmatch(text + "\n")
    if found is None:
        raise ValueError(
            "The text is not a checkpoint. A checkpoint has an origin, a size and a root, each on its "
            "own line."
        )
    return Statement(found["origin"], int(found["size"]), base64.b64decode(found["root"]))


def signed_at(note: str) -> dt.datetime | None:
    """Return the time at which a note was signed, according to its text, or None if the text has no time."""
    found = _TIME.search(note.partition("\n\n")[0])
    return dt.datetime.fromisoformat(found[1]) if found else None


def is_signed(note: str, *, name: str, key: Ed25519PublicKey) -> bool:
    """Whether the note has a valid signature with this name and key."""
    text, _, signatures = note.partition("\n\n")
    for line in signatures.splitlines():
        found = _SIGNATURE.fullmatch(line)
        if found is None or found["name"] != name:
            continue
        raw = base64.b64decode(found["signature"])
        if raw[:_ID_BYTES] == _key_id(name, key) and _fits(key, raw[_ID_BYTES:], f"{text}\n".encode()):
            return True
    return False


def verifier_key(name: str, key: Ed25519PublicKey) -> str:
    """Return the public key as a verifier key of signed notes: name, key ID and key."""
    raw = base64.b64encode(_ED25519 + key.public_bytes_raw()).decode()
    return f"{name}+{_key_id(name, key).hex()}+{raw}"


def _key_id(name: str, key: Ed25519PublicKey) -> bytes:
    return hashlib.sha256(f"{name}\n".encode() + _ED25519 + key.public_bytes_raw()).digest()[:_ID_BYTES]


def _fits(key: Ed25519PublicKey, signature: bytes, text: bytes) -> bool:
    try:
        key.verify(signature, text)
    except InvalidSignature:
        return False
    return True
