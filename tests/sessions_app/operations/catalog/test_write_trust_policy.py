"""Trust policies as files of the catalog."""

import pytest
import yaml

from broker.kernel.errors import InvalidInput
from sessions_app.models import TrustPolicy
from tests.support.servers.issuer import Issuer
from tests.support.world.acts import change, events, fresh, last

ISSUER = Issuer(url="https://token.actions.githubusercontent.com")


def file(**changes) -> dict[str, str]:
    document = ISSUER.document(**changes)
    return {f"trust-policies/{document['name']}.yaml": yaml.safe_dump(document)}


def test_a_trust_policy_is_made_changed_and_removed_by_its_file(world):
    change(world, file())
    made = TrustPolicy.objects.get()
    assert (made.identity, made.issuer, made.version) == (world.deployer, ISSUER.url, 1)
    assert last("trust_policy.created", "payments-deploy").data["speaks_as"] == "deployer"
    assert world.apply().changes == []
    change(world, file(speaks_as="robot"))
    assert (fresh(made).identity, made.version) == (world.robot, 2)
    world.catalog.pop("trust-policies/payments-deploy.yaml")
    assert "trust policy payments-deploy" in world.apply().unused
    world.apply(prune=True)
    assert not TrustPolicy.objects.live().exists()
    assert events("payments-deploy") == [
        "trust_policy.created",
        "trust_policy.changed",
        "trust_policy.removed",
    ]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"speaks_as": "alice"}, "must be a service or an agent"),
        ({"speaks_as": "nobody"}, "unknown identity nobody"),
        ({"required_claims": {"environment": "production"}}, "repository_id"),
    ],
)
def test_one_that_speaks_as_a_person_or_for_any_project_is_refused(world, changes, says):
    with pytest.raises(InvalidInput) as refusal:
        world.apply(file(**changes))
    assert says in f"{refusal.value} {refusal.value.fields}"
    assert not TrustPolicy.objects.exists()
