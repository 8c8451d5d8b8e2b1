"""A server that only reads is away."""

import pytest
from django.db import OperationalError, connection

from broker.kernel.outage_log import is_outage
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
