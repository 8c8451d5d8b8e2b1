"""Whatever is changed behind the guards, the verification says where and how."""

import hashlib
import json

import pytest
from django.db import connection

from broker.audit.diagnose import Problem
from broker.audit.models import AuditEntry, AuditHead
from tests.broker.audit.build import AT, bulk_build


def entry(seq):
    return AuditEntry.objects.get(log="trial", seq=seq)


def hash_of(prev_hash, seq, body):
    """The format of an entry's hash, written a second time."""
    text = b"stint-audit-entry-1\n" + bytes(prev_hash) + seq.to_bytes(8, "big") + body.encode()
    return hashlib.sha256(text).digest()


def test_an_empty_log_is_intact(trial, check):
    verdict = check()
    assert (verdict.ok, verdict.entries, verdict.head_seq) == (True, 0, 0)


def test_a_log_as_written_is_intact(ten, check):
    verdict = check()
    assert verdict.ok, verdict.detail
    assert (verdict.entries, verdict.head_seq, verdict.problem) == (10, 10, None)
    assert verdict.head_hash == bytes(AuditHead.objects.get(log=ten).hash)


def test_the_format_can_be_checked_without_our_code(ten):
    last = hashlib.sha256(b"stint-audit-log-1\ntrial").digest()
    for row in AuditEntry.objects.filter(log=ten).order_by("seq"):
        assert bytes(row.prev_hash) == last
        assert bytes(row.hash) == hash_of(last, row.seq, row.body)
        body = json.loads(row.body)
        assert body["at"] == "2026-11-25T09:30:00.123456Z"
        assert set(body) == {"at", "log", "data", "actor", "event", "actor_id", "object_ref", "object_type"}
        last = bytes(row.hash)


def test_hostile_text_in_names_and_data_is_written_and_verified(trial, check):
    texts = [
        '"',
        "\\",
        "\n\t\r\b\f",
        "\x01\x1f\x7f",
        "é\u2028\U0001f600",
        '", "event": "x',
        "}",
        "%s",
        "\u202e",
    ]
    with connection.cursor() as cursor:
        for text in texts:
            cursor.execute(
                "SELECT audit_append_many(%s, %s, %s, %s, 7, %s, ARRAY[%s], ARRAY[%s::jsonb])",
                [trial, AT, text, text, text, text, json.dumps({text: [text]})],
            )
    verdict = check()
    assert verdict.ok, verdict.detail
    assert verdict.entries == len(texts)


def test_the_session_time_zone_does_not_change_what_is_hashed(trial, check):
    with connection.cursor() as cursor:
        cursor.execute("SET timezone = 'Asia/Kathmandu'; SET datestyle = 'SQL, DMY'")
        bulk_build(connection, 2, log=trial)
        assert check().ok
        cursor.execute("SET timezone = 'UTC'; SET datestyle = 'ISO'")
    assert json.loads(entry(1).body)["at"] == "2026-11-25T09:30:00.123456Z"
    assert check().ok


def test_each_changed_character_of_a_body_is_found(ten, tamper, check):
    body = entry(5).body
    for place in range(len(body)):
        changed = body[:place] + chr(ord(body[place]) ^ 1) + body[place + 1 :]
        tamper("UPDATE audit_entry SET body = %s WHERE log = 'trial' AND seq = 5", changed)
        verdict = check()
        assert (verdict.problem, verdict.first_bad_seq) == (Problem.ALTERED, 5)


@pytest.mark.parametrize("column", ["prev_hash", "hash"])
def test_each_changed_byte_of_a_hash_is_found(ten, tamper, check, column):
    for place in range(32):
        flip = f"set_byte({column}, {place}, get_byte({column}, {place}) # 128)"
        tamper(f"UPDATE audit_entry SET {column} = {flip} WHERE log = 'trial' AND seq = 5")
        verdict = check()
        assert (verdict.problem, verdict.first_bad_seq) == (Problem.ALTERED, 5)
        assert "its text is unchanged" in verdict.detail
        tamper(f"UPDATE audit_entry SET {column} = {flip} WHERE log = 'trial' AND seq = 5")
    assert check().ok


IN_TRIAL = "WHERE log = 'trial' AND seq"
SET_BACK = (
    f"UPDATE audit_head SET seq = %s, hash = coalesce((SELECT e.hash FROM audit_entry e {IN_TRIAL} = %s),"
    " hash) WHERE log = 'trial'"
)


@pytest.mark.parametrize(
    ("changes", "problem", "seq", "said"),
    [
        *(
            (
                [(f"UPDATE audit_entry SET {column} = %s {IN_TRIAL} = 5", value)],
                Problem.COLUMN,
                5,
                f"({column})",
            )
            for column, value in {
                "at": "2026-11-25 09:30:00.123457+00",
                "event": "grant.active",
                "actor": "alice",
                "actor_id": 7,
                "object_type": "request",
                "object_ref": "GR-FFFF",
            }.items()
        ),
        *(
            ([(f"DELETE FROM audit_entry {IN_TRIAL} = ANY(%s)", seqs)], Problem.GAP, seqs[0], str(seqs[-1]))
            for seqs in ([1], [5], [4, 5, 6])
        ),
        *(
            (
                [(f"DELETE FROM audit_entry {IN_TRIAL} >= %s", first)],
                Problem.TAIL_CUT,
                first,
                f"ends at entry {first - 1}",
            )
            for first in (10, 7, 1)
        ),
        *(
            (
                [
                    (f"UPDATE audit_entry SET seq = %s {IN_TRIAL} = %s", *pair)
                    for pair in ((99, one), (one, other), (other, 99))
                ],
                Problem.SWAPPED,
                one,
                f"originally entry {other}",
            )
            for one, other in ((4, 5), (3, 9), (1, 10))
        ),
        *(([(SET_BACK, seq, seq)], Problem.HEAD, seq + 1, "") for seq in (0, 4)),
        ([("UPDATE audit_head SET hash = %s WHERE log = 'trial'", bytes(32))], Problem.HEAD, 10, ""),
        ([("DELETE FROM audit_head WHERE log = 'trial'",)], Problem.HEAD, None, "head of the log"),
    ],
)
def test_what_was_changed_taken_or_moved_is_named_with_its_place(
    ten, tamper, check, changes, problem, seq, said
):
    for change in changes:
        tamper(*change)
    verdict = check()
    assert verdict.problem == problem
    assert seq is None or verdict.first_bad_seq == seq
    assert said in verdict.detail
    assert problem is Problem.HEAD or verdict.entries == seq - 1


def test_an_altered_head_of_an_empty_log_is_found(trial, tamper, check):
    tamper("UPDATE audit_head SET hash = %s WHERE log = 'trial'", bytes(32))
    assert check().problem == Problem.HEAD


def test_numbers_that_skip_are_a_gap_even_if_all_hashes_were_made_anew(ten, tamper, check):
    anew = hash_of(entry(10).prev_hash, 12, entry(10).body)
    tamper("UPDATE audit_entry SET seq = 12, hash = %s WHERE log = 'trial' AND seq = 10", anew)
    tamper("UPDATE audit_head SET seq = 12, hash = %s WHERE log = 'trial'", anew)
    assert (check().problem, check().first_bad_seq) == (Problem.GAP, 10)


def test_a_tail_cut_together_with_the_head_shows_at_the_next_full_copy(ten, tamper, check):
    """The known limit: a new ending with a new head is sound, but has another head hash."""
    before = check().head_hash
    tamper("DELETE FROM audit_entry WHERE log = 'trial' AND seq > 8")
    tamper("UPDATE audit_head SET seq = 8, hash = %s WHERE log = 'trial'", bytes(entry(8).hash))
    assert check().ok
    assert check().head_hash != before


def test_contents_that_changed_places_are_swapped(ten, tamper, check):
    for seq, body in ((3, entry(8).body), (8, entry(3).body)):
        tamper("UPDATE audit_entry SET body = %s WHERE log = 'trial' AND seq = %s", body, seq)
    verdict = check()
    assert (verdict.problem, verdict.first_bad_seq) == (Problem.SWAPPED, 3)
    assert "originally entry 8" in verdict.detail


@pytest.mark.parametrize(
    ("seq", "follows", "problem", "said"),
    [
        (1, True, Problem.REWRITTEN, ""),
        (5, True, Problem.REWRITTEN, ""),
        (9, True, Problem.REWRITTEN, ""),
        (5, False, Problem.REWRITTEN, ""),
        (1, False, Problem.REWRITTEN, "restarted"),
        (10, True, Problem.HEAD, ""),
    ],
    ids=["first", "middle", "last but one", "follows nothing", "a log begun anew", "last"],
)
def test_an_entry_that_was_rewritten_with_its_hash_is_found(ten, tamper, check, seq, follows, problem, said):
    before = bytes(entry(seq).prev_hash) if follows else bytes(32)
    body = entry(seq).body.replace("alice", "mallory")
    tamper(
        "UPDATE audit_entry SET body = %s, prev_hash = %s, hash = %s WHERE log = 'trial' AND seq = %s",
        body,
        before,
        hash_of(before, seq, body),
        seq,
    )
    verdict = check()
    assert (verdict.problem, verdict.first_bad_seq) == (problem, seq)
    assert said in verdict.detail


def test_an_entry_from_another_log_does_not_fit(ten, tamper, check):
    bulk_build(connection, 1)
    seq = AuditHead.objects.get(log="main").seq
    tamper("DELETE FROM audit_entry WHERE log = 'trial' AND seq = 5")
    tamper("UPDATE audit_entry SET log = 'trial', seq = 5 WHERE log = 'main' AND seq = %s", seq)
    assert (check().ok, check().first_bad_seq) == (False, 5)


def test_a_body_that_is_not_an_entry_is_found_even_if_hashed(ten, tamper, check):
    for body in ("", "[]", "{}", '{"data": 1}', "[" * 100_000):
        hashed = hash_of(entry(10).prev_hash, 10, body)
        tamper("UPDATE audit_entry SET body = %s, hash = %s WHERE log = 'trial' AND seq = 10", body, hashed)
        assert (check().problem, check().first_bad_seq) == (Problem.COLUMN, 10)


def test_a_verification_may_begin_at_an_entry(ten, tamper, check):
    tamper("UPDATE audit_entry SET body = '{}' WHERE log = 'trial' AND seq = 3")
    verdict = check(from_seq=6)
    assert (verdict.ok, verdict.entries, verdict.head_seq) == (True, 5, 10)
    assert check(from_seq=2).first_bad_seq == 3
    assert (check(from_seq=11).ok, check(from_seq=11).entries) == (True, 0)


def test_beginning_behind_a_cut_tail_finds_the_cut(ten, tamper, check):
    tamper("DELETE FROM audit_entry WHERE log = 'trial' AND seq > 8")
    assert check(from_seq=11).problem == check(from_seq=9).problem == Problem.TAIL_CUT
    tamper("DELETE FROM audit_entry WHERE log = 'trial' AND seq = 4")
    assert check(from_seq=5).problem == Problem.GAP
