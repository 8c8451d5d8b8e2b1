"""What an administrator changed, and who had which rights at that time."""

import datetime as dt

import pytest
from django.db import connection, transaction
from django.db.utils import IntegrityError

from accounts.operations.create_identity import create_identity
from broker.audit.actor import Actor
from broker.kernel.errors import NotFound
from sessions_app.operations.catalog.remove_document import remove_document
from sessions_app.operations.identities.disable_identity import disable_identity, enable_identity
from sessions_app.queries.catalog.history import difference, rights_at, versions_of
from tests.support.world import acts

HOUR = dt.timedelta(hours=1)


def rights(moment, name: str, right: str) -> set[str]:
    return {one.identity for one in rights_at(moment) if (one.name, one.right) == (name, right)}


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
    assert rights(world.now + HOUR, "web-work", "request") == set()
    assert "alice" in rights(world.now, "web-work", "request")


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


def test_rights_of_any_moment_of_the_past_are_told_by_group_and_by_name(world):
    before = rights_at(world.now)
    assert rights(world.now, "web-work", "request") >= {"alice"}
    assert rights(world.now, "web-work", "approve") >= {"bob", "dora"}
    world.apply(acts.policy(world, requesters={"identities": ["charlie"]}), now=world.now + HOUR)
    assert rights(world.now + HOUR, "web-work", "request") == {"charlie"}
    assert rights_at(world.now) == before


def test_who_was_taken_out_of_a_group_had_its_rights_until_then(world):
    (group,) = {
        one.group
        for one in rights_at(world.now)
        if (one.name, one.right, one.identity) == ("web-work", "approve", "bob")
    }
    world.apply({f"groups/{group}.yaml": f"name: {group}\nmembers: [dora]\n"}, now=world.now + HOUR)
    assert "bob" in rights(world.now + HOUR - dt.timedelta(seconds=1), "web-work", "approve")
    assert "bob" not in rights(world.now + HOUR, "web-work", "approve")


def test_who_was_disabled_had_no_right_until_they_were_enabled_again(world):
    disable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now + HOUR)
    enable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now + 2 * HOUR)
    asked = [rights(world.now + hours * HOUR, "web-work", "request") for hours in (0, 1, 2)]
    assert ["alice" in one for one in asked] == [True, False, True]


def test_a_machine_had_no_right_while_its_owner_was_disabled(world):
    world.apply(acts.policy(world, requesters={"identities": ["robot"]}), now=world.now + HOUR)
    disable_identity(identity_id=world.robot.owner_id, actor=world.admin, now=world.now + 2 * HOUR)
    enable_identity(identity_id=world.robot.owner_id, actor=world.admin, now=world.now + 3 * HOUR)
    asked = [rights(world.now + hours * HOUR, "web-work", "request") for hours in (1, 2, 3)]
    assert asked == [{"robot"}, set(), {"robot"}]


def test_administrators_are_told_with_the_moment_from_which_they_were(world):
    at = world.now + HOUR
    create_identity(
        username="zoe",
        name="Zoe",
        email="zoe@example.com",
        is_superuser=True,
        actor=Actor.system("test"),
        now=at,
    )
    assert "zoe" in rights(at, "", "administer")
    assert "zoe" not in rights(world.now, "", "administer")
