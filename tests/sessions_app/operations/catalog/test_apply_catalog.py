"""Making the catalog what the files say."""

import pytest
import yaml
from django.contrib.auth.models import Group

from accounts.models import Identity
from broker.audit.models import AuditEntry
from broker.kernel.errors import InvalidInput
from sessions_app.models import (
    AccessPolicy,
    Cluster,
    ClusterGroupObjectPermission,
    CommandSet,
    CommandSetVersion,
    Grant,
    GrantState,
    Target,
)
from sessions_app.operations.catalog.apply_catalog import apply_catalog
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.requests.extend_grant import extend_grant
from sessions_app.operations.requests.request_access import request_access
from tests.support.world.acts import (
    Started,
    at_once,
    change,
    enter,
    fresh,
    intact,
    policy,
    run,
    wait_for_waiters,
)
from tests.support.world.world import SETUP

SET = "command-sets/restart-web.yaml"


def without(world, *paths: str):
    files = {path: text for path, text in world.catalog.items() if path not in paths}
    return apply_catalog(files=files, actor=SETUP, now=world.now, prune=True)


def snapshot():
    return (
        [
            sorted(model.objects.values_list())
            for model in (Cluster, Target, CommandSet, ClusterGroupObjectPermission)
        ],
        sorted(AccessPolicy.objects.values_list("name", "version", "digest", "removed_at")),
        CommandSetVersion.objects.count(),
        AuditEntry.objects.count(),
    )


def test_applied_again_it_changes_nothing(world):
    before = snapshot()
    plan = world.apply()
    assert (plan.changes, plan.unused) == ([], [])
    assert snapshot() == before


def test_one_wrong_file_and_nothing_is_changed(world):
    before = snapshot()
    files = {**policy(world, max_duration="1h"), "clusters/web.yaml": "name: web\nkind: telnet\n"}
    with pytest.raises(InvalidInput) as refusal:
        world.apply(files)
    assert any("clusters/web.yaml" in place for place in refusal.value.fields)
    assert snapshot() == before


def test_a_command_set_that_is_not_fit_stops_everything(world):
    before = snapshot()
    bad = world.catalog[SET].replace("echo restart {unit}", "bash -c {unit}")
    with pytest.raises(InvalidInput, match="can't be published"):
        world.apply({SET: bad, **policy(world, max_duration="1h")})
    assert snapshot() == before


# Grants whose ground is taken away end.


@pytest.mark.parametrize(
    ("files", "note"),
    [
        ({"clusters/web.yaml": ("port: 2201", "port: 2299")}, "changed since"),
        ({"clusters/web.yaml": ("account: root, host_key", "account: app, host_key")}, "changed since"),
        ({"policies/web-work.yaml": ("groups: [operators]", "groups: [approvers]")}, "can't request"),
        ({"policies/web-work.yaml": ("max_duration: 4h", "max_duration: 30m")}, "exceeds the limit"),
        ({"policies/web-work.yaml": ("count: 1", "count: 2")}, "approvals"),
    ],
)
def test_a_change_that_takes_a_grants_ground_away_ends_it(world, files, note):
    grant = world.grant()
    changed = {path: world.catalog[path].replace(*edit, 1) for path, edit in files.items()}
    assert all(changed[path] != world.catalog[path] for path in changed)
    plan = world.apply(changed)
    assert (fresh(grant).state, grant.end_reason) == (GrantState.REVOKING, "policy_changed")
    assert note in grant.end_note
    assert grant.ref in plan.changes[0].ends


@pytest.mark.parametrize(
    "files",
    [
        {"clusters/web.yaml": ("summary: Two web servers", "summary: Web servers")},
        {"policies/web-work.yaml": ("summary: Planned work", "summary: All work")},
        {"policies/web-work.yaml": ("max_duration: 4h", "max_duration: 1h")},
        {SET: ("echo stop", "echo halt")},
    ],
)
def test_a_change_that_takes_nothing_away_ends_nothing(world, files):
    grant = world.grant()
    world.apply({path: world.catalog[path].replace(*edit, 1) for path, edit in files.items()})
    assert fresh(grant).state == GrantState.ACTIVE


def test_an_extended_grant_is_not_over_the_limit_because_it_was_extended(world):
    change(world, policy(world, max_duration="1h"))
    grant = world.grant()
    extend_grant(grant_id=grant.pk, requester=world.alice, seconds=3600, now=world.now)
    change(world, policy(world, summary="Other words"))
    assert fresh(grant).state == GrantState.ACTIVE


def test_without_prune_what_stands_in_no_file_stays_and_is_told(world):
    files = {path: text for path, text in world.catalog.items() if path != "clusters/web.yaml"}
    plan = apply_catalog(files=files, actor=SETUP, now=world.now)
    assert plan.unused == ["cluster web"]
    assert Cluster.objects.live().exists()


def test_what_comes_back_is_the_same_again_and_revives_no_grant(world):
    grant = world.grant()
    without(world, "clusters/web.yaml", "policies/web-work.yaml", SET)
    world.apply()
    assert Cluster.objects.live().get().name == "web"
    assert fresh(grant).state == GrantState.REVOKING
    assert world.request().state == "pending"


def test_a_cluster_gives_each_permission_to_people_and_groups(world):
    data = yaml.safe_load(world.catalog["clusters/web.yaml"])
    parts = {
        "requesters": {"identities": ["charlie"]},
        "approvers": {"groups": ["approvers"]},
        "viewers": {"groups": ["on-call"], "identities": ["dora"]},
        "administrators": {"identities": ["dora"]},
    }
    world.apply({"clusters/web.yaml": yaml.safe_dump({**data, **parts})})
    held_by = Cluster.objects.held_by
    assert held_by(world.charlie, "request").exists()
    assert held_by(world.bob, "approve").exists()
    assert held_by(world.alice, "view").exists()
    assert held_by(world.dora, "administer").exists()
    assert not held_by(world.charlie, "view", "approve", "administer").exists()
    assert world.apply({"clusters/web.yaml": yaml.safe_dump({**data, **parts})}).changes == []
    world.apply()
    assert not held_by(world.dora, "view", "administer").exists()


def test_a_policy_row_that_can_not_be_read_is_mended_by_its_file(world):
    grant = world.grant()
    AccessPolicy.objects.update(document={}, digest="broken")
    world.apply()
    assert AccessPolicy.objects.get().document["name"] == "web-work"
    assert fresh(grant).state == GrantState.ACTIVE


def test_a_grant_that_can_not_be_judged_does_not_stop_a_change_and_ends(world):
    fine, bad = world.grant(), world.grant()
    other = policy(world, name="other")["policies/web-work.yaml"]
    change(world, {"policies/other.yaml": other})
    Grant.objects.filter(pk=bad.pk)
    request = request_access(requester=world.alice, ask=world.ask(policy="other"), now=world.now)
    world.decide(request)
    odd = provision_grant(grant_id=Grant.objects.get(request=request).pk, now=world.now)
    AccessPolicy.objects.filter(name="other").update(document={})
    change(world, {"clusters/web.yaml": world.catalog["clusters/web.yaml"].replace("Two web", "Some web")})
    for grant, state in ((fine, "active"), (odd, "revoking")):
        assert fresh(grant).state == state


def test_people_who_type_meanwhile_do_not_hold_it_up(live_world, owner_connection):
    world = live_world
    grants = [world.grant(), world.grant()]
    used, opened = enter(grants[1], now=world.now)
    files = {
        **policy(world, max_duration="30m"),
        "groups/on-call.yaml": "name: on-call\nmembers: [alice, dora]\n",
    }
    with owner_connection.transaction():
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        applied = Started(lambda: world.apply(files))
        wait_for_waiters(owner_connection, 1)
        typed = Started(lambda: run(used, opened, now=world.now))
        wait_for_waiters(owner_connection, 2)
    assert not isinstance(applied.result(), Exception), applied.result()
    assert isinstance(typed.result(), GrantIsOver) or typed.result().verdict == "allowed"
    assert set(Grant.objects.values_list("state", flat=True)) == {"revoking"}


def test_applied_by_two_at_once_it_is_applied_twice_in_some_order(live_world):
    world = live_world
    files = [policy(world, max_duration="1h"), policy(world, max_duration="2h")]
    files[0]["groups/on-call.yaml"] = "name: on-call\nmembers: [bob]\n"
    files[1]["groups/on-call.yaml"] = "name: on-call\nmembers: [dora]\n"
    results = at_once(lambda: world.apply(files[0]), lambda: world.apply(files[1]))
    assert not [result for result in results if isinstance(result, Exception)], results
    assert AccessPolicy.objects.get().version == 3
    assert Identity.objects.filter(groups__name="on-call").count() == 1
    assert intact()


def test_a_group_in_no_file_is_told_and_goes_with_prune_and_so_does_what_rested_on_it(world):
    grant = world.grant()
    files = {name: text for name, text in world.catalog.items() if "operators" not in name}
    plan = apply_catalog(files=files, actor=SETUP, now=world.now)
    assert plan.unused == ["group operators"]
    files["policies/web-work.yaml"] = files["policies/web-work.yaml"].replace("[operators]", "[on-call]")
    plan = apply_catalog(files=files, actor=SETUP, now=world.now, prune=True)
    assert [(change.action, change.type, change.name) for change in plan.changes] == [
        ("change", "policy", "web-work"),
        ("remove", "group", "operators"),
    ]
    assert not Group.objects.filter(name="operators").exists()
    again = apply_catalog(files=files, actor=SETUP, now=world.now, prune=True)
    assert (again.changes, again.unused) == ([], [])
    assert fresh(grant).state == GrantState.ACTIVE  # Alice is on call, so that the policy still lets her ask.
