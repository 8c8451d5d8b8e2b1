"""Token exchange, as jobs and agents use it."""

import datetime as dt
import json

import pytest
import yaml
from django.conf import settings as django_settings
from django.test import Client

from accounts.models import APIToken
from accounts.operations.create_token import create_token
from broker.audit.actor import Actor
from broker.kernel import clock
from sessions_app.gateways.mcp.application import metadata
from sessions_app.models import Notice, Workflow
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.identities.prove_token import keyring
from sessions_app.queries.identities.api_tokens import outlived_token
from tests.sessions_app.api.conftest import ALL_SCOPES, Caller, token_for
from tests.support.servers.issuer import issuer_on_loopback
from tests.support.world.acts import change, last, policy
from tests.support.world.api_site import add_site, grant_on_site
from tests.support.world.factors import just_signed_in
from tests.support.world.reading import read

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPE = "urn:ietf:params:oauth:token-type:"


@pytest.fixture
def issuer(settings, world):
    settings.ISSUER_NETWORKS = ["127.0.0.0/8"]
    keyring.cache_clear()
    with issuer_on_loopback() as running:
        change(world, {"trust-policies/payments-deploy.yaml": yaml.safe_dump(running.document())})
        yield running
    keyring.cache_clear()


def send(oauth, token, kind="jwt", **more):
    form = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": f"{TYPE}{kind}", **more}
    return oauth("token", **{name: value for name, value in form.items() if value is not None})


def test_a_job_exchanges_its_token_and_is_the_service(oauth, world, issuer):
    given = send(oauth, issuer.sign(issuer.github(world.now)))
    assert given.status_code == 200, given.body
    assert (given["Cache-Control"], given.body["issued_token_type"]) == ("no-store", f"{TYPE}access_token")
    assert (given.body["token_type"], given.body["scope"]) == ("Bearer", "end read request")
    assert given.body["stint_workflow"] == "github:9001:77001:1:550077"
    assert 840 < given.body["expires_in"] <= 900
    assert Caller(None, given.body["access_token"]).get("/me").body["username"] == "deployer"
    told = oauth("introspect", given.body["access_token"], token=given.body["access_token"]).body
    assert (told["active"], told["stint_workflow"]) == (True, "github:9001:77001:1:550077")


def test_every_token_that_is_not_taken_gets_one_answer(oauth, world, issuer):
    used = issuer.sign(issuer.github(world.now))
    send(oauth, used)
    head, body, _ = issuer.sign(issuer.github(world.now)).split(".")
    tokens = [
        used,
        f"{head}.{body}.",
        "not a token",
        issuer.sign(issuer.github(world.now, exp=1)),
        issuer.sign(issuer.github(world.now, event_name="pull_request")),
        issuer.sign(issuer.github(world.now, iss="https://else.example")),
        issuer.sign(issuer.github(world.now), kid="../key-1"),
        issuer.sign(issuer.github(world.now, iss="\ud800")),
    ]
    answers = {(answer.status_code, answer.content) for answer in (send(oauth, token) for token in tokens)}
    assert len(answers) == 1
    ((status, body),) = answers
    assert (status, json.loads(body)["error"]) == (400, "invalid_request")
    assert last("identity.token_refused")


def test_a_token_that_is_bound_to_a_run_neither_approves_nor_opens_further_entry_points(oauth, world, issuer):
    job = Caller(None, send(oauth, issuer.sign(issuer.github(world.now))).body["access_token"])
    request = world.request()
    verdict = {"verdict": "approve", "digest": request.digest}
    assert job.post(f"/requests/{request.ref}/verdicts", verdict).status_code == 403
    assert job.post("/me/tokens", {"label": "more", "scopes": ["read"]}).status_code == 403


def test_it_reads_and_ends_what_is_its_own_and_nothing_of_other_runs(oauth, world, issuer):
    grant = world.grant()
    other = world.request(world.deployer)
    job = Caller(None, send(oauth, issuer.sign(issuer.github(world.now))).body["access_token"])
    service = Caller(None, token_for(world.deployer, world.now))
    assert service.get(f"/requests/{other.ref}").status_code == 200
    for path in (f"/requests/{other.ref}", f"/grants/{grant.ref}"):
        assert job.get(path).status_code == 404
    assert job.get("/requests").body["results"] == []
    assert job.post(f"/grants/{grant.ref}/end", {}).status_code == 404


def bound_to(world, workflow, label="job of"):
    """A token of a job that is bound to a run, and a caller who has it."""
    token, text = create_token(
        identity_id=world.deployer.pk,
        label=f"{label} {workflow.ref}",
        scopes=ALL_SCOPES,
        lifetime=dt.timedelta(minutes=15),
        actor=Actor.system("person"),
        now=world.now,
        workflow=workflow.ref,
    )
    return token, Caller(None, text)


def test_it_opens_no_work_and_hears_and_lists_nothing_of_other_runs(world):
    change(world, policy(world, requesters={"identities": ["deployer"]}, approvals="none"))
    ours, others = (world.workflow(who=world.deployer) for _ in range(2))
    requests = [world.request(world.deployer, workflow=workflow.ref) for workflow in (ours, others)]
    mine, theirs = (started(world, request) for request in requests)
    for place in (
        f"/grants/{mine.ref}/",
        f"/requests/{mine.request.ref}/#thread",
        f"/workflows/{ours.ref}/",
        f"/grants/{theirs.ref}/",
        f"/workflows/{others.ref}/",
        "/webhooks/x/",
    ):
        Notice.objects.create(identity=world.deployer, event="grant.active", path=place, subject=place)
    _, job = bound_to(world, ours)
    bound_to(world, others)

    opened = job.post("/workflows", {"kind": "ticket", "title": "More", "clusters": ["web"]})
    assert (opened.status_code, opened.body["code"]) == (403, "bound_to_other_workflow")
    assert Workflow.objects.count() == 2
    told = {notice["path"].partition("#")[0] for notice in job.get("/me/notices").body["results"]}
    assert told == {f"/grants/{mine.ref}/", f"/requests/{mine.request.ref}/", f"/workflows/{ours.ref}/"}
    of_another = Notice.objects.get(subject=f"/grants/{theirs.ref}/")
    assert job.post(f"/me/notices/{of_another.pk}/read", {}).status_code == 404
    of_ours = Notice.objects.get(subject=f"/grants/{mine.ref}/")
    assert job.post(f"/me/notices/{of_ours.pk}/read", {}).body["read_at"]
    assert [token["label"] for token in job.get("/me/tokens").body["results"]] == [f"job of {ours.ref}"]


def test_when_it_is_over_it_keeps_alive_and_ends_what_was_asked_for_with_it_and_nothing_else(world):
    change(world, policy(world, heartbeat="30s", requesters={"identities": ["deployer"]}, approvals="none"))
    ticket, other = (world.workflow(who=world.deployer) for _ in range(2))
    token, job = bound_to(world, ticket)
    grant, stranger = (
        started(world, world.request(world.deployer, workflow=workflow.ref)) for workflow in (ticket, other)
    )
    APIToken.objects.filter(pk=token.pk).update(expires_at=clock.now())

    assert job.post(f"/grants/{grant.ref}/heartbeat").status_code == 200
    assert job.get(f"/grants/{grant.ref}").body["state"] == "active"
    closed = [
        job.get("/me"),
        job.get("/grants"),
        job.get(f"/grants/{stranger.ref}"),
        job.get(f"/requests/{grant.request.ref}"),
        job.post(f"/grants/{stranger.ref}/end", {}),
        job.post(f"/grants/{grant.ref}/extend", {}),
        job.post(f"/grants/{grant.ref}/credential", {}),
        job.post("/requests", {}),
    ]
    assert {answer.status_code for answer in closed} == {401}
    assert job.post(f"/grants/{grant.ref}/end", {}).status_code == 200

    # What was asked for after it was over, and what is past its deadline, is not its own any more.
    APIToken.objects.filter(pk=token.pk).update(expires_at=world.now - dt.timedelta(seconds=1))
    assert job.get(f"/grants/{grant.ref}").status_code == 401
    APIToken.objects.filter(pk=token.pk).update(expires_at=clock.now(), revoked_at=clock.now())
    assert job.get(f"/grants/{grant.ref}").status_code == 401


def test_it_speaks_for_nothing_whose_deadline_has_passed(world):
    change(world, policy(world, requesters={"identities": ["deployer"]}, approvals="none"))
    ticket = world.workflow(who=world.deployer)
    token, job = bound_to(world, ticket)
    grant = started(world, world.request(world.deployer, workflow=ticket.ref))
    APIToken.objects.filter(pk=token.pk).update(expires_at=clock.now())
    assert outlived_token(job.token, grant.ref, grant.expires_at - dt.timedelta(seconds=1)) == token
    assert outlived_token(job.token, grant.ref, grant.expires_at) is None


@pytest.mark.parametrize("removed", [False, True])
def test_a_change_of_its_trust_policy_ends_it_even_when_it_has_expired_and_until_then_it_is_shown(
    world, issuer, removed
):
    change(world, policy(world, heartbeat="30s", requesters={"identities": ["deployer"]}, approvals="none"))
    run = world.workflow(who=world.deployer)
    token, job = bound_to(world, run, "payments-deploy")
    grant = started(world, world.request(world.deployer, workflow=run.ref))
    APIToken.objects.update(expires_at=clock.now())
    assert job.get(f"/grants/{grant.ref}").status_code == 200
    for who, path in ((world.alice, "/account/"), (world.admin, "/people/deployer/")):
        page = read(just_signed_in(Client(), who), path)
        assert token.hint in page, path
        assert "only to keep its grants alive and end them" in page, path
    if removed:
        world.catalog.pop("trust-policies/payments-deploy.yaml")
        world.apply(prune=True)
    else:
        change(world, {"trust-policies/payments-deploy.yaml": yaml.safe_dump(issuer.document(lifetime="5m"))})
    assert APIToken.objects.get().revoked_at is not None
    for answer in (job.get(f"/grants/{grant.ref}"), job.post(f"/grants/{grant.ref}/heartbeat")):
        assert answer.status_code == 401


def started(world, request):
    return provision_grant(grant_id=request.grant.pk, now=world.now)


WRONG = [
    ({"subject_token_type": f"{TYPE}saml2"}, "invalid_request"),
    ({"subject_token_type": None}, "invalid_request"),
    ({"subject_token": None}, "invalid_request"),
    ({"actor_token": "x", "actor_token_type": f"{TYPE}jwt"}, "invalid_request"),
    ({"requested_token_type": f"{TYPE}refresh_token"}, "invalid_request"),
    ({"resource": "https://other.example/"}, "invalid_target"),
    ({"resource": [django_settings.PUBLIC_URL, "https://other.example/"]}, "invalid_target"),
    ({"resource": f"{django_settings.PUBLIC_URL}0/mcp"}, "invalid_target"),
    ({"audience": ["payments-deploy", "https://other.example/"]}, "invalid_target"),
    ({"scope": ["read", "read"]}, "invalid_request"),
    ({"scope": "decide"}, "invalid_scope"),
    ({"authorization_details": "[]"}, "invalid_authorization_details"),
]


def test_what_is_not_offered_is_refused_by_the_name_that_the_rfc_has_for_it(oauth, world, issuer, subtests):
    for changes, error in WRONG:
        with subtests.test(str(changes)):
            answer = send(oauth, issuer.sign(issuer.github(world.now)), **changes)
            assert (answer.status_code, answer.body["error"]) == (400, error)


def of_grant(oauth, token, details, **more):
    text = details if isinstance(details, str) else json.dumps(details)
    return send(oauth, token, "access_token", authorization_details=text, **more)


@pytest.fixture
def grant(world):
    add_site(world)
    return grant_on_site(world)


def test_a_holder_gets_the_token_of_a_grant_for_a_shorter_time(oauth, world, grant):
    mine = token_for(world.alice, world.now)
    details = {"type": "stint_grant", "grant": grant.ref}
    whole = of_grant(oauth, mine, [details]).body
    assert whole["access_token"].startswith("sgt_")
    assert whole["authorization_details"] == [details]
    assert 3500 < whole["expires_in"] <= 3600
    short = of_grant(
        oauth, mine, [{**details, "lifetime": "5m"}], resource=f"{django_settings.PUBLIC_URL}/x"
    ).body
    assert short["expires_in"] == 300
    assert oauth("introspect", mine, token=whole["access_token"]).body == {"active": False}
    told = oauth("introspect", mine, token=short["access_token"]).body
    assert (told["active"], told["sub"], told["authorization_details"]) == (True, "alice", [details])
    assert oauth("introspect", token_for(world.charlie, world.now), token=short["access_token"]).body == {
        "active": False
    }
    longer = of_grant(oauth, mine, [{**details, "lifetime": "9h"}]).body
    assert longer["expires_in"] <= 3600
    assert oauth("revoke", token=longer["access_token"]).status_code == 200
    assert oauth("introspect", mine, token=longer["access_token"]).body == {"active": False}


def test_the_resource_that_an_mcp_server_of_here_names_is_taken_also_beside_others(
    oauth, world, grant, settings
):
    settings.MCP_URL = "http://localhost:8421"
    mine, details = token_for(world.alice, world.now), [{"type": "stint_grant", "grant": grant.ref}]
    named = metadata("/mcp/desk")["resource"]
    assert named == "http://localhost:8421/mcp/desk"
    for resource in (named, settings.MCP_URL, [named, f"{settings.PUBLIC_URL}/x"]):
        assert of_grant(oauth, mine, details, resource=resource).status_code == 200
    for resource in ("http://localhost:84210/mcp/desk", "http://localhost:8421.example/", [named, "urn:x"]):
        assert of_grant(oauth, mine, details, resource=resource).body["error"] == "invalid_target"


UNFIT = [
    "",
    "no json",
    "{}",
    "[]",
    "[1]",
    '[{"type": "other", "grant": "GR-1"}]',
    '[{"grant": "GR-1"}]',
    '[{"type": "stint_grant"}]',
    '[{"type": "stint_grant", "grant": 7}]',
    '[{"type": "stint_grant", "grant": "GR-ZZZZ"}]',
    '[{"type": "stint_grant", "grant": "GR-ZZZZ", "actions": []}]',
    '[{"type": "stint_grant", "grant": "GR-ZZZZ", "lifetime": "soon"}]',
    "[" * 15_000,
    r'[{"type": "stint_grant", "grant": "\u0000"}]',
    r'[{"type": "stint_grant", "grant": "\ud800"}]',
    r'[{"type": "stint_grant", "grant": "GR-1", "jkt": "\ud800"}]',
    '[{"type": "stint_grant", "grant": "GR-1"}, {"type": "stint_grant", "grant": "GR-2"}]',
]


def test_details_that_are_not_as_they_should_be_are_refused(oauth, world, grant, subtests):
    mine = token_for(world.alice, world.now)
    for details in UNFIT:
        with subtests.test(details[:60]):
            answer = of_grant(oauth, mine, details)
            wanted = "invalid_authorization_details" if details else "invalid_request"
            assert (answer.status_code, answer.body["error"]) == (400, wanted)


def test_anothers_grant_and_one_that_is_not_there_are_one_answer(oauth, world, grant):
    details = [{"type": "stint_grant", "grant": grant.ref}]
    answers = {
        of_grant(oauth, token_for(who, world.now), details).content for who in (world.bob, world.charlie)
    }
    answers.add(
        of_grant(oauth, token_for(world.alice, world.now), [{**details[0], "grant": "GR-ZZZZ"}]).content
    )
    assert len(answers) == 1


def test_a_grant_that_is_over_or_used_without_a_token_and_a_token_that_may_not_ask_are_refused(oauth, world):
    over_ssh = world.grant()
    details = [{"type": "stint_grant", "grant": over_ssh.ref}]
    assert of_grant(oauth, token_for(world.alice, world.now), details).body["error"] == "invalid_target"
    assert (
        of_grant(oauth, token_for(world.alice, world.now, "read"), details).body["error"] == "invalid_scope"
    )
    assert of_grant(oauth, "stint_nothing", details).body["error"] == "invalid_request"


def test_a_grants_token_is_for_no_other_audience_than_its_cluster(oauth, world, grant):
    mine, details = token_for(world.alice, world.now), [{"type": "stint_grant", "grant": grant.ref}]
    for audience in ("web", ["web", "else"]):
        answer = of_grant(oauth, mine, details, audience=audience)
        assert (answer.status_code, answer.body["error"]) == (400, "invalid_target")
        assert "remove audience" in answer.body["error_description"]
