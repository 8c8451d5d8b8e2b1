"""Requests that only read are counted and written down within a second, whatever happens."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import DatabaseError

from broker.kernel import clock
from sessions_app.gateways.http.tally import MOST, Tally
from sessions_app.operations.authorize_request import GrantFacts
from sessions_app.policy.commands.answers import Allowed


class Written(list):
    """Takes what is written, or refuses."""

    refuses = False

    def __call__(self, requests, now):
        if self.refuses:
            raise DatabaseError("full")
        self.extend(requests)

    @property
    def times(self):
        return sum(one.times for one in self)


@pytest.fixture
def written():
    return Written()


@pytest.fixture
def tally(written, live_world):
    made = Tally(written)
    yield made
    made.stop()


FACTS = GrantFacts(
    grant_id=1, grant_ref="GR-1", holder_id=1, holder="alice", holder_kind="person", cluster="c", target_id=1, target="t",
    compiled=None,
)  # fmt: skip


def add(tally, uri="/a", session=1):
    tally.add(session, FACTS, Allowed(0, "read", False, None, {}, ("GET", uri)), clock.now())


def test_they_are_written_down_within_a_second_without_being_told(tally, written):
    for _ in range(3):
        add(tally)
    deadline = time.monotonic() + 2
    while not written and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [(one.times, one.session_id) for one in written] == [(3, 1)]
    assert written[0].first_at <= written[0].last_at


def test_none_is_lost_or_counted_twice_when_many_threads_ask(tally, written):
    def ask(number):
        for _ in range(400):
            add(tally, uri=f"/{number % 3}")
        clock_connection()

    def clock_connection():
        from django.db import connection

        connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tally.flush()
    assert written.times == 2400


def test_what_is_refused_waits_and_shuts_the_door_until_it_is_taken(tally, written):
    written.refuses = True
    add(tally)
    with pytest.raises(DatabaseError):
        tally.flush()
    assert tally.refusing
    add(tally)
    written.refuses = False
    tally.flush()
    assert not tally.refusing
    assert written.times == 2


def test_too_many_that_wait_are_written_down_by_whoever_asks(tally, written):
    tally._start = lambda: None
    for number in range(MOST):
        add(tally, uri=f"/{number}")
    assert written.times == MOST


def test_what_waits_is_written_down_when_the_process_stops(tally, written):
    add(tally)
    tally.stop()
    assert written.times == 1
