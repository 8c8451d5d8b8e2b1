"""What a token lets its holder do at the Kubernetes gateway, asked at each request."""

import pytest

from broker.kernel.crypto import token_digest
from sessions_app.models import Lease
from sessions_app.operations.grants.issue_http_token import issue_http_token
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.sessions.authorize_use import authorize_use, only
from sessions_app.operations.sessions.proofs.kubernetes import AtKubernetes
from tests.sessions_app.operations.test_kubernetes_grants import cluster, kube, started  # noqa: F401
from tests.support.world.ground import lose


@pytest.fixture
def grant(kube):  # noqa: F811
    return started(kube)


@pytest.fixture
def token(grant, kube):  # noqa: F811
    return issue_http_token(grant_id=grant.pk, actor=kube.alice, now=kube.now)[1]


def ask(token, name="prod"):
    return only(authorize_use(by=AtKubernetes(token_digest(token), name)))


def test_a_token_opens_what_was_approved_by_the_name_of_the_cluster_or_of_its_target(token, grant):
    use = ask(token)
    assert (use.grant_id, use.holder, use.cluster, use.target.name) == (grant.pk, "alice", "prod", "prod-1")
    assert use.compiled.bindings == {"ns": "web"}
    assert (use.expires_at, use.good_until) == (grant.expires_at, grant.expires_at)
    assert ask(token, "prod-1").target == use.target
    own = use.place.parameters.token.get_secret_value()
    assert own
    assert own not in repr(use)


def test_another_cluster_and_another_token_open_nothing(token):
    assert ask(token, "web") is None
    assert ask("sgt_" + "a" * 43) is None


@pytest.mark.parametrize(
    "loss",
    [
        "grant ended",
        "grant held",
        "holder silent",
        "holder disabled",
        "cluster removed",
        "connection changed",
        "reached directly",
        "target moved",
        "lease gone",
        "nothing made",
        "token over",
    ],
)
def test_what_takes_the_ground_away_takes_the_use_away(token, grant, loss):
    assert ask(token)
    lose(grant, loss)
    assert not ask(token)


def test_an_account_that_was_made_again_is_used_again(token, grant, kube):  # noqa: F811
    Lease.objects.filter(grant=grant).update(made_until=None)
    prepare_grant(grant_id=grant.pk, now=lambda: kube.now)
    assert ask(token) is not None
