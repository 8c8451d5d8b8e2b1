"""Rows that are inserted and written with statements composed once."""

import pytest
from django.db import DatabaseError, connection, transaction

from broker.kernel.postgresql.writes import insert, insert_all, write
from sessions_app.models import AccessRequest, Asks, Grant, Notice
from tests.broker.kernel.test_rows import Noted


def columns(row):
    """Return all columns of a row, as they are stored."""
    return type(row).objects.filter(pk=row.pk).values().get()


def notice(world, **more):
    made = {"subject": "Ended", "body": "100%", "path": "/", "asks": Asks.NOTHING, "created_at": world.now}
    return Notice(identity=world.alice, event="grant.ended", **{**made, **more})


@pytest.mark.parametrize("model", [Grant, AccessRequest])
def test_a_row_is_inserted_as_django_inserts_it(world, model):
    stored = model.objects.get(pk=getattr(world.grant(), "pk" if model is Grant else "request_id"))
    before = columns(stored)
    for make in (insert, lambda row: row.save(force_insert=True)):
        with transaction.atomic():
            fresh = model.objects.get(pk=stored.pk)
            fresh.pk, fresh._state.adding = None, True
            unique = {"ref": "GR-XXXX", "mark": "m"} if model is Grant else {"number": 10**6, "once": ""}
            fresh.__dict__.update(unique)
            if model is Grant:
                fresh.request_id = world.request().pk
                Grant.objects.filter(request_id=fresh.request_id).delete()
            make(fresh)
            assert fresh.pk != stored.pk
            assert not fresh._state.adding
            same = set(before) - {"id", "request_id", *unique}
            assert {name: columns(fresh)[name] for name in same} == {name: before[name] for name in same}
            transaction.set_rollback(True)


def test_columns_without_a_value_get_their_default_and_the_row_has_it(world):
    ours, djangos = insert(notice(world)), notice(world)
    djangos.save()
    # Its default is the time of the statement.
    apart = {"id": 0, "next_attempt_at": None}
    assert columns(ours)["next_attempt_at"]
    assert {**columns(ours), **apart} == {**columns(djangos), **apart}
    for name, value in columns(ours).items():
        assert getattr(ours, name) == value, name


def test_only_the_named_columns_are_written(world):
    row = insert(notice(world))
    row.subject, row.body = "Changed", "not written"
    write(row, "subject")
    assert (columns(row)["subject"], columns(row)["body"]) == ("Changed", "100%")


def test_a_row_that_is_gone_is_not_written(world):
    row = insert(notice(world))
    Notice.objects.filter(pk=row.pk).delete()
    with pytest.raises(DatabaseError):
        write(row, "subject")


def test_no_value_is_part_of_a_statement(world):
    with connection.execute_wrapper(noted := Noted()):
        for subject in ("'); DROP TABLE x; --", "100% %s"):
            row = insert(notice(world, subject=subject))
            assert columns(row)["subject"] == subject
            write(row, "subject")
    assert len({text for text in noted.statements if not text.startswith("SELECT")}) == 2


@pytest.mark.parametrize("count", [1, 2, 8, 9])
def test_several_rows_take_one_statement_and_have_their_keys_and_defaults(world, count):
    rows = [notice(world, subject=str(number)) for number in range(count)]
    with connection.execute_wrapper(noted := Noted()):
        insert_all(rows)
        insert_all([])
    assert len(noted.statements) == 1
    for number, row in enumerate(rows):
        assert columns(row)["subject"] == str(number)
        assert columns(row)["next_attempt_at"] == row.next_attempt_at


def test_rows_with_and_without_a_value_are_inserted_together(world):
    rows = [notice(world, next_attempt_at=world.now), notice(world)]
    insert_all(rows)
    assert columns(rows[0])["next_attempt_at"] == world.now
    assert columns(rows[1])["next_attempt_at"] == rows[1].next_attempt_at != world.now
