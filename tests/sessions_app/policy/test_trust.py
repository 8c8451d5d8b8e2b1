"""Which tokens a trust policy takes."""

import datetime as dt

import pytest
from pydantic import ValidationError

from sessions_app.policy.trust import TrustPolicyDocument, conditions, workflow_key
from tests.support.servers.issuer import Issuer

NOW = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)
ISSUER = Issuer(url="https://token.actions.githubusercontent.com")


def document(**changes) -> TrustPolicyDocument:
    return TrustPolicyDocument.model_validate(ISSUER.document(**changes))


def unmet(claims, **changes) -> list[str]:
    return [one.name for one in conditions(document(**changes), claims, NOW) if not one.met]


def test_the_job_that_it_names_is_taken_and_bound_to_its_run():
    claims = ISSUER.github(NOW)
    assert unmet(claims) == []
    assert workflow_key(document(), claims) == "github:9001:77001:1:550077"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"iss": "https://token.actions.githubusercontent.com/"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"aud": "https://stint.example.com/"}, "audience"),
        ({"aud": ["https://other.example"]}, "audience"),
        ({"aud": None}, "audience"),
        ({"exp": int(NOW.timestamp())}, "not over"),
        ({"exp": None}, "not over"),
        ({"exp": True}, "not over"),
        ({"exp": float("inf")}, "not over"),
        ({"exp": "9999999999"}, "not over"),
        ({"iat": int(NOW.timestamp()) - 601}, "fresh"),
        ({"iat": int(NOW.timestamp()) + 31}, "fresh"),
        ({"iat": None}, "fresh"),
        ({"nbf": int(NOW.timestamp()) + 31}, "fresh"),
        ({"nbf": "soon"}, "fresh"),
        ({"jti": None}, "named"),
        ({"jti": ""}, "named"),
        ({"jti": ["x"]}, "named"),
        ({"repository_id": "90011"}, "repository_id"),
        ({"repository_id": ["9001"]}, "repository_id"),
        ({"repository_id": 9001.0}, "repository_id"),
        ({"repository_owner_id": None}, "repository_owner_id"),
        ({"environment": "Production"}, "environment"),
        ({"event_name": "pull_request"}, "reviewed"),
        ({"event_name": "pull_request_target"}, "reviewed"),
        ({"head_ref": "fix"}, "reviewed"),
        ({"sub": "repo:acme@77/payments@9001:pull_request"}, "reviewed"),
        ({"ref": "refs/pull/7/merge"}, "reviewed"),
        ({"run_id": None}, "workflow"),
        ({"run_id": "1:2"}, "workflow"),
        ({"run_id": "../1"}, "workflow"),
        ({"run_id": ""}, "workflow"),
    ],
)
def test_a_token_that_is_not_as_it_should_be_fails_by_the_condition_that_says_so(changes, name):
    assert name in unmet(ISSUER.github(NOW, **changes))


@pytest.mark.parametrize("age", [600, -30])
def test_a_token_may_be_as_old_as_the_policy_says_and_half_a_minute_ahead(age):
    assert unmet(ISSUER.github(NOW, iat=int(NOW.timestamp()) - age)) == []


def test_each_condition_is_said_in_words():
    said = conditions(document(), ISSUER.github(NOW), NOW)
    assert all(one.message.strip() for one in said)


def test_numbers_and_truths_are_compared_as_the_text_that_others_write_them_as():
    assert unmet(ISSUER.github(NOW, repository_id=9001)) == []
    wanted = {"project_id": "22", "ref_protected": "true"}
    gitlab = {"required_claims": wanted, "workflow": "gitlab:{project_id}:{job_id}"}
    assert unmet(ISSUER.gitlab(NOW, ref_protected=True, project_id=22), **gitlab) == []
    assert unmet(ISSUER.gitlab(NOW, pipeline_source="merge_request_event"), **gitlab) == ["reviewed"]


@pytest.mark.parametrize(
    ("claims", "missing"),
    [
        ({"pipeline_source": "parent_pipeline", "ref_protected": "false"}, ["reviewed"]),
        ({"pipeline_source": "pipeline", "ref_protected": "false"}, ["reviewed"]),
        ({"pipeline_source": "parent_pipeline", "ref_protected": None}, ["reviewed"]),
        ({"pipeline_source": "parent_pipeline", "ref_protected": "true"}, []),
        ({"pipeline_source": "push", "ref_protected": "false"}, []),
        ({"ref": "refs/merge-requests/7/head"}, ["reviewed"]),
        ({"ref_path": "refs/merge-requests/7/merge"}, ["reviewed"]),
        ({"ref_path": "refs/heads/main"}, []),
    ],
)
def test_what_a_merge_request_may_have_begun_is_not_reviewed_unless_its_branch_is_protected(claims, missing):
    gitlab = {"workflow": "gitlab:{project_id}:{job_id}", "required_claims": {"project_id": "22"}}
    assert unmet(ISSUER.gitlab(NOW, **claims), **gitlab) == missing
    assert unmet(ISSUER.gitlab(NOW, **claims), allow_pull_requests=True, **gitlab) == []
    assert workflow_key(document(**gitlab), ISSUER.gitlab(NOW)) == "gitlab:22:4711"


def test_a_claim_may_be_one_of_a_list_and_one_of_several_audiences():
    several = {"required_claims": {"repository_id": "9001", "environment": ["staging", "production"]}}
    assert unmet(ISSUER.github(NOW, aud=["https://x.example", "https://stint.example.com"]), **several) == []
    assert unmet(ISSUER.github(NOW, environment="test"), **several) == ["environment"]


def test_proposed_changes_are_taken_where_somebody_said_so():
    assert unmet(ISSUER.github(NOW, event_name="pull_request"), allow_pull_requests=True) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"required_claims": {"environment": "production"}}, "repository_id or project_id"),
        ({"required_claims": {}}, "required_claims"),
        (
            {"required_claims": {"repository_id": "*"}, "workflow": "github:{run_id}"},
            "must name {repository_id}",
        ),
        ({"required_claims": {"repository_id": ["9001", "*"]}}, "wildcards are not supported"),
        ({"required_claims": {"repository_id": []}}, "required_claims"),
        ({"workflow": "github"}, "claims in braces"),
        ({"workflow": "github:{run_id}"}, "must name {repository_id}"),
        ({"workflow": "github:{repository_id}:{"}, "claims in braces"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": []}, "algorithms"),
        ({"issuer": "file:///etc/passwd"}, "is not a URL"),
        ({"issuer": "https://user@host/"}, "is not a URL"),
        ({"issuer": "https://host/?x=1"}, "a query"),
        ({"max_age": "2h"}, "max_age"),
        ({"lifetime": "2h"}, "lifetime"),
        ({"scopes": ["decide"]}, "scopes"),
        ({"scopes": ["administer"]}, "scopes"),
        ({"keys": []}, "keys"),
        ({"keys": [{"kty": "oct", "k": "AAAA"}]}, "not a public key"),
        ({"keys": [{"kty": "RSA", "d": "AAAA"}]}, "private key"),
        ({"keys": [{"kty": "RSA"}], "jwks_uri": "https://host/keys"}, "remove it"),
        ({"key_set": "x"}, "key_set"),
    ],
)
def test_a_policy_that_would_let_in_too_much_is_refused_and_says_why(changes, says):
    with pytest.raises(ValidationError) as refusal:
        document(**changes)
    assert says in str(refusal.value)
