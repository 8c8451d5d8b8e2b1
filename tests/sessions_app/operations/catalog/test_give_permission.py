"""Exactly those whom a document names hold what it gives."""

from sessions_app.models import Cluster
from sessions_app.operations.catalog.catalog_rows import who_has
from sessions_app.operations.catalog.give_permission import give_permission
from sessions_app.policy.policies import Who

VIEW = "view_cluster"


def test_whoever_is_named_no_more_loses_it(world):
    cluster = Cluster.objects.get()
    give_permission(cluster, VIEW, Who(groups=["operators"], identities=["Charlie"]))
    assert who_has(cluster, VIEW) == {"groups": ["operators"], "identities": ["charlie"]}
    give_permission(cluster, VIEW, Who(identities=["bob"]))
    assert who_has(cluster, VIEW) == {"groups": [], "identities": ["bob"]}
    give_permission(cluster, VIEW, None)
    assert who_has(cluster, VIEW) is None
