"""What a token lets its holder do at an MCP gateway, asked at each message."""

import pytest

from broker.audit.standing import RecordContradicted, write_standing
from broker.kernel.crypto import token_digest
from sessions_app.models import Grant
from sessions_app.operations.sessions.authorize_use import authorize_use, only
from sessions_app.operations.sessions.proofs.token import ByToken
from tests.support.servers.mcp_desk import DESK_TOKEN
from tests.support.world.ground import lose
from tests.support.world.mcp_site import add_desk, grant_unseen, token_of


@pytest.fixture
def site(world):
    add_desk(world, 9000)
    return world


@pytest.fixture
def grant(site):
    return grant_unseen(site)


@pytest.fixture
def token(grant, site):
    return token_of(grant, site)


def ask(token, cluster="desk"):
    return only(authorize_use(by=ByToken(token_digest(token), cluster)))


def test_a_token_opens_what_was_approved_and_nothing_is_shown_of_the_servers_own_token(token, grant):
    use = ask(token)
    assert (use.grant_id, use.holder, use.cluster, use.target.name) == (grant.pk, "robot", "desk", "desk")
    assert use.pins == {"read_ticket": "0" * 64}
    assert use.compiled.bindings == {"ticket": "T-42"}
    assert use.expires_at == grant.expires_at
    assert not use.held
    assert use.place.parameters.token.get_secret_value() == DESK_TOKEN
    assert DESK_TOKEN not in repr(use)


def test_another_cluster_another_token_and_a_replaced_one_open_nothing(token, grant, site):
    assert ask(token, "web") is None
    assert ask(token, "desk\0") is None
    assert ask("sgt_" + "a" * 43) is None
    token_of(grant, site)
    assert ask(token) is None


@pytest.mark.parametrize(
    "loss",
    [
        "grant ended",
        "holder silent",
        "holder disabled",
        "owner disabled",
        "cluster removed",
        "connection changed",
        "secret altered",
        "target removed",
        "target moved",
        "lease gone",
        "tools unknown",
        "token over",
    ],
)
def test_what_takes_the_ground_away_takes_the_use_away(token, grant, loss):
    assert ask(token)
    lose(grant, loss)
    assert not ask(token)


def test_a_grant_that_is_held_says_so(token, grant, site):
    Grant.objects.filter(pk=grant.pk).update(held_at=site.now)
    assert ask(token).held


def test_a_token_for_http_or_ssh_opens_no_tools(site):
    assert ask("stint_" + "a" * 43) is None


def test_a_record_that_contradicts_its_checkpoints_lets_nothing_be_called(token):
    assert ask(token)
    write_standing("An older backup was restored.")
    with pytest.raises(RecordContradicted):
        ask(token)
