"""What an administrator changed."""

import datetime as dt

import pytest
from django.db import connection, transaction
from django.db.utils import IntegrityError

from broker.kernel.errors import NotFound
from sessions_app.operations.catalog.remove_document import remove_document
from sessions_app.queries.catalog.history import difference, versions_of
from sessions_app.queries.identities.all_permissions import permissions_at
from tests.support.world import acts

HOUR = dt.timedelta(hours=1)


def test_what_a_policy_said_before_and_after_a_change_is_kept_with_who_and_when(world):
    later = world.now + HOUR
    world.apply(acts.policy(world, max_duration="2h"), now=later)
    new, old = versions_of("policy", "web-work", world.admin)
    assert (old.number, new.number, new.at) == (1, 2, later)
    changed = [line for line in difference(old, new) if line.startswith(("-max", "+max"))]
    assert changed[1] == "+max_duration: 2h"
    assert len(changed) == 2
    assert [line for line in difference(None, old) if line == "+name: web-work"]


def test_what_is_removed_stays_readable(world):
    remove_document(kind="policies", name="web-work", actor=world.admin, now=world.now + HOUR)
    gone, stood = versions_of("policy", "web-work", world.admin)
    assert gone.document is None
    assert stood.document["name"] == "web-work"
    assert "web-work" not in {one.policy for one in permissions_at(world.now + HOUR)}
    assert "web-work" in {one.policy for one in permissions_at(world.now)}


@pytest.mark.parametrize(
    "change",
    ["UPDATE sessions_app_documentversion SET document = '{}'", "DELETE FROM sessions_app_documentversion"],
)
def test_the_database_refuses_to_change_the_past(world, change):
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)


def test_history_is_for_those_who_answer_for_a_thing(world):
    assert versions_of("policy", "web-work", world.bob)
    for type_, name, reader in (
        ("policy", "web-work", world.alice),
        ("policy", "web-work", world.charlie),
        ("group", "operators", world.bob),
        ("policy", "no-such", world.admin),
        ("nonsense", "web-work", world.admin),
    ):
        with pytest.raises(NotFound):
            versions_of(type_, name, reader)
