"""Walking rows that are due, of which any may be held or fail."""

from functools import partial

import pytest
from django.db import OperationalError, connection

from broker.kernel import each_free as module
from broker.kernel.each_free import each_free
from broker.kernel.errors import Conflict
from sessions_app.models import Notice
from tests.support.steady import Steady


@pytest.fixture(autouse=True)
def steady(monkeypatch):
    """However slow the machine is, the time is up where a test says so."""
    steady = Steady()
    monkeypatch.setattr(module, "time", steady)
    return steady


@pytest.fixture
def notices(live_world):
    """Three that are not read."""
    return [
        Notice.objects.create(identity=live_world.alice, event="grant.ended", subject=subject, path="/")
        for subject in ("first", "second", "third")
    ]


def due():
    return Notice.objects.filter(read_at__isnull=True).order_by("pk")


def read(pk: int, *, now) -> None:
    Notice.objects.filter(pk=pk).update(read_at=now)


def left() -> list[str]:
    return [notice.subject for notice in due()]


def test_each_that_is_due_is_acted_on_once(notices, live_world):
    failed: dict[str, str] = {}
    assert each_free(due(), partial(read, now=live_world.now), failed=failed) == 3
    assert each_free(due(), partial(read, now=live_world.now), failed=failed) == 0
    assert (left(), failed) == ([], {})


def test_one_that_another_process_holds_is_passed_over_and_found_again(notices, live_world, owner_connection):
    failed: dict[str, str] = {}
    with owner_connection.transaction():
        owner_connection.execute("SELECT FROM sessions_app_notice WHERE subject = 'second' FOR UPDATE")
        assert each_free(due(), partial(read, now=live_world.now), failed=failed) == 2
    assert (left(), failed) == (["second"], {})
    assert each_free(due(), partial(read, now=live_world.now), failed=failed) == 1


def test_one_that_others_refer_to_at_this_moment_is_free(notices, live_world, owner_connection):
    with owner_connection.transaction():
        owner_connection.execute("SELECT FROM sessions_app_notice FOR KEY SHARE")
        assert each_free(due(), partial(read, now=live_world.now), failed={}) == 3


def test_one_that_is_due_no_more_when_its_turn_comes_is_left(notices, live_world):
    acted = []

    def read_the_next(pk: int) -> None:
        acted.append(pk)
        Notice.objects.filter(pk__in=[pk, pk + 1]).update(read_at=live_world.now)

    assert each_free(due(), read_the_next, failed={}) == 2
    assert acted == [notices[0].pk, notices[2].pk]


def in_the_database(_: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")


def as_a_rule_of_ours(_: int) -> None:
    raise Conflict("It is not like that any more.")


def as_a_row_that_means_nothing(_: int) -> None:
    raise ValueError("nothing is known by that name")


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        (in_the_database, "DataError: division by zero"),
        (as_a_rule_of_ours, "Conflict: It is not like that any more."),
        (as_a_row_that_means_nothing, "ValueError: nothing is known by that name"),
    ],
)
def test_one_that_fails_is_undone_and_noted_and_stops_no_other(notices, live_world, fails, says):
    failed: dict[str, str] = {}

    def act(pk: int) -> None:
        read(pk, now=live_world.now)
        if pk == notices[1].pk:
            fails(pk)

    assert each_free(due(), act, failed=failed) == 2
    assert left() == ["second"]
    ((row, error),) = failed.items()
    assert row == str(notices[1])
    assert error.startswith(says)


def lose_the_connection(_: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def test_one_that_loses_its_connection_stops_no_other(notices, live_world):
    failed: dict[str, str] = {}

    def act(pk: int) -> None:
        (lose_the_connection if pk == notices[1].pk else partial(read, now=live_world.now))(pk)

    assert each_free(due(), act, failed=failed) == 2
    assert (left(), list(failed)) == (["second"], [str(notices[1])])


def test_a_database_that_is_gone_fails_them_all_and_no_row_is_blamed(notices, monkeypatch, caplog):
    failed: dict[str, str] = {}
    monkeypatch.setitem(connection.settings_dict, "HOST", "/nowhere")
    with pytest.raises(OperationalError):
        each_free(due(), lose_the_connection, failed=failed)
    assert (failed, caplog.records) == ({}, [])


def test_when_the_time_is_up_the_rest_is_left_to_the_next_time(notices, live_world, steady):
    def slowly(pk: int) -> None:
        read(pk, now=live_world.now)
        steady.at += module.AWHILE

    assert each_free(due(), slowly, failed={}) == 1
    assert left() == ["second", "third"]
