"""A policy is what its document says, counted by versions."""

import pytest
import yaml

from sessions_app.models import AccessPolicy, GrantState
from sessions_app.operations.catalog.catalog_plan import Plan
from sessions_app.operations.catalog.write_policy import write_policy
from sessions_app.policy.policies import PolicyDocument
from tests.support.world.acts import events, fresh
from tests.support.world.world import SETUP


@pytest.fixture
def data(world) -> dict:
    return yaml.safe_load(world.catalog["policies/web-work.yaml"])


def write(data, now) -> Plan:
    plan = Plan()
    write_policy(PolicyDocument.model_validate(data), "web-work.yaml", plan, SETUP, now)
    return plan


def test_what_it_no_longer_covers_ends(world, data, now):
    grant = world.grant()
    before = AccessPolicy.objects.get().version
    assert write({**data, "max_duration": "5m"}, now).ends == (grant.ref,)
    assert fresh(grant).state == GrantState.REVOKING
    assert AccessPolicy.objects.get().version == before + 1
    assert events("web-work")[-1] == "policy.changed"


def test_one_that_nobody_could_meet_is_told(world, data, now):
    plan = write({**data, "approvals": [{"count": 9, "from": ["approvers"]}]}, now)
    assert any("web-work" in warning for warning in plan.warnings)
