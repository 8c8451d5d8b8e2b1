"""One entry is written in the transaction of the act, and never holds a secret."""

import datetime as dt
import hashlib
import re
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.db import connection

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.models import AuditEntry, AuditHead
from broker.audit.record import MAX_DATA_BYTES, NotInTransaction, Unrecordable, record
from broker.audit.verify import verify
from broker.kernel.text import recordable

NOW = dt.datetime(2026, 11, 25, 10, 30, tzinfo=dt.timezone(dt.timedelta(hours=1)))
ALICE = Actor(name="alice", id=7, kind="person")


def tell(data: Any, *, now: dt.datetime = NOW, actor: Actor = ALICE) -> None:
    record(
        event=Event.GRANT_ENDED, actor=actor, object_type="grant", object_ref="GR-7F3K", data=data, now=now
    )


def write(data: Any, *, now: dt.datetime = NOW, actor: Actor = ALICE) -> AuditEntry:
    tell(data, now=now, actor=actor)
    return AuditEntry.objects.filter(log="main").latest("seq")


def test_an_entry_says_who_did_what_to_what_and_when(db):
    entry = write({"reason": "RELEASED", "targets": ["web-1", "web-2"], "seconds": 1.5, "by": None})
    assert (entry.event, entry.actor, entry.actor_id) == ("grant.ended", "alice", 7)
    assert (entry.object_type, entry.object_ref) == ("grant", "GR-7F3K")
    assert entry.at == NOW
    assert entry.data == {"reason": "RELEASED", "targets": ["web-1", "web-2"], "seconds": 1.5, "by": None}
    assert '"at": "2026-11-25T09:30:00.000000Z"' in entry.body
    assert verify(connection=connection).ok


def test_a_part_of_the_system_has_a_name_and_no_id(db):
    entry = write({}, actor=Actor.system("sweep"))
    assert (entry.actor, entry.actor_id) == ("system:sweep", None)


def test_outside_a_transaction_nothing_is_recorded(stint_db):
    before = AuditHead.objects.get(log="main").seq
    with pytest.raises(NotInTransaction, match=r"transaction\.atomic"):
        tell({})
    assert AuditHead.objects.get(log="main").seq == before


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "newPassword",
        "PASSWORD",
        "password2",
        "password_hash",
        "token",
        "api-token",
        "tokens",
        "token_digest",
        "access token",
        "clientSecret",
        "secret",
        "private_key",
        "privateKey",
        "ssh.private-key",
        "private_key_pem",
        "apiKey",
        "passphrase",
        "Authorization",
        "cookies",
        "credentials",
    ],
)
@pytest.mark.parametrize("nest", [lambda d: d, lambda d: {"a": [{"b": d}]}])
def test_the_value_of_a_key_that_names_a_secret_is_masked_in_place(db, key, nest):
    assert write(nest({key: "hunter2", "line": "rm -rf /"})).data == nest(
        {key: "[secret]", "line": "rm -rf /"}
    )


@pytest.mark.parametrize("value", [None, True, False])
def test_that_there_is_a_secret_or_none_is_a_fact(db, value):
    assert write({"password": value}).data == {"password": value}


@pytest.mark.parametrize(
    "key",
    [
        "token_id",
        "token_name",
        "password_changed_at",
        "secret_name",
        "key",
        "tokenizer",
        "public_key",
        "secretary",
    ],
)
def test_a_key_about_a_secret_is_a_fact(db, key):
    assert write({key: 1}).data == {key: 1}


KEY = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
MASKED = re.compile(r"\[private key, sha256:[0-9a-f]{64}\]")


@pytest.mark.parametrize(
    "key",
    [
        KEY.strip(),
        KEY.strip().replace("PRIVATE", "OPENSSH PRIVATE"),
        KEY.strip().replace("\n", "\\n"),
        KEY.strip().replace("\n", " "),
        KEY.strip().replace(
            "-----\n", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0123456789ABCDEF\n\n", 1
        ),
        KEY.strip().replace("PRIVATE KEY", "PGP PRIVATE KEY BLOCK"),
        KEY[: KEY.index("-----END")].strip(),
    ],
    ids=["PKCS8", "OpenSSH", "in JSON", "in one line", "encrypted", "PGP", "cut"],
)
def test_a_private_key_is_masked_in_place_by_its_digest_and_nothing_else_is(db, key):
    line = write({"line": f"echo '{key}' > /tmp/k; rm -rf /"}).data["line"]
    masked = f"[private key, sha256:{hashlib.sha256(key.encode()).hexdigest()}]"
    assert line == f"echo '{masked}' > /tmp/k; rm -rf /"


@pytest.mark.parametrize(
    "line",
    [
        "{} rm -rf /",
        "{}; systemctl stop nginx -----END PRIVATE KEY-----",
        "{}\\nrm -rf /\\n-----END PRIVATE KEY-----",
        "rm {} -rf / {}",
    ],
)
def test_a_marker_hides_nothing_of_what_stands_beside_it(db, line):
    marker = "-----BEGIN PRIVATE KEY-----"
    kept = write({"line": line.format(marker, marker)}).data["line"]
    assert MASKED.sub(marker, kept) == line.format(marker, marker)
    assert recordable(kept) == kept


def test_a_private_key_in_a_key_or_a_name_is_masked_as_well(db):
    assert MASKED.fullmatch(*write({KEY.strip(): 1}).data)
    ref = "-----BEGIN PRIVATE KEY-----" + "-" * 228
    record(event=Event.GRANT_ENDED, actor=ALICE, object_type="grant", object_ref=ref, data={}, now=NOW)
    kept = AuditEntry.objects.latest("seq").object_ref
    assert len(kept) == 255
    assert MASKED.match(kept)


@pytest.mark.timing
def test_a_hostile_text_is_masked_soon():
    for text in (
        "-----BEGIN " * 6000,
        "-----BEGIN PRIVATE KEY-----" + "A" * 65536,
        "-----BEGIN PRIVATE KEY-----" + "\\n" * 32768,
        "-----BEGIN PRIVATE KEY-----" + "Version: a " * 6000,
        "-----BEGIN " + "A " * 32768,
    ):
        began = time.process_time()
        recordable(text)
        assert time.process_time() - began < 2, text[:40]


@pytest.mark.parametrize(
    "data",
    [
        {"at": NOW},
        {"who": {1, 2}},
        {"b": b"x"},
        {1: "x"},
        {"x": float("nan")},
        {"x": float("-inf")},
        {"x": 2**63},
        {"x": ALICE},
    ],
)
def test_what_is_not_json_is_refused_before_it_reaches_the_database(db, data):
    with pytest.raises(Unrecordable) as refusal:
        write(data)
    assert refusal.value.hint


def test_deep_and_large_data_is_refused(db):
    deep: Any = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(Unrecordable, match="deeper"):
        write({"x": deep})
    room = MAX_DATA_BYTES - len('{"x": ""}')
    with pytest.raises(Unrecordable, match="at most 65536"):
        write({"x": "é" * (room // 2) + "aa"})
    assert len(write({"x": "a" * room}).data["x"]) == room


@pytest.mark.parametrize("ref", ["", "x" * 256])
def test_a_name_that_does_not_fit_is_refused_before_it_reaches_the_database(db, ref):
    for names in ({"object_ref": ref, "object_type": "grant"}, {"object_ref": "GR-1", "object_type": ref}):
        with pytest.raises(Unrecordable, match=next(name for name, value in names.items() if value == ref)):
            record(event=Event.GRANT_ENDED, actor=ALICE, data={}, now=NOW, **names)


def test_hostile_text_is_recorded_as_it_can_be_stored(db):
    line = "a\0b\udc80\u202ec\n'"
    assert write({"line": line}).data["line"] == "a\\x00b\\udc80\u202ec\n'"


def test_a_time_without_a_zone_is_refused(db):
    with pytest.raises(Unrecordable, match="time zone"):
        write({}, now=NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("name", "key", "kind"),
    [
        ("", 1, "person"),
        ("system:", None, "system"),
        ("system:sweep", 1, "person"),
        ("system:sweep", 1, "system"),
        ("alice", None, "person"),
        ("alice", None, "system"),
    ],
)
def test_nobody_takes_the_name_of_another_kind_of_actor(name, key, kind):
    with pytest.raises(ValueError, match="actor"):
        Actor(name=name, id=key, kind=kind)
