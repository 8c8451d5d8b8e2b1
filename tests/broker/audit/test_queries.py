"""Entries are found by what they were done to, by whom, what and when."""

import datetime as dt

import pytest

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.queries import entries, last_number
from broker.audit.record import record

T0 = dt.datetime(2031, 1, 1, 9, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
ALICE = Actor(name="alice-q", id=7, kind="person")
BOB = Actor(name="bob-q", id=8, kind="person")


@pytest.fixture
def story(db):
    steps = [
        (Event.REQUEST_CREATED, ALICE, "request", "REQ-Q1"),
        (Event.REQUEST_APPROVED, BOB, "request", "REQ-Q1"),
        (Event.GRANT_SCHEDULED, BOB, "grant", "GR-Q1"),
        (Event.GRANT_ENDED, ALICE, "grant", "GR-Q1"),
    ]
    before = last_number()
    for place, (event, actor, kind, ref) in enumerate(steps):
        record(event=event, actor=actor, object_type=kind, object_ref=ref, data={}, now=T0 + MINUTE * place)
    return [before + 1 + place for place in range(len(steps))]


def seqs(**filters: object) -> list[int]:
    return list(entries(**filters).values_list("seq", flat=True))  # type: ignore[arg-type]


def test_the_latest_entry_comes_first(story):
    assert seqs()[:4] == story[::-1]


def test_each_filter_finds_its_entries(story):
    assert seqs(object_ref="GR-Q1") == [story[3], story[2]]
    assert seqs(actor="alice-q") == [story[3], story[0]]
    assert seqs(event="grant", since=T0) == [story[3], story[2]]
    assert seqs(event="grant.ended", since=T0) == [story[3]]
    assert seqs(event="gran", since=T0) == []
    assert seqs(event="grant.end", since=T0) == []
    assert seqs(since=T0 + MINUTE, until=T0 + 3 * MINUTE) == [story[2], story[1]]
    assert seqs(seq=story[1]) == [story[1]]
    assert seqs(actor="alice-q", object_ref="REQ-Q1") == [story[0]]
    assert seqs(log="other") == []
