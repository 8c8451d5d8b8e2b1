"""One change of the catalog, as it happens or is only planned."""

import pytest
from django.contrib.auth.models import Group

from broker.audit.models import AuditEntry
from sessions_app.models import DocumentVersion
from sessions_app.operations.catalog.catalog_plan import MOST_TOLD, Change, MoreWouldEnd, note, one_change
from sessions_app.policy.digests import digest_of
from tests.support.world.acts import Started, last, wait_for_waiters
from tests.support.world.world import SETUP


def make(name: str, plan, ends=()) -> None:
    Group.objects.create(name=name)
    note(plan, "create", "group", name, None, {"members": []}, ends)


def names() -> set[str]:
    return set(Group.objects.filter(name__startswith="new").values_list("name", flat=True))


def test_what_is_done_inside_stays_with_one_entry_for_the_whole(world):
    with one_change(actor=SETUP, now=world.now) as plan:
        make("new-1", plan)
        make("new-2", plan)
    assert names() == {"new-1", "new-2"}
    entry = last("catalog.applied")
    changes = ["create group new-1", "create group new-2"]
    digest = digest_of({"members": []})
    assert entry.data == {
        "count": 2,
        "changes": changes,
        "versions": [f"1 {digest}"] * 2,
        "digest": digest_of([["group", change.split()[-1], 1, digest] for change in changes]),
    }


def test_of_very_many_the_entry_names_the_first_and_its_digest_is_over_all(world):
    with one_change(actor=SETUP, now=world.now) as plan:
        plan.changes.extend(Change("create", "group", f"new-{n}") for n in range(MOST_TOLD + 1))
    data = last("catalog.applied").data
    assert (data["count"], len(data["changes"])) == (MOST_TOLD + 1, MOST_TOLD)
    kept = DocumentVersion.objects.filter(name__startswith="new-").order_by("pk")
    assert data["digest"] == digest_of(
        [list(row) for row in kept.values_list("type", "name", "number", "digest")]
    )


def test_a_plan_leaves_nothing_behind(world):
    before = AuditEntry.objects.count()
    with one_change(actor=SETUP, now=world.now, plan_only=True) as plan:
        make("new", plan, ["GR-1"])
        assert names() == {"new"}
    assert (names(), AuditEntry.objects.count(), plan.ends) == (set(), before, ("GR-1",))


def test_when_more_would_end_than_was_said_nothing_is_changed(world):
    def change(told):
        with one_change(actor=SETUP, now=world.now, told=told) as plan:
            make("new", plan, ["GR-1", "GR-2"])

    before = AuditEntry.objects.count()
    with pytest.raises(MoreWouldEnd, match="GR-2 would also end"):
        change(["GR-1"])
    assert (names(), AuditEntry.objects.count()) == (set(), before)
    change(["GR-1", "GR-2", "GR-3"])
    assert names() == {"new"}


def changed(world) -> str:
    with one_change(actor=SETUP, now=world.now) as plan:
        make("new-2", plan)
    return "done"


def test_one_change_waits_for_another_and_a_plan_for_none(live_world, owner_connection):
    world = live_world
    with one_change(actor=SETUP, now=world.now) as plan:
        make("new-1", plan)
        waiting = Started(lambda: changed(world))
        wait_for_waiters(owner_connection, 1)
        assert Started(lambda: planned(world)).result() == set()
    assert waiting.result() == "done"
    assert names() == {"new-1", "new-2"}


def planned(world) -> set[str]:
    with one_change(actor=SETUP, now=world.now, plan_only=True):
        return names()


def test_what_may_have_to_end_is_locked_before_anything_is_written(live_world, owner_connection):
    world = live_world
    mine, other = world.grant(), world.grant(who=world.robot)
    free = "SELECT id FROM sessions_app_grant FOR UPDATE SKIP LOCKED"
    with one_change(actor=SETUP, now=world.now, holder=world.alice):
        assert owner_connection.execute(free).fetchall() == [(other.pk,)]
    with one_change(actor=SETUP, now=world.now, plan_only=True):
        assert {pk for (pk,) in owner_connection.execute(free).fetchall()} == {mine.pk, other.pk}
