"""Saving one document from a page: the rules, entries and ends of a whole folder."""

import json

import pytest
import yaml
from guardian.shortcuts import assign_perm

from sessions_app.models import AccessPolicy, Cluster
from sessions_app.operations.catalog.document_state import state_of
from sessions_app.operations.catalog.save_document import ChangedMeanwhile, save_document
from sessions_app.operations.catalog.save_draft import CannotBeRead, OnlyAdministratorsSetUp
from tests.support.world.acts import change, intact, last
from tests.support.world.acts import policy as policy_file
from tests.support.world.proposals import WIDER, delegate


def save(world, source, who=None, *, kind="policies", **more):
    text = source if isinstance(source, str) else json.dumps(source)
    return save_document(kind=kind, source=text, actor=who or world.admin, now=world.now, **more)


def policy(world, **changes) -> str:
    return policy_file(world, **changes)["policies/web-work.yaml"]


def cluster(world, **changes) -> dict:
    return {**yaml.safe_load(world.catalog["clusters/web.yaml"]), **changes}


def test_a_policy_is_saved_as_files_would_make_it(world):
    source = policy(world, max_duration="2h")
    plan = save(world, source)
    assert [(one.action, one.type, one.name) for one in plan.changes] == [("change", "policy", "web-work")]
    row = AccessPolicy.objects.get(name="web-work")
    assert (row.version, row.source, row.document["max_duration"]) == (2, source, "2h")
    assert last("policy.changed", "web-work").actor == "admin"
    assert world.apply(policy_file(world, max_duration="2h")).changes == []
    assert intact()


@pytest.mark.parametrize("kind", ["clusters", "policies", "groups"])
def test_what_somebody_else_changed_meanwhile_is_not_overwritten(world, kind):
    name = {"clusters": "web", "policies": "web-work", "groups": "operators"}[kind]
    mine = {
        "clusters": cluster(world, summary="Mine"),
        "policies": policy(world, max_duration="2h"),
        "groups": {"name": name, "members": ["alice"]},
    }[kind]
    seen = state_of(kind, name)
    change(
        world,
        {
            "clusters/web.yaml": yaml.safe_dump(cluster(world, summary="Theirs")),
            **policy_file(world, max_duration="3h"),
            "groups/operators.yaml": "name: operators\nmembers: [alice, charlie]\n",
        },
    )
    with pytest.raises(ChangedMeanwhile):
        save(world, mine, kind=kind, based_on=seen)
    assert save(world, mine, kind=kind, based_on=state_of(kind, name)).changes


def test_faults_are_told_with_their_lines(world):
    with pytest.raises(CannotBeRead) as refusal:
        save(world, policy(world).replace("max_duration: 4h", "max_duration: soon"))
    (problem,) = refusal.value.problems
    assert policy(world).splitlines()[problem.line - 1].startswith("max_duration")


def test_a_name_that_means_nothing_is_told_at_its_line(world):
    source = policy(world, clusters=["web", "dbb"], requesters={"identities": ["zed"]})
    with pytest.raises(CannotBeRead) as refusal:
        save(world, source)
    said = {problem.message: source.splitlines()[problem.line - 1] for problem in refusal.value.problems}
    assert said == {"unknown cluster dbb": "- dbb", "unknown identity zed": "  - zed"}


def test_a_page_of_one_thing_does_not_write_another(world):
    with pytest.raises(CannotBeRead, match="must remain web-work"):
        save(world, policy(world, name="other"), name="web-work")


@pytest.mark.parametrize("who", ["alice", "bob", "charlie", "robot"])
@pytest.mark.parametrize("kind", ["clusters", "policies", "groups"])
def test_nobody_saves_what_they_do_not_administer(world, who, kind):
    documents = {
        "clusters": cluster(world),
        "policies": policy(world, max_duration="1h"),
        "groups": {"name": "operators", "members": [who]},
    }
    with pytest.raises(OnlyAdministratorsSetUp):
        save(world, documents[kind], getattr(world, who), kind=kind)


def test_who_administers_a_cluster_may_change_it_and_make_no_other(world):
    mine = {"administrators": {"identities": ["dora"]}}
    save(world, cluster(world, **mine), kind="clusters")
    assert save(world, cluster(world, summary="New", **mine), world.dora, kind="clusters").changes
    with pytest.raises(OnlyAdministratorsSetUp, match="who administers"):
        save(world, cluster(world, summary="New"), world.dora, kind="clusters")
    with pytest.raises(OnlyAdministratorsSetUp):
        save(world, cluster(world, name="db"), world.dora, kind="clusters")


def test_a_machine_never_sets_up_even_when_it_has_the_permission(world):
    assign_perm("administer_cluster", world.robot, Cluster.objects.get(name="web"))
    with pytest.raises(OnlyAdministratorsSetUp):
        save(world, cluster(world, summary="New"), world.robot, kind="clusters")


def test_who_administers_a_policy_brings_nothing_of_others_under_it(world):
    change(world, policy_file(world, administrators={"identities": ["dora"]}))
    save(world, cluster(world, name="db"), kind="clusters")
    mine = {"administrators": {"identities": ["dora"]}}
    assert save(world, policy(world, max_duration="1h", **mine), world.dora).changes
    with pytest.raises(OnlyAdministratorsSetUp, match="administer: db"):
        save(world, policy(world, clusters=["web", "db"], **mine), world.dora)
    with pytest.raises(OnlyAdministratorsSetUp, match="who administers"):
        save(world, policy(world, administrators={"identities": ["dora", "bob"]}), world.dora)
    assign_perm("administer_cluster", world.dora, Cluster.objects.get(name="db"))
    assert save(world, policy(world, clusters=["web", "db"], **mine), world.dora).proposal


@pytest.mark.parametrize("kind", WIDER)
def test_what_may_widen_a_document_changes_nothing_and_is_proposed(world, kind):
    delegate(world)
    name = WIDER[kind].name
    before = state_of(kind, name)
    shown = save(world, WIDER[kind].source(world), world.dora, kind=kind, plan_only=True)
    assert (shown.wider, shown.proposal, len(shown.changes)) == (WIDER[kind].wider, None, 1)
    plan = save(world, WIDER[kind].source(world), world.dora, kind=kind)
    assert (plan.changes, plan.proposal.wider, state_of(kind, name)) == ([], WIDER[kind].wider, before)
    assert intact()
    assert save(world, WIDER[kind].source(world), kind=kind).changes
