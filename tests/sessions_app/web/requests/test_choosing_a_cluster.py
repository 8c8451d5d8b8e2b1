"""Choosing a cluster, and what a request still needs."""

import pytest
from django.http import QueryDict

from sessions_app.web.forms.request_draft import draft_of_link
from tests.support.world import acts
from tests.support.world.catalog import _cluster as cluster
from tests.support.world.reading import says

NAMES = [f"shop-{name}" for name in ("api", "cache", "cart", "db", "mail", "queue", "web")]


@pytest.fixture
def many(world):
    """Seven more clusters, which alice can request."""
    files = {f"clusters/{name}.yaml": cluster(name, "The shop", "staging", "low", 1, 1) for name in NAMES}
    policy = (
        f"name: shop\nclusters: [{', '.join(NAMES)}]\ncommand_sets: [restart-web]\napprovals: none\n"
        "requesters: {groups: [operators]}\nmax_duration: 2h\nticket: CHG-[0-9]+\n"
    )
    acts.change(world, files | {"policies/shop.yaml": policy})


def where(answer):
    return answer.context["ask"].where


def names(choices):
    return [one.cluster.name for one in choices]


def test_no_cluster_is_chosen_for_the_requester(as_alice, many):
    answer = as_alice.get("/requests/new/?set=restart-web&for=30m&p.unit=haproxy")
    page = answer.content.decode()
    assert where(answer).chosen is None
    says(page, '<a href="#find-cluster" data-to>A cluster</a>', 'name="p.unit" value="haproxy"')
    says(page, 'name="command_set" value="restart-web"', 'name="duration" value="30m"')


def test_a_search_finds_clusters_by_name_environment_and_host_without_script(as_alice, many):
    found = as_alice.post("/requests/new/", {"find_cluster": "staging shop-ca", "update": "1"})
    assert names(where(found).rows) == ["shop-cache", "shop-cart"]
    found = as_alice.post("/requests/new/", {"find_cluster": "shop-db-1.example", "update": "1"})
    assert names(where(found).rows) == ["shop-db"]
    says(
        as_alice.post("/requests/preview/", {"find_cluster": "no such"}).content.decode(),
        "No cluster matches",
    )


def test_recent_clusters_come_first_and_the_chosen_one_is_shown_alone(world, as_alice, many):
    world.request()
    assert names(where(as_alice.get("/requests/new/")).recent) == ["web"]
    chosen = as_alice.post("/requests/new/", {"cluster": "shop-db", "find_cluster": "shop", "update": "1"})
    assert (where(chosen).chosen.cluster.name, where(chosen).text) == ("shop-db", "")


def test_the_panel_lists_all_that_is_still_needed_with_the_field_of_each(as_alice, many):
    form = {"cluster": "shop-db", "command_set": "restart-web", "duration": "1h"}
    page = as_alice.post("/requests/preview/", form).content.decode()
    for field, label in (("p-unit", "unit"), ("ticket", "A ticket"), ("reason", "A reason")):
        says(page, f'<a href="#{field}" data-to>{label}</a>')
    whole = as_alice.post("/requests/new/", form | {"update": "1"}).content.decode()
    for field in ("p-unit", "ticket", "reason"):
        assert f'id="{field}"' in whole
    done = form | {"p.unit": "nginx", "ticket": "CHG-1", "reason": "A restart"}
    assert "Still needed" not in as_alice.post("/requests/preview/", done).content.decode()


def test_a_request_without_a_cluster_is_not_submitted(as_alice, many):
    answer = as_alice.post("/requests/new/", {"send": "1", "reason": "Kept"})
    says(answer.content.decode(), "Choose a cluster.", "Kept")


def test_a_link_in_a_refusal_names_the_command_set_as_the_api_does():
    assert draft_of_link(QueryDict("command_set=look-at-web")).command_set == "look-at-web"


def test_a_link_that_names_a_target_chooses_the_only_cluster_that_has_it(as_alice, many):
    assert where(as_alice.get("/requests/new/?target=shop-db-1")).chosen.cluster.name == "shop-db"
