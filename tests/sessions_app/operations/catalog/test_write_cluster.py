"""A cluster and its targets are what its document says."""

import pytest
import yaml

from sessions_app.models import Cluster, GrantState
from sessions_app.operations.catalog.catalog_plan import Plan
from sessions_app.operations.catalog.write_cluster import write_cluster
from sessions_app.policy.catalog import ClusterDocument
from tests.support.world.acts import fresh
from tests.support.world.world import SETUP


@pytest.fixture
def data(world) -> dict:
    return yaml.safe_load(world.catalog["clusters/web.yaml"])


def write(data, now) -> Plan:
    plan = Plan()
    write_cluster(ClusterDocument.model_validate(data), plan, SETUP, now)
    return plan


def test_a_target_that_is_gone_keeps_its_row_and_ends_what_used_it(world, data, now):
    grant = world.grant()
    data["targets"] = data["targets"][:1]
    assert write(data, now).ends == (grant.ref,)
    cluster = Cluster.objects.get()
    assert list(cluster.targets.order_by("name").values_list("name", "removed_at")) == [
        ("web-1", None),
        ("web-2", now),
    ]
    assert fresh(grant).state == GrantState.REVOKING
