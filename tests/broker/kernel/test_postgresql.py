"""A server that only reads is away."""

import pytest
from django.db import OperationalError, connection
from django.db.backends.postgresql import base

from broker.kernel.outage_log import is_outage
from broker.kernel.postgresql import base as backend
from broker.kernel.postgresql.base import DatabaseWrapper


@pytest.fixture
def other(live_world):
    """A connection of its own, which a setting of its session makes one to a server that only reads."""
    made = DatabaseWrapper(connection.settings_dict, "default")
    yield made
    made.close()


def write(wrapper) -> None:
    with wrapper.cursor() as cursor:
        cursor.execute("UPDATE sessions_app_sweeper SET seen_at = seen_at")


def test_what_a_server_that_only_reads_refuses_is_an_outage_and_its_connection_is_dropped(other):
    write(other)
    with other.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    with pytest.raises(OperationalError) as refused:
        write(other)
    assert is_outage(refused.value)
    other.close_if_unusable_or_obsolete()
    assert other.connection is None
    write(other)


class Asked:
    """Notes how often the server is asked whether it responds."""

    def __init__(self, monkeypatch):
        self.times, usual = 0, base.DatabaseWrapper.is_usable

        def is_usable(wrapper):
            self.times += 1
            return usual(wrapper)

        monkeypatch.setattr(base.DatabaseWrapper, "is_usable", is_usable)


def test_a_server_that_just_responded_is_not_asked_again_but_a_closed_connection_is_noticed(
    other, monkeypatch
):
    asked = Asked(monkeypatch)
    write(other)
    assert other.is_usable()
    assert other.is_usable()
    assert asked.times == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [other.connection.info.backend_pid])
    assert not other.is_usable()


def test_a_server_is_asked_after_an_error_and_after_a_moment(other, monkeypatch):
    asked = Asked(monkeypatch)
    write(other)
    assert other.is_usable()
    other.errors_occurred = True
    assert other.is_usable()
    other.errors_occurred = False
    monkeypatch.setattr(backend, "_MOMENT_S", 0.0)
    assert other.is_usable()
    assert asked.times == 3
