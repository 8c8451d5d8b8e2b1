"""What stands in the catalog reads as its file."""

import pytest
import yaml

from sessions_app.models import AccessPolicy, Cluster, Target
from sessions_app.operations.catalog.catalog_rows import (
    cluster_data,
    cluster_document,
    plain,
    policy_data,
)
from sessions_app.policy.catalog import ClusterDocument
from sessions_app.queries.requests.facts import Unreadable


def test_a_cluster_is_shown_as_its_file_says_it(world):
    shown = cluster_data(Cluster.objects.get())
    given = yaml.safe_load(world.catalog["clusters/web.yaml"])
    assert shown == plain(ClusterDocument.model_validate(shown))
    assert [target["name"] for target in shown["targets"]] == [target["name"] for target in given["targets"]]
    assert {target["account"] for target in shown["targets"]} == {"root"}
    # What its kind says anyway is left out.
    Target.objects.update(account="stint")
    assert all("account" not in target for target in cluster_data(Cluster.objects.get())["targets"])


def test_a_row_that_no_file_could_have_made_says_so_and_stops_nobody(world):
    Cluster.objects.update(environment="nowhere")
    cluster = Cluster.objects.get()
    with pytest.raises(Unreadable, match="apply its file again"):
        cluster_document(cluster)
    assert "can't be read" in cluster_data(cluster)["unreadable"]
    world.apply()
    assert "unreadable" not in cluster_data(Cluster.objects.get())


def test_a_policy_that_can_not_be_read_is_shown_as_that(world):
    assert policy_data(AccessPolicy.objects.get())["name"] == "web-work"
    AccessPolicy.objects.update(document={})
    assert set(policy_data(AccessPolicy.objects.get())) == {"unreadable"}
