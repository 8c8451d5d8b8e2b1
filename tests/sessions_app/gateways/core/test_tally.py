"""Requests that only read are recorded at once, and repeats are counted and recorded within a second."""

import contextlib
import threading

import pytest
from django.db import DatabaseError, connection

from broker.kernel import clock
from sessions_app.gateways.core.tally import EVERY_S, LATE_S, MOST, Tally
from sessions_app.operations.sessions.proofs.proxy import RequestUse
from sessions_app.policy.commands.answers import Allowed
from tests.support.waits import eventually, happens


class Written(list):
    """Accepts requests to record, or refuses them."""

    refuses = False

    def __call__(self, requests, answered, now):
        if self.refuses:
            raise DatabaseError("full")
        self.extend(requests)
        return [True] * len(requests)

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


USE = RequestUse(
    grant_id=1,
    grant_ref="GR-1",
    holder_id=1,
    holder="alice",
    holder_kind="person",
    cluster="c",
    host_ca="",
    target=None,
    compiled=None,
    expires_at=None,
    finish_seconds=0,
    mark="",
    request_id=1,
    credential_id=1,
    session_id=1,
    jkt="",
)


READ = Allowed(0, "read", False, None, {}, ("GET", "/a"))


def add(tally, uri="/a", session=1):
    tally.add(session, USE, Allowed(0, "read", False, None, {}, ("GET", uri)), clock.now())


def test_the_first_is_written_down_at_once_and_what_repeats_it_within_a_second_without_being_told(
    tally, written
):
    # Its thread waits, however long this takes.
    with tally._flushing:
        for _ in range(4):
            add(tally)
        assert [(one.times, one.session_id) for one in written] == [(1, 1)]
    eventually(lambda: len(written) == 2)
    assert (written[1].times, written[1].session_id) == (3, 1)
    assert written[1].first_at <= written[1].last_at


def test_those_that_come_while_one_is_written_are_written_together(live_world):
    calls, go = [], threading.Event()

    def write(requests, answered, now):
        calls.append(sorted(one.decision.argv[1] for one in requests))
        happens(go)
        return [True] * len(requests)

    tally = Tally(write)
    threads = [threading.Thread(target=add, args=(tally, f"/{number}")) for number in range(4)]
    threads[0].start()
    eventually(lambda: calls == [["/0"]])
    for thread in threads[1:]:
        thread.start()
    eventually(lambda: len(tally._first) == 4)
    go.set()
    for thread in threads:
        thread.join()
    assert calls == [["/0"], ["/1", "/2", "/3"]]
    assert not tally._first


def test_a_first_one_that_is_not_taken_is_not_answered_and_not_counted_either(tally, written):
    written.refuses = True
    with pytest.raises(DatabaseError):
        add(tally)
    written.refuses = False
    tally.flush()
    assert written == []
    add(tally)
    assert written.times == 1


def test_none_is_lost_or_counted_twice_when_many_threads_ask(tally, written):
    def ask(number):
        for _ in range(400):
            add(tally, uri=f"/{number % 3}")
        clock_connection()

    def clock_connection():
        connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tally.flush()
    assert written.times == 2400


def test_what_is_refused_waits_and_shuts_the_endpoint_until_it_is_taken(tally, written):
    add(tally)
    written.refuses = True
    add(tally)
    with pytest.raises(DatabaseError):
        tally.flush()
    assert tally.refusing
    add(tally)
    written.refuses = False
    tally.flush()
    assert not tally.refusing
    assert written.times == 3


def test_too_many_that_wait_are_written_down_by_whoever_asks(tally, written):
    tally._start = lambda: None
    for number in [*range(MOST), *range(MOST)]:
        add(tally, uri=f"/{number}")
    for _ in range(2):
        add(tally, uri="/new")
    assert written.times == 2 * MOST + 1


def test_one_that_finds_too_many_waiting_that_are_not_taken_is_not_counted(tally, written):
    tally._start = lambda: None
    for number in [*range(MOST), *range(MOST - 1)]:
        add(tally, uri=f"/{number}")
    answered = 2 * MOST - 1
    for uri, written.refuses in ((f"/{MOST - 1}", True), ("/new", False), ("/new", True)):
        with contextlib.suppress(DatabaseError):
            add(tally, uri=uri)
            answered += 1
    written.refuses = False
    tally.flush()
    assert written.times == answered < 2 * MOST + 2


class Waits(list):
    """Takes the place of the event that ends the thread, and keeps how long it is waited for."""

    def wait(self, seconds):
        self.append(seconds)
        return len(self) == 3

    def set(self):
        pass


def test_the_time_that_a_write_takes_is_part_of_the_time_until_the_next(live_world, written):
    tally = Tally(written)
    tally._stop = waits = Waits()
    tally.count(1, USE, READ, clock.now())
    tally._thread.join()
    assert waits[0] == EVERY_S
    assert waits[1] < EVERY_S
    tally.stop()


def test_what_waits_is_written_down_when_the_process_stops(tally, written):
    add(tally)
    add(tally)
    tally.stop()
    assert written.times == 2


def test_what_was_recorded_in_another_way_is_counted_from_its_first_repeat(tally, written):
    assert not tally.repeats(1, USE, READ, clock.now())
    tally.learn(1, USE, READ)
    with tally._flushing:
        assert tally.repeats(1, USE, READ, clock.now())
        assert tally.repeats(1, USE, READ, clock.now())
        assert not tally.repeats(2, USE, READ, clock.now())
        assert written == []
    eventually(lambda: written.times == 2)


def test_nothing_is_counted_while_the_record_is_so_slow_that_more_would_be_lost_with_the_process(
    tally, written
):
    tally._start = lambda: None
    tally.learn(1, USE, READ)
    with tally._flushing:
        assert tally.repeats(1, USE, READ, clock.now())
        tally._since -= LATE_S
        assert tally.behind
        assert not tally.repeats(1, USE, READ, clock.now())
        late = threading.Thread(target=add, args=(tally,))
        late.start()
        assert written == []
    late.join()
    assert written.times == 1
    assert not tally.behind
    tally.flush()
    assert written.times == 2


def test_what_is_counted_while_others_are_written_is_not_late_with_them(tally, written):
    tally._start = lambda: None
    tally.learn(1, USE, READ)
    tally._write = lambda *_: tally.count(1, USE, READ, clock.now()) or [True]
    tally.count(1, USE, READ, clock.now())
    tally._since -= LATE_S
    tally.flush()
    assert tally._counts
    assert not tally.behind


def test_nothing_is_counted_while_the_record_is_behind(tally, written):
    tally.learn(1, USE, READ)
    written.refuses = True
    assert tally.repeats(1, USE, READ, clock.now())
    with contextlib.suppress(DatabaseError):
        tally.flush()
    assert not tally.repeats(1, USE, READ, clock.now())
    written.refuses = False
    tally.flush()
    assert tally.repeats(1, USE, READ, clock.now())
