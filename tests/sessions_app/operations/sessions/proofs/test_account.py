"""What the account of a grant may do on a cluster that its holder reaches directly, asked at each review."""

import hashlib

import pytest
import yaml

from sessions_app.models import Cluster
from sessions_app.operations.sessions.authorize_use import authorize_use, only
from sessions_app.operations.sessions.proofs.account import ByAccount, asking_clusters
from sessions_app.operations.targets.cluster_connection import stored_secrets
from sessions_app.policy.commands.kubernetes.off_limits import ACCOUNTS
from tests.sessions_app.gateways.kubernetes.test_webhook import KEY, reached_directly
from tests.sessions_app.operations.test_kubernetes_grants import cluster, kube, started  # noqa: F401
from tests.support.world.ground import lose


@pytest.fixture
def site(kube):  # noqa: F811
    return reached_directly(kube)


@pytest.fixture
def grant(site):
    return started(site)


def ask(grant, mark=None):
    return only(authorize_use(by=ByAccount(mark or grant.mark, grant.cluster_id)))


def asking(key=KEY):
    return asking_clusters(hashlib.sha256(key.encode()).digest())


def test_the_account_of_a_grant_may_do_what_was_approved(grant):
    use = ask(grant)
    assert (use.grant_id, use.holder, use.cluster, use.credential_id) == (grant.pk, "alice", "prod", None)
    assert use.compiled.bindings == {"ns": "web"}


def test_another_account_and_another_cluster_may_do_nothing(grant, world):
    assert ask(grant, "0" * 32) is None
    other = Cluster.objects.exclude(pk=grant.cluster_id).first()
    assert not authorize_use(by=ByAccount(grant.mark, other.pk))


@pytest.mark.parametrize(
    "loss",
    [
        "grant ended",
        "grant held",
        "holder silent",
        "holder disabled",
        "cluster removed",
        "connection changed",
        "target moved",
        "lease gone",
        "nothing made",
    ],
)
def test_what_takes_the_ground_away_takes_the_use_away(grant, loss):
    assert ask(grant)
    lose(grant, loss)
    assert not ask(grant)


def test_a_grant_behind_the_gateway_is_not_used_by_its_account(kube):  # noqa: F811
    assert ask(started(kube)) is None


def test_an_api_server_is_known_by_the_key_of_its_cluster(site):
    (found,) = asking()
    assert (found.name, found.accounts) == ("prod", ACCOUNTS)
    assert asking("x" * 40) == []


def test_a_cluster_behind_the_gateway_has_no_key(kube):  # noqa: F811
    assert asking() == []
    assert asking("") == []


def test_a_key_that_was_replaced_is_good_no_longer(site):
    reached_directly(site, key="another" * 6)
    assert asking() == []
    assert asking("another" * 6)


def test_a_cluster_that_goes_behind_the_gateway_again_keeps_no_key(site):
    data = yaml.safe_load(site.catalog["clusters/prod.yaml"])
    for name in ("direct", "webhook_key"):
        del data["connection"][name]
    site.apply({**site.catalog, "clusters/prod.yaml": yaml.safe_dump(data)})
    assert asking() == []
    prod = Cluster.objects.get(name="prod")
    stored = stored_secrets(prod.sealed_connection, cluster_id=prod.pk)
    assert "webhook_key" not in stored
    assert "token" in stored
