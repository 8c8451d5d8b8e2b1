"""One entry is written in the transaction of the act, and never holds a secret."""

from __future__ import annotations

import datetime as dt
from types import MappingProxyType
from typing import Any

import pytest
from django.db import connection, transaction

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.models import AuditEntry, AuditHead
from broker.audit.record import MAX_DATA_BYTES, NotInTransaction, Unrecordable, record, recordable
from broker.audit.verify import verify

NOW = dt.datetime(2026, 11, 25, 10, 30, tzinfo=dt.timezone(dt.timedelta(hours=1)))
ALICE = Actor(name="alice", id=7, kind="person")


def write(data: Any, *, now: dt.datetime = NOW, actor: Actor = ALICE) -> AuditEntry:
    seq = record(
        event=Event.GRANT_ENDED, actor=actor, object_type="grant", object_ref="GR-7F3K", data=data, now=now
    )
    return AuditEntry.objects.get(log="main", seq=seq)


def test_an_entry_says_who_did_what_to_what_and_when(db: None) -> None:
    entry = write({"reason": "RELEASED", "targets": ["web-1", "web-2"], "seconds": 1.5, "by": None})
    assert (entry.event, entry.actor, entry.actor_id) == ("grant.ended", "alice", 7)
    assert (entry.object_type, entry.object_ref) == ("grant", "GR-7F3K")
    assert entry.at == NOW
    assert entry.data == {"reason": "RELEASED", "targets": ["web-1", "web-2"], "seconds": 1.5, "by": None}
    assert '"at": "2026-11-25T09:30:00.000000Z"' in entry.body
    assert verify(connection=connection).ok


def test_a_part_of_the_system_has_a_name_and_no_id(db: None) -> None:
    entry = write({}, actor=Actor.system("sweep"))
    assert (entry.actor, entry.actor_id) == ("system:sweep", None)


def test_outside_a_transaction_nothing_is_recorded(stint_db: Any) -> None:
    before = AuditHead.objects.get(log="main").seq
    with pytest.raises(NotInTransaction, match=r"transaction\.atomic"):
        write({})
    assert AuditHead.objects.get(log="main").seq == before


def test_an_act_that_fails_leaves_no_entry(stint_db: Any) -> None:
    before = AuditHead.objects.get(log="main").seq
    with transaction.atomic():
        write({})
        transaction.set_rollback(True)
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
def test_a_key_that_looks_like_a_secret_is_refused(db: None, key: str, nest: Any) -> None:
    with pytest.raises(Unrecordable, match="looks like a secret"):
        write(nest({key: "hunter2"}))


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
def test_a_key_about_a_secret_is_a_fact(db: None, key: str) -> None:
    assert write({key: 1}).data == {key: 1}


def test_a_private_key_in_any_text_is_refused(db: None) -> None:
    for kind in ("", "OPENSSH ", "EC "):
        with pytest.raises(Unrecordable, match="private key") as refusal:
            write({"line": f"cat <<E\n-----BEGIN {kind}PRIVATE KEY-----\nhunter2"})
        assert "hunter2" not in str(refusal.value)


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
        {"x": "a\0b"},
        {"x": "\ud800"},
        {"a\0": 1},
        {"x": ALICE},
    ],
)
def test_what_is_not_json_is_refused_before_it_reaches_the_database(db: None, data: Any) -> None:
    with pytest.raises(Unrecordable) as refusal:
        write(data)
    assert refusal.value.hint


def test_deep_and_large_data_is_refused(db: None) -> None:
    deep: Any = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(Unrecordable, match="deeper"):
        write({"x": deep})
    room = MAX_DATA_BYTES - len('{"x": ""}')
    with pytest.raises(Unrecordable, match="at most 65536"):
        write({"x": "é" * (room // 2) + "aa"})
    assert len(write({"x": "a" * room}).data["x"]) == room


@pytest.mark.parametrize("ref", ["", "x" * 256, "a\0b", "\ud800"])
def test_a_name_that_does_not_fit_is_refused_before_it_reaches_the_database(db: None, ref: str) -> None:
    for names in ({"object_ref": ref, "object_type": "grant"}, {"object_ref": "GR-1", "object_type": ref}):
        with pytest.raises(Unrecordable, match=next(name for name, value in names.items() if value == ref)):
            record(event=Event.GRANT_ENDED, actor=ALICE, data={}, now=NOW, **names)


def test_the_longest_name_is_recorded(db: None) -> None:
    name = "\U0001f600" * 255
    record(event=Event.GRANT_ENDED, actor=ALICE, object_type="grant", object_ref=name, data={}, now=NOW)
    assert AuditEntry.objects.get(object_ref=name).actor == "alice"


def test_a_mapping_of_any_kind_is_recorded(db: None) -> None:
    assert write(MappingProxyType({"x": MappingProxyType({"y": (1, 2)})})).data == {"x": {"y": [1, 2]}}


def test_hostile_text_is_recorded_after_it_was_made_recordable(db: None) -> None:
    line = "a\0b\udc80\u202ec\n'"
    assert write({"line": recordable(line)}).data["line"] == "a\\x00b\\udc80\u202ec\n'"


def test_a_time_without_a_zone_is_refused(db: None) -> None:
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
def test_nobody_takes_the_name_of_another_kind_of_actor(name: str, key: int | None, kind: Any) -> None:
    with pytest.raises(ValueError, match="actor"):
        Actor(name=name, id=key, kind=kind)


def test_every_event_name_is_a_family_and_an_act() -> None:
    for event in Event:
        family, dot, act = event.value.partition(".")
        assert family == event.family
        assert dot
        assert act
        assert event.name == event.value.replace(".", "_").upper()
