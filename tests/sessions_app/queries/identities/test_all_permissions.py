"""Who could do what at which time, who gained or lost it, and what a draft would change."""

import datetime as dt

from accounts.models import Identity
from accounts.operations.create_identity import create_identity
from broker.audit.actor import Actor
from sessions_app.models import AccessPolicy, requestable
from sessions_app.operations.identities.disable_identity import disable_identity, enable_identity
from sessions_app.policy.permissions import changes, entries_of, permissions_of
from sessions_app.policy.policies import PolicyDocument
from sessions_app.queries.identities.all_permissions import (
    Scope,
    changes_between,
    effect_of,
    entries_at,
    permissions_at,
    scope_of,
    snapshot_at,
)
from tests.support.world import acts

HOUR = dt.timedelta(hours=1)
NEEDED = "1 approval from approvers, up to 4 h"


def permissions(moment, name: str, permission: str) -> set[str]:
    return {
        one.identity for one in permissions_at(moment) if (one.name, one.permission) == (name, permission)
    }


def told(found) -> set[tuple]:
    """The changes without what they need."""
    return {(one.kind, one.permission, one.identities, one.clusters, one.command_sets) for one in found}


def draft(world, **changed) -> PolicyDocument:
    stored = AccessPolicy.objects.get(name="web-work").document
    return PolicyDocument.model_validate({**stored, **changed})


def test_permissions_of_any_moment_of_the_past_are_told_by_group_and_by_name(world):
    before = permissions_at(world.now)
    assert permissions(world.now, "web-work", "request") >= {"alice"}
    assert permissions(world.now, "web-work", "approve") >= {"bob", "dora"}
    world.apply(acts.policy(world, requesters={"identities": ["charlie"]}), now=world.now + HOUR)
    assert permissions(world.now + HOUR, "web-work", "request") == {"charlie"}
    assert permissions_at(world.now) == before


def test_who_was_taken_out_of_a_group_had_its_permissions_until_then(world):
    (group,) = {
        one.group
        for one in permissions_at(world.now)
        if (one.name, one.permission, one.identity) == ("web-work", "approve", "bob")
    }
    world.apply({f"groups/{group}.yaml": f"name: {group}\nmembers: [dora]\n"}, now=world.now + HOUR)
    assert "bob" in permissions(world.now + HOUR - dt.timedelta(seconds=1), "web-work", "approve")
    assert "bob" not in permissions(world.now + HOUR, "web-work", "approve")


def test_who_was_disabled_had_no_permission_until_they_were_enabled_again(world):
    disable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now + HOUR)
    enable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now + 2 * HOUR)
    asked = [permissions(world.now + hours * HOUR, "web-work", "request") for hours in (0, 1, 2)]
    assert ["alice" in one for one in asked] == [True, False, True]


def test_a_machine_had_no_permission_while_its_owner_was_disabled(world):
    world.apply(acts.policy(world, requesters={"identities": ["robot"]}), now=world.now + HOUR)
    disable_identity(identity_id=world.robot.owner_id, actor=world.admin, now=world.now + 2 * HOUR)
    enable_identity(identity_id=world.robot.owner_id, actor=world.admin, now=world.now + 3 * HOUR)
    asked = [permissions(world.now + hours * HOUR, "web-work", "request") for hours in (1, 2, 3)]
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
    assert "zoe" in permissions(at, "", "administer")
    assert "zoe" not in permissions(world.now, "", "administer")


def test_who_may_request_what_is_what_requests_are_checked_against(world):
    world.apply(
        acts.policy(world, requesters={"identities": ["charlie"]})
        | {"clusters/web.yaml": world.catalog["clusters/web.yaml"] + "requesters: {identities: [dora]}\n"}
    )
    computed = {
        (entry.identity, entry.permission.policy, entry.cluster)
        for entry in entries_at(world.now, Scope())
        if entry.permission.permission == "request"
    }
    names = requestable_names()
    assert computed == names
    assert {identity for identity, *_ in names} == {"charlie", "dora"}


def requestable_names() -> set[tuple[str, str, str]]:
    return {
        (identity.username, *row)
        for identity in Identity.objects.active()
        for row in requestable(identity).values_list("accesspolicy__name", "cluster__name")
    }


def test_each_way_to_run_a_command_says_what_it_needs(world):
    world.apply(acts.policy(world, delegation={"to": {"identities": ["robot"]}}))
    found = {
        (one.permission, one.group, one.needs)
        for one in permissions_at(world.now)
        if one.identity in ("alice", "robot") and one.policy and one.group != "operators"
    }
    assert found == {
        ("break_glass", "on-call", "no approval, up to 1 h, reviewed within 1 d"),
        ("incident", "on-call", "no approval while an incident is open, up to 2 h"),
        ("delegation", "", "a holder's delegation"),
    }


def test_who_gained_and_who_lost_what_between_two_times(world):
    later = world.now + HOUR
    world.apply(acts.policy(world, requesters={"identities": ["charlie"]}), now=later)
    found = changes_between(world.now, later, Scope())
    where = ("web",), ("restart-web",)
    assert told(found) == {
        ("gained", "request", ("charlie",), *where),
        ("lost", "request", ("alice", "deployer", "robot"), *where),
        ("lost", "break_glass", ("alice",), *where),
        ("lost", "incident", ("alice",), *where),
    }
    assert changes_between(later, later, Scope()) == []


def test_the_effect_of_a_draft_is_the_change_that_it_makes(world):
    changed = {"requesters": {"groups": ["operators"], "identities": ["charlie"]}, "max_duration": "2h"}
    foretold = effect_of(draft(world, **changed), "web-work", world.now)
    world.apply(acts.policy(world, **changed), now=world.now + HOUR)
    assert foretold == changes_between(world.now, world.now + HOUR, Scope())
    assert [(one.kind, one.identities, one.before) for one in foretold] == [
        ("gained", ("charlie",), ()),
        ("changed", ("alice", "deployer", "robot"), (NEEDED,)),
    ]
    assert foretold[0].after == ("1 approval from approvers, up to 2 h",)


def test_a_permission_that_another_policy_still_gives_is_not_lost(world):
    second = acts.policy(world, name="second")["policies/web-work.yaml"]
    world.apply({**world.catalog, "policies/second.yaml": second})
    assert effect_of(None, "web-work", world.now) == []
    world.apply({**world.catalog, "policies/second.yaml": second, **acts.policy(world, approvals="none")})
    assert {(one.kind, one.before, one.after) for one in effect_of(None, "web-work", world.now)} == {
        ("changed", (NEEDED, "no approval, up to 4 h"), (NEEDED,))
    }


def test_a_command_set_counts_from_its_publication_and_on_clusters_of_its_kind(world):
    snapshot = snapshot_at(world.now)
    assert snapshot.command_sets == {"restart-web": ("ssh", 1)}
    assert snapshot_at(world.now - HOUR).command_sets == {}
    other = {"web": {**snapshot.clusters["web"], "commands": "http"}}
    permissions = permissions_of(snapshot)
    there = type(snapshot)(snapshot.policies, other, snapshot.command_sets)
    assert {entry.command_set for entry in entries_of(permissions, snapshot)} == {"restart-web"}
    assert {entry.command_set for entry in entries_of(permissions, there)} == set()


def test_readers_see_what_they_oversee_and_administrators_everything(world):
    everything = entries_at(world.now, scope_of(world.admin))
    assert entries_at(world.now, scope_of(world.bob)) == everything
    assert not entries_at(world.now, scope_of(world.charlie))
    assert changes([], everything)
