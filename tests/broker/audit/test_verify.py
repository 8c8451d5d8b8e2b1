"""Whatever is changed behind the guards, the verification says where and how."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest
from django.db import connection

from broker.audit.diagnose import Problem
from broker.audit.models import AuditEntry, AuditHead
from broker.audit.verify import Verdict
from tests.broker.audit.build import AT, bulk_build

Check = Callable[..., Verdict]
Tamper = Callable[..., None]


def entry(seq: int) -> AuditEntry:
    return AuditEntry.objects.get(log="trial", seq=seq)


def prev_hash(seq: int) -> bytes:
    return bytes(entry(seq).prev_hash)


def hash_of(prev_hash: bytes, seq: int, body: str) -> bytes:
    """The format of an entry's hash, written a second time."""
    text = b"stint-audit-entry-1\n" + bytes(prev_hash) + seq.to_bytes(8, "big") + body.encode()
    return hashlib.sha256(text).digest()


def found(verdict: Verdict) -> tuple[Problem | None, int | None]:
    assert not verdict.ok
    assert str(verdict.first_bad_seq) in verdict.detail
    return verdict.problem, verdict.first_bad_seq


def test_an_empty_log_is_intact(trial: str, check: Check) -> None:
    verdict = check()
    assert (verdict.ok, verdict.entries, verdict.head_seq) == (True, 0, 0)


def test_a_log_as_written_is_intact(ten: str, check: Check) -> None:
    verdict = check()
    assert verdict.ok, verdict.detail
    assert (verdict.entries, verdict.head_seq, verdict.problem) == (10, 10, None)
    assert verdict.head_hash == bytes(AuditHead.objects.get(log=ten).hash)


def test_the_format_can_be_checked_without_our_code(ten: str) -> None:
    last = hashlib.sha256(b"stint-audit-log-1\ntrial").digest()
    for row in AuditEntry.objects.filter(log=ten).order_by("seq"):
        assert bytes(row.prev_hash) == last
        assert bytes(row.hash) == hash_of(last, row.seq, row.body)
        body = json.loads(row.body)
        assert body["at"] == "2026-11-25T09:30:00.123456Z"
        assert set(body) == {"at", "log", "data", "actor", "event", "actor_id", "object_ref", "object_type"}
        last = bytes(row.hash)


def test_hostile_text_in_names_and_data_is_written_and_verified(trial: str, check: Check) -> None:
    for text in (
        '"',
        "\\",
        "\n\t\r\b\f",
        "\x01\x1f\x7f",
        "é\u2028\U0001f600",
        '", "event": "x',
        "}",
        "%s",
        "\u202e",
    ):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT audit_append_many(%s, %s, %s, %s, 7, %s, ARRAY[%s], ARRAY[%s::jsonb])",
                [trial, AT, text, text, text, text, json.dumps({text: [text]})],
            )
    verdict = check()
    assert verdict.ok, verdict.detail
    assert verdict.entries == 9


def test_the_session_time_zone_does_not_change_what_is_hashed(trial: str, check: Check) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET timezone = 'Asia/Kathmandu'")
        cursor.execute("SET datestyle = 'SQL, DMY'")
        bulk_build(connection, 2, log=trial)
        assert check().ok
        cursor.execute("SET timezone = 'UTC'")
        cursor.execute("SET datestyle = 'ISO'")
    assert json.loads(entry(1).body)["at"] == "2026-11-25T09:30:00.123456Z"
    assert check().ok


def test_each_changed_character_of_a_body_is_found(ten: str, tamper: Tamper, check: Check) -> None:
    body = entry(5).body
    for place in range(len(body)):
        changed = body[:place] + chr(ord(body[place]) ^ 1) + body[place + 1 :]
        tamper("UPDATE audit_entry SET body = %s WHERE log = 'trial' AND seq = 5", changed)
        assert found(check()) == (Problem.ALTERED, 5)
    tamper("UPDATE audit_entry SET body = %s WHERE log = 'trial' AND seq = 5", body)
    assert check().ok


@pytest.mark.parametrize("column", ["prev_hash", "hash"])
def test_each_changed_byte_of_a_hash_is_found(ten: str, tamper: Tamper, check: Check, column: str) -> None:
    for place in range(32):
        flip = f"set_byte({column}, {place}, get_byte({column}, {place}) # 128)"
        tamper(f"UPDATE audit_entry SET {column} = {flip} WHERE log = 'trial' AND seq = 5")
        verdict = check()
        assert found(verdict) == (Problem.ALTERED, 5)
        assert "its text is unchanged" in verdict.detail
        tamper(f"UPDATE audit_entry SET {column} = {flip} WHERE log = 'trial' AND seq = 5")
    assert check().ok


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("at", "2026-11-25 09:30:00.123457+00"),
        ("event", "grant.active"),
        ("actor", "alice"),
        ("actor_id", 7),
        ("object_type", "request"),
        ("object_ref", "GR-FFFF"),
    ],
)
def test_a_column_that_disagrees_with_the_body_is_named(
    ten: str, tamper: Tamper, check: Check, column: str, value: object
) -> None:
    tamper(f"UPDATE audit_entry SET {column} = %s WHERE log = 'trial' AND seq = 5", value)
    verdict = check()
    assert found(verdict) == (Problem.COLUMN, 5)
    assert f"({column})" in verdict.detail
    assert verdict.entries == 4


@pytest.mark.parametrize("seqs", [[1], [5], [4, 5, 6]])
def test_missing_entries_are_a_gap(ten: str, tamper: Tamper, check: Check, seqs: list[int]) -> None:
    tamper("DELETE FROM audit_entry WHERE log = 'trial' AND seq = ANY(%s)", seqs)
    verdict = check()
    assert found(verdict) == (Problem.GAP, seqs[0])
    assert str(seqs[-1]) in verdict.detail
    assert verdict.entries == seqs[0] - 1


def test_numbers_that_skip_are_a_gap_even_if_all_hashes_were_made_anew(
    ten: str, tamper: Tamper, check: Check
) -> None:
    body, before = entry(10).body, prev_hash(10)
    anew = hash_of(before, 12, body)
    tamper("UPDATE audit_entry SET seq = 12, hash = %s WHERE log = 'trial' AND seq = 10", anew)
    tamper("UPDATE audit_head SET seq = 12, hash = %s WHERE log = 'trial'", anew)
    assert found(check()) == (Problem.GAP, 10)


@pytest.mark.parametrize("first", [10, 7, 1])
def test_a_cut_tail_is_found(ten: str, tamper: Tamper, check: Check, first: int) -> None:
    tamper("DELETE FROM audit_entry WHERE log = 'trial' AND seq >= %s", first)
    verdict = check()
    assert (verdict.problem, verdict.first_bad_seq) == (Problem.TAIL_CUT, first)
    assert f"ends at entry {first - 1}" in verdict.detail
    assert verdict.entries == first - 1


def test_a_tail_cut_together_with_the_head_shows_at_the_next_full_copy(
    ten: str, tamper: Tamper, check: Check
) -> None:
    """The known limit: a new ending with a new head is sound, but has another head hash."""
    before = check().head_hash
    tamper("DELETE FROM audit_entry WHERE log = 'trial' AND seq > 8")
    tamper("UPDATE audit_head SET seq = 8, hash = %s WHERE log = 'trial'", bytes(entry(8).hash))
    verdict = check()
    assert verdict.ok
    assert verdict.head_hash != before


MOVE_ALL = "UPDATE audit_entry SET seq = %s WHERE log = 'trial' AND seq = %s"


@pytest.mark.parametrize(("one", "other"), [(4, 5), (3, 9), (1, 10)])
def test_entries_that_changed_places_are_swapped(
    ten: str, tamper: Tamper, check: Check, one: int, other: int
) -> None:
    for target, source in ((99, one), (one, other), (other, 99)):
        tamper(MOVE_ALL, target, source)
    verdict = check()
    assert found(verdict) == (Problem.SWAPPED, one)
    assert f"written as entry {other}" in verdict.detail


def test_contents_that_changed_places_are_swapped(ten: str, tamper: Tamper, check: Check) -> None:
    three, eight = entry(3).body, entry(8).body
    tamper("UPDATE audit_entry SET body = %s WHERE log = 'trial' AND seq = 3", eight)
    tamper("UPDATE audit_entry SET body = %s WHERE log = 'trial' AND seq = 8", three)
    verdict = check()
    assert found(verdict) == (Problem.SWAPPED, 3)
    assert "written as entry 8" in verdict.detail


def rewrite(tamper: Tamper, seq: int, before: bytes) -> None:
    """Put another entry at a number, sound in itself: its columns, body and hash agree."""
    body = entry(seq).body.replace("alice", "mallory")
    tamper(
        "UPDATE audit_entry SET body = %s, prev_hash = %s, hash = %s WHERE log = 'trial' AND seq = %s",
        body,
        before,
        hash_of(before, seq, body),
        seq,
    )


@pytest.mark.parametrize("seq", [1, 5, 9])
def test_an_entry_rewritten_with_its_hash_is_found(ten: str, tamper: Tamper, check: Check, seq: int) -> None:
    rewrite(tamper, seq, prev_hash(seq))
    assert found(check()) == (Problem.REWRITTEN, seq)


def test_an_entry_that_follows_nothing_is_found(ten: str, tamper: Tamper, check: Check) -> None:
    rewrite(tamper, 5, bytes(32))
    assert found(check()) == (Problem.REWRITTEN, 5)


def test_a_log_begun_anew_is_found(ten: str, tamper: Tamper, check: Check) -> None:
    rewrite(tamper, 1, bytes(32))
    verdict = check()
    assert found(verdict) == (Problem.REWRITTEN, 1)
    assert "restarted" in verdict.detail


def test_a_rewritten_last_entry_disagrees_with_the_head(ten: str, tamper: Tamper, check: Check) -> None:
    rewrite(tamper, 10, prev_hash(10))
    assert found(check()) == (Problem.HEAD, 10)


def test_an_altered_head_hash_is_found(ten: str, tamper: Tamper, check: Check) -> None:
    tamper("UPDATE audit_head SET hash = %s WHERE log = 'trial'", bytes(32))
    assert found(check()) == (Problem.HEAD, 10)


def test_an_altered_head_of_an_empty_log_is_found(trial: str, tamper: Tamper, check: Check) -> None:
    tamper("UPDATE audit_head SET hash = %s WHERE log = 'trial'", bytes(32))
    assert check().problem == Problem.HEAD


@pytest.mark.parametrize("seq", [0, 4])
def test_a_head_that_was_set_back_is_found(ten: str, tamper: Tamper, check: Check, seq: int) -> None:
    tamper(
        "UPDATE audit_head SET seq = %s, hash = coalesce((SELECT e.hash FROM audit_entry e"
        " WHERE e.log = 'trial' AND e.seq = %s), hash) WHERE log = 'trial'",
        seq,
        seq,
    )
    verdict = check()
    assert (verdict.problem, verdict.first_bad_seq, verdict.entries) == (Problem.HEAD, seq + 1, seq)


def test_a_missing_head_is_found(ten: str, tamper: Tamper, check: Check) -> None:
    tamper("DELETE FROM audit_head WHERE log = 'trial'")
    verdict = check()
    assert verdict.problem == Problem.HEAD
    assert "no head" in verdict.detail


def test_an_entry_from_another_log_does_not_fit(ten: str, tamper: Tamper, check: Check) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT audit_append_many('main', %s, 'ca.created', 'system:x', NULL, 'ca', '{CA-1}', ARRAY['{}'::jsonb])",
            [AT],
        )
        (seq,) = cursor.fetchone()
    tamper("DELETE FROM audit_entry WHERE log = 'trial' AND seq = 5")
    tamper("UPDATE audit_entry SET log = 'trial', seq = 5 WHERE log = 'main' AND seq = %s", seq)
    verdict = check()
    assert not verdict.ok
    assert verdict.first_bad_seq == 5


def test_a_body_that_is_not_an_entry_is_found_even_if_hashed(ten: str, tamper: Tamper, check: Check) -> None:
    for body in ("", "[]", "{}", '{"data": 1}', "[" * 100_000):
        tamper(
            "UPDATE audit_entry SET body = %s, hash = %s WHERE log = 'trial' AND seq = 10",
            body,
            hash_of(prev_hash(10), 10, body),
        )
        assert found(check()) == (Problem.COLUMN, 10)


def test_a_verification_may_begin_at_an_entry(ten: str, tamper: Tamper, check: Check) -> None:
    tamper("UPDATE audit_entry SET body = '{}' WHERE log = 'trial' AND seq = 3")
    verdict = check(from_seq=6)
    assert (verdict.ok, verdict.entries, verdict.head_seq) == (True, 5, 10)
    assert check(from_seq=2).first_bad_seq == 3
    assert (check(from_seq=11).ok, check(from_seq=11).entries) == (True, 0)


def test_beginning_behind_a_cut_tail_finds_the_cut(ten: str, tamper: Tamper, check: Check) -> None:
    tamper("DELETE FROM audit_entry WHERE log = 'trial' AND seq > 8")
    assert check(from_seq=11).problem == Problem.TAIL_CUT
    assert check(from_seq=9).problem == Problem.TAIL_CUT
    tamper("DELETE FROM audit_entry WHERE log = 'trial' AND seq = 4")
    assert check(from_seq=5).problem == Problem.GAP
