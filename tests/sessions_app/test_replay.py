"""The world that most tests begin with is put there by its rows; it is the one that its verbs make."""

import datetime as dt
import json
from typing import Any

import pytest
from django.db import connection, transaction

from broker.audit.models import AuditEntry
from broker.audit.verify import verify
from broker.kernel import clock
from tests.conftest import fresh_database
from tests.support.world import replay
from tests.support.world.replay import world_again
from tests.support.world.world import make_world

# What differs from one world to the next: the database's clock, and the passwords of machines, which nobody
# has.
_ITS_OWN = {"created_at", "password", "person"}


def undone(make: Any) -> dict[str, list[Any]]:
    """What a world consists of, without ids; it is gone again afterwards."""
    with transaction.atomic():
        make()
        found: dict[str, list[Any]] = {
            "record": list(
                AuditEntry.objects.order_by("seq").values_list("at", "event", "actor", "object_ref")
            )
        }
        assert verify(connection=connection).ok
        for table in replay._TABLES:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT to_jsonb(t) - 'id' FROM {table} t")
                rows = [json.loads(row) for (row,) in cursor.fetchall()]
            found[table] = sorted(
                sorted(
                    (name, str(value))
                    for name, value in row.items()
                    if not name.endswith("_id") and name not in _ITS_OWN
                )
                for row in rows
            )
        transaction.set_rollback(True)
    return found


@pytest.fixture
def later(now) -> dt.datetime:
    return now + dt.timedelta(hours=1)


def test_the_world_by_its_rows_is_the_one_by_its_verbs(db, now, later):
    undone(lambda: world_again(now))
    assert undone(lambda: world_again(later)) == undone(lambda: make_world(later))


def test_a_world_in_a_database_of_its_own_can_be_added_to(django_db_setup, django_db_blocker):
    # The first may be made by its verbs.
    for _ in range(2):
        with fresh_database(django_db_blocker):
            world = world_again(clock.now(), fresh=True)
            more = world.catalog["clusters/web.yaml"].replace("name: web\n", "name: more\n")
            changes = world.apply({"clusters/more.yaml": more}).changes
            assert [change.name for change in changes] == ["more"]
            assert world.grant().state == "active"
