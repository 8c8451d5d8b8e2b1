"""What somebody may ask for: a policy on a cluster, by the right to ask on the policy or on exactly that
cluster.
"""

import itertools
from typing import Any

import pytest
import yaml

from accounts.models import Identity
from accounts.operations.create_identity import create_identity
from sessions_app.models import AccessPolicy, Cluster, Grant, requestable
from sessions_app.models.visibility import hold_still, may_request_under
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.requests.check_request import NotRequestable, check_request
from sessions_app.queries.identities.permissions import who_may
from sessions_app.queries.requests.offers import offers
from sessions_app.queries.requests.past_requests import past_requests
from sessions_app.web.grants.askable import askable_sets
from sessions_app.web.identities.who_can_page import who_can
from sessions_app.web.layout.reader import standing_of
from sessions_app.web.requests import terms
from tests.support.world.acts import policy
from tests.support.world.world import CATALOG, SETUP


@pytest.fixture
def shared(world):
    """A policy over `web` and `prod` that asks for no approval. Charlie and a machine of his are named on
    `web` alone.
    """
    create_identity(username="helper", kind="agent", owner=world.charlie, actor=SETUP, now=world.now)
    web = yaml.safe_load(CATALOG["clusters/web.yaml"])
    prod = {**web, "name": "prod", "targets": [{**web["targets"][0], "name": "prod-1", "port": 2299}]}
    web["requesters"] = {"identities": ["charlie", "helper"]}
    open_to_all = policy(
        world,
        clusters=["web", "prod"],
        approvals="none",
        break_glass={"groups": ["responders"], "max_duration": "1h"},
        incident={"on_call": ["responders"], "max_duration": "2h"},
    )
    world.catalog.update(open_to_all)
    world.catalog["groups/responders.yaml"] = "name: responders\nmembers: [charlie, helper]\n"
    world.catalog["clusters/web.yaml"] = yaml.safe_dump(web)
    world.catalog["clusters/prod.yaml"] = yaml.safe_dump(prod)
    world.apply()
    return world


def with_prod(shared) -> None:
    """Let Charlie ask for `prod` as well, until the catalog is applied again."""
    web, prod = (yaml.safe_load(shared.catalog[f"clusters/{name}.yaml"]) for name in ("web", "prod"))
    shared.apply({"clusters/prod.yaml": yaml.safe_dump({**prod, "requesters": web["requesters"]})})


@pytest.mark.parametrize("kind", ["planned", "quick", "incident", "break_glass"])
def test_request_on_one_cluster_opens_no_other_whatever_it_is_asked_for(shared, kind):
    incident = shared.incident(shared.alice, clusters=["web", "prod"])
    named = {"workflow": incident.ref} if kind == "incident" else {}
    with pytest.raises(NotRequestable):
        shared.request(shared.charlie, cluster="prod", kind=kind, **named)
    assert shared.request(shared.charlie, cluster="web", kind=kind, **named).state == "approved"


def test_request_on_the_policy_opens_each_of_its_clusters(shared):
    for cluster in ("web", "prod"):
        assert shared.request(shared.alice, cluster=cluster).state == "approved"


def test_what_was_got_by_a_right_on_another_cluster_does_not_start(shared):
    with_prod(shared)
    grant = Grant.objects.get(request=shared.request(shared.charlie, cluster="prod"))
    shared.apply()
    ended = provision_grant(grant_id=grant.pk, now=shared.now)
    assert (ended.state, ended.end_note) == ("ended", "charlie can't request access under web-work.")


def test_what_is_offered_shown_and_answered_names_that_cluster_alone(shared):
    charlie, now = shared.charlie, shared.now
    assert {one.cluster for one in offers(identity=charlie)} == {"web"}
    assert [one.cluster for one in offers(identity=charlie, line="echo restart nginx")] == ["web"]
    assert offers(identity=charlie, target="prod-1") == []
    assert [cluster.name for cluster in terms.clusters_of(terms.terms_of(charlie))] == ["web"]
    assert [cluster.name for cluster in terms.clusters_of(terms.on_call_terms(charlie))] == ["web"]
    assert standing_of(charlie, now).may_break_glass
    for name, there in (("web", True), ("prod", False)):
        cluster = Cluster.objects.get(name=name)
        (asked,) = who_can(cluster, shared.admin, now, line="echo restart nginx").asking
        assert ("charlie" in {one.identity.username for one in asked.people}) is there
        grant = Grant.objects.get(request=shared.request(shared.alice, cluster=name))
        assert bool(askable_sets(charlie, grant)) is there


def test_the_past_is_judged_by_the_cluster_that_was_asked_for(shared):
    stored = AccessPolicy.objects.get(name="web-work")
    with_prod(shared)
    for name in ("web", "prod"):
        shared.request(shared.charlie, cluster=name)
    shared.apply()
    found = {one.ask.cluster: one.by_cluster for one in past_requests(stored, shared.now).requests}
    assert found == {"web": True, "prod": False}


def may_ask(identity: Identity, ask: Any, now: Any) -> bool:
    try:
        check_request(requester=identity, ask=ask, now=now)
    except NotRequestable:
        return False
    return True


@pytest.mark.parametrize("still", [True, False], ids=["read_once", "read_each_time"])
def test_who_may_ask_is_the_same_from_the_person_and_from_the_cluster(shared, still):
    from guardian.shortcuts import assign_perm

    assign_perm("request_cluster", shared.bob.groups.get(name="approvers"), Cluster.objects.get(name="prod"))
    policies = list(AccessPolicy.objects.all())
    for cluster, policy_ in itertools.product(Cluster.objects.all(), policies):
        people = who_may("request", policies, cluster.pk, cluster.name)[policy_.pk]
        for identity in Identity.objects.all():
            if still:
                hold_still(identity)
            there = AccessPolicy.objects.requestable_by(identity, cluster.pk).filter(pk=policy_.pk).exists()
            assert there is (identity.pk in people), (identity, cluster)
            rows = requestable(identity).filter(accesspolicy=policy_, cluster=cluster)
            assert there is rows.exists()
            assert there is may_request_under(policy_.pk, identity, cluster.pk)
            assert there is may_ask(
                identity, shared.ask(cluster=cluster.name, policy=policy_.name), shared.now
            )
