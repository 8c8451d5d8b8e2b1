"""A machine proves itself with a token of its issuer."""

import pytest
import yaml
from django.db import transaction

from accounts.models import APIToken
from accounts.queries import valid_token
from broker.audit.attempts import append_attempts
from broker.audit.models import AuditAttempt, AuditEntry
from sessions_app.models import TrustPolicy
from sessions_app.operations.identities.disable_identity import disable_identity
from sessions_app.operations.identities.exchange_token import (
    ScopeNotGiven,
    TokenNotAccepted,
    exchange_token,
)
from tests.support.world import acts


@pytest.fixture
def trust(world, issuer):
    def write(**changes):
        document = issuer.document(**changes)
        acts.change(world, {f"trust-policies/{document['name']}.yaml": yaml.safe_dump(document)})

    write()
    return write


def exchange(world, token, **more):
    return exchange_token(subject_token=token, address="192.0.2.9", now=more.pop("now", world.now), **more)


def refusal(world, token, **more) -> list[str]:
    """The recorded reasons of a refusal; what the caller is told is always the same."""
    tokens = APIToken.objects.count()
    # Each is the first of its minute, and so an entry at once.
    AuditAttempt.objects.all().delete()
    with pytest.raises(TokenNotAccepted) as told:
        exchange(world, token, **more)
    assert str(told.value).startswith("The token was not accepted.")
    assert APIToken.objects.count() == tokens
    entry = acts.last("identity.token_refused")
    assert entry.data["from"] == "192.0.2.9"
    return entry.data["unmet"]


def test_a_job_gets_a_short_token_of_the_service_that_is_bound_to_its_run(world, issuer, trust):
    made = exchange(world, issuer.sign(issuer.github(world.now)))
    assert (made.token.identity, made.token.workflow) == (world.deployer, "github:9001:77001:1:550077")
    assert made.token.scopes == ["end", "read", "request"]
    assert made.token.expires_at == acts.after(world, minutes=15)
    assert valid_token(made.text, world.now).identity.bound_to == "github:9001:77001:1:550077"
    entry = acts.last("identity.token_exchanged", "deployer")
    assert entry.data["trust_policy"] == "payments-deploy"
    assert entry.data["claims"]["run_id"] == "77001"
    assert TrustPolicy.objects.get().used_at == world.now
    assert made.text not in repr(made)


def test_garbage_of_one_minute_and_address_is_two_entries_and_ipv6_counts_by_its_64(world, trust):
    for number in range(300):
        for address in ("192.0.2.9", f"2001:db8::{number:x}"):
            with pytest.raises(TokenNotAccepted):
                exchange_token(subject_token=f"garbage {number}", address=address, now=world.now)
    refused = AuditEntry.objects.filter(event="identity.token_refused").order_by("seq")
    assert [entry.data["from"] for entry in refused] == ["192.0.2.9", "2001:db8::0"]
    assert append_attempts(acts.after(world, minutes=1)) == 2
    counted = {entry.data["source"]: entry.data["count"] for entry in refused.all()[2:]}
    assert counted == {"192.0.2.9": 300, "2001:db8::/64": 300}


def test_a_token_is_taken_once(world, issuer, trust):
    token = issuer.sign(issuer.github(world.now))
    exchange(world, token)
    assert refusal(world, token) == ["payments-deploy: already used"]
    again = issuer.github(world.now, jti="the same")
    exchange(world, issuer.sign(again))
    assert refusal(world, issuer.sign({**again, "run_id": "77002"})) == ["payments-deploy: already used"]


def test_a_token_is_taken_once_by_all_trust_policies_together(world, issuer, trust):
    trust(max_age="60s")
    trust(name="slow", max_age="1h")
    token = issuer.sign(issuer.github(world.now, exp=int(world.now.timestamp()) + 3600))
    exchange(world, token, audience="payments-deploy")
    later = acts.after(world, minutes=55)
    assert refusal(world, token, audience="slow", now=later) == ["slow: already used"]
    assert refusal(world, issuer.sign(issuer.github(world.now, iss="https://\ud800"))) == ["no trust policy"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"aud": "https://other.example"}, "audience"),
        ({"repository_id": "9002"}, "repository_id"),
        ({"event_name": "pull_request_target"}, "reviewed"),
        ({"exp": 1}, "not over"),
    ],
)
def test_a_token_that_does_not_fit_is_refused_without_asking_the_issuer_for_keys(
    world, issuer, trust, changes, why
):
    assert refusal(world, issuer.sign(issuer.github(world.now, **changes))) == [f"payments-deploy: {why}"]
    assert issuer.asked == []


def test_an_issuer_that_nobody_trusts_or_with_a_slash_more_is_refused(world, issuer, trust):
    for iss in ("https://else.example", f"{issuer.url}/", None, 7, "\0"):
        claims = issuer.github(world.now, iss=iss)
        assert refusal(world, issuer.sign(claims)) == ["no trust policy"]
    assert refusal(world, "x" * 50)
    assert issuer.asked == []


def test_a_token_that_somebody_else_signed_is_refused(world, issuer, trust):
    from joserfc import jwk

    other = jwk.RSAKey.generate_key(2048, {"kid": "key-1"})
    assert refusal(world, issuer.sign(issuer.github(world.now), key=other)) == ["payments-deploy: signature"]


def test_who_is_disabled_or_whose_owner_left_is_not_let_in(world, issuer, trust):
    disable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now)
    assert refusal(world, issuer.sign(issuer.github(world.now))) == [
        "payments-deploy: the machine is disabled"
    ]


def test_the_first_trust_policy_that_fits_decides_and_one_may_be_named(world, issuer, trust):
    trust(name="staging-deploy", required_claims={"repository_id": "9001", "environment": "staging"})
    made = exchange(world, issuer.sign(issuer.github(world.now, environment="staging")))
    assert made.policy.name == "staging-deploy"
    assert exchange(world, issuer.sign(issuer.github(world.now)), audience="payments-deploy").token
    for name in ("staging-deploy", "nothing"):
        with pytest.raises(TokenNotAccepted):
            exchange(world, issuer.sign(issuer.github(world.now)), audience=name)


def test_one_that_cannot_be_read_lets_nobody_in_and_keeps_nobody_out(world, issuer, trust):
    trust(name="a-broken-one")
    TrustPolicy.objects.filter(name="a-broken-one").update(document={"name": "a-broken-one"})
    assert exchange(world, issuer.sign(issuer.github(world.now))).policy.name == "payments-deploy"
    with pytest.raises(TokenNotAccepted):
        exchange(world, issuer.sign(issuer.github(world.now)), audience="a-broken-one")


def test_fewer_scopes_may_be_asked_for_and_never_more(world, issuer, trust):
    trust(scopes=["read", "request"])
    assert exchange(world, issuer.sign(issuer.github(world.now)), scopes=["read"]).token.scopes == ["read"]
    for scope in ("end", "decide", "administer"):
        with pytest.raises(ScopeNotGiven):
            exchange(world, issuer.sign(issuer.github(world.now)), scopes=[scope])


def test_neither_token_is_in_the_record(world, issuer, trust):
    token = issuer.sign(issuer.github(world.now))
    made = exchange(world, token)
    refusal(world, token)
    for secret in (token, token.split(".")[2], made.text[10:], made.token.digest):
        assert not AuditEntry.objects.filter(body__contains=secret).exists()


def test_what_a_trust_policy_issued_is_revoked_when_it_is_changed_or_removed(world, issuer, trust):
    first = exchange(world, issuer.sign(issuer.github(world.now)))
    trust(lifetime="5m")
    assert valid_token(first.text, world.now) is None
    second = exchange(world, issuer.sign(issuer.github(world.now)))
    world.catalog.pop("trust-policies/payments-deploy.yaml")
    world.apply(prune=True)
    assert valid_token(second.text, world.now) is None
    assert refusal(world, issuer.sign(issuer.github(world.now))) == ["no trust policy"]


def test_of_two_that_come_at_once_with_one_token_one_is_let_in(live_world, issuer):
    world = live_world
    acts.change(world, {"trust-policies/payments-deploy.yaml": yaml.safe_dump(issuer.document())})
    token = issuer.sign(issuer.github(world.now))
    results = acts.at_once(*[lambda: exchange(world, token)] * 3)
    assert sorted(type(result).__name__ for result in results) == [
        "Exchanged",
        "TokenNotAccepted",
        "TokenNotAccepted",
    ]
    assert APIToken.objects.count() == 1


def test_what_a_trust_policy_gives_while_it_is_changed_is_nothing(live_world, issuer, owner_connection):
    world = live_world
    place = "trust-policies/payments-deploy.yaml"
    acts.change(world, {place: yaml.safe_dump(issuer.document())})
    token = issuer.sign(issuer.github(world.now))
    with transaction.atomic():
        acts.change(world, {place: yaml.safe_dump(issuer.document(lifetime="5m"))})
        late = acts.Started(lambda: exchange(world, token))
        acts.wait_for_waiters(owner_connection, 1)
    assert isinstance(late.result(), TokenNotAccepted)
    assert acts.last("identity.token_refused").data["unmet"] == ["payments-deploy: changed in the meantime"]
    assert not APIToken.objects.exists()
    # It was not used up by that.
    assert exchange(world, token).token
