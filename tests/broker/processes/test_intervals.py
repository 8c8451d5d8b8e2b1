"""The worker's scheduler sends each task at its interval."""

import datetime as dt

import pytest

from broker.celery import app
from broker.processes import worker


@pytest.fixture
def sent(monkeypatch):
    """A scheduler with a clock that tests move, and the names of the entries that it sent."""
    moment, names = [100.0], []
    monkeypatch.setattr(worker.time, "monotonic", lambda: moment[0])
    scheduler = worker.Intervals(app=app, lazy=True)
    scheduler.producer = None
    scheduler.setup_schedule()
    scheduler.apply_entry = lambda entry, producer: names.append(entry.name)

    def pass_(seconds):
        names.clear()
        moment[0] += seconds
        while (left := scheduler.tick()) == 0:
            pass
        return sorted(names), left

    return pass_


def test_everything_is_sent_at_the_start_and_then_at_its_interval(sent):
    every = {name: dt.timedelta(seconds=entry["schedule"]) for name, entry in app.conf.beat_schedule.items()}
    assert sent(0)[0] == sorted(every)
    assert sent(0.5) == ([], 0.5)
    assert sent(0.5)[0] == sorted(name for name, span in every.items() if span <= dt.timedelta(seconds=1))


def test_what_was_missed_while_the_machine_slept_is_sent_once(sent):
    sent(0)
    names, left = sent(86_400)
    assert names == sorted(app.conf.beat_schedule)
    assert 0 < left <= 1
