"""Holding a token of an issuer against a trust policy."""

import pytest

from sessions_app.operations.identities.prove_token import keyring, prove_token
from sessions_app.policy.trust import TrustPolicyDocument

# Time is the database's.
pytestmark = pytest.mark.django_db


def prove(issuer, token, now, **more):
    document = TrustPolicyDocument.model_validate(issuer.document())
    return prove_token(document=document, token=token, now=now, **more)


def unmet(conditions) -> list[str]:
    return [one.name for one in conditions if not one.met]


def test_a_token_of_the_run_that_is_meant_meets_every_condition(issuer, now):
    found = prove(issuer, issuer.sign(issuer.github(now)), now)
    assert unmet(found) == []
    assert [one.name for one in found][-3:] == ["algorithm", "key", "signature"]
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


def test_unless_all_conditions_are_wanted(issuer, now):
    found = prove(issuer, issuer.sign(issuer.github(now, repository_id="9002")), now, all_of_them=True)
    assert [one.name for one in found][-3:] == ["algorithm", "key", "signature"]
    assert len(unmet(found)) == 1
    assert issuer.asked


def test_an_issuer_inside_is_asked_where_the_settings_allow_it_alone(issuer, now, settings):
    settings.ISSUER_NETWORKS = []
    keyring.cache_clear()
    found = prove(issuer, issuer.sign(issuer.github(now)), now)
    assert unmet(found) == ["key"]
    assert issuer.asked == []
