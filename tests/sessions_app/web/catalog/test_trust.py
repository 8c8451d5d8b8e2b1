"""The pages of trust policies."""

import datetime as dt

import pytest
import yaml

from accounts.models import APIToken
from sessions_app.models import Grant, TrustPolicy
from sessions_app.operations.identities.exchange_token import exchange_token
from sessions_app.operations.identities.prove_token import keyring
from tests.support.servers.issuer import issuer_on_loopback, trust_file
from tests.support.world.acts import change, policy
from tests.support.world.reading import answered, read, says


@pytest.fixture
def issuer(settings, world):
    settings.ISSUER_NETWORKS = ["127.0.0.0/8"]
    keyring.cache_clear()
    with issuer_on_loopback() as running:
        change(world, {"trust-policies/payments-deploy.yaml": yaml.safe_dump(running.document())})
        yield running
    keyring.cache_clear()


def test_one_is_made_and_changed_on_its_page_and_a_fault_has_its_line(browser, world):
    (source,) = trust_file().values()
    admin = browser("admin")
    assert "repository_id or project_id" in answered(
        admin.post(
            "/new/trust-policy/", {"source": source.replace("repository_id: ", "project: "), "act": "save"}
        ),
        400,
    )
    assert (
        admin.post("/new/trust-policy/", {"source": source, "act": "save"})["Location"] == "/trust-policies/"
    )
    there = "/trust-policies/payments-deploy/"
    assert (
        admin.post(there, {"source": source.replace("deployer", "robot"), "act": "save"}).status_code == 302
    )
    assert TrustPolicy.objects.get().identity == world.robot
    assert "payments-deploy" in read(browser("alice"), "/trust-policies/")
    assert "payments-deploy" not in read(browser("bob"), "/trust-policies/")


def test_a_token_is_held_against_each_condition_without_issuing_or_keeping_anything(browser, world, issuer):
    token = issuer.sign(issuer.github(world.now, environment="staging"))
    page = browser("admin").post("/trust-policies/payments-deploy/try/", {"token": token}).content.decode()
    assert page.count(">No</span>") == 1
    assert "environment is production" in page
    assert token not in page
    assert not APIToken.objects.exists()
    odd = browser("admin").post("/trust-policies/payments-deploy/try/", {"token": "nonsense"})
    assert "a signed token: " in odd.content.decode()


def test_one_is_removed_by_two_presses_and_then_lets_nobody_in(browser, world, issuer):
    exchange_token(subject_token=issuer.sign(issuer.github(world.now)), address="192.0.2.9", now=world.now)
    admin = browser("admin")
    page = admin.post("/trust-policies/payments-deploy/remove/").content.decode()
    assert "1 API token issued under it is revoked immediately" in page
    assert TrustPolicy.objects.live().exists()
    assert not APIToken.objects.filter(revoked_at__isnull=False).exists()
    gone = admin.post("/trust-policies/payments-deploy/remove/", {"confirm": "1"})
    assert gone.status_code == 302
    assert APIToken.objects.get().revoked_at
    assert not TrustPolicy.objects.live().exists()


def test_a_holder_hands_a_grant_on_and_each_page_shows_the_chain(browser, world):
    terms = {"delegation": {"to": {"identities": ["charlie"]}}, "heartbeat": "30s"}
    change(world, policy(world, **terms))
    grant = world.grant()
    says(read(browser("alice"), f"/grants/{grant.ref}/"), "Delegate</button>", "unless the holder sends one")
    assert "Delegate</button>" not in read(browser("bob"), f"/grants/{grant.ref}/")
    done = browser("alice").post(f"/grants/{grant.ref}/delegate/", {"identity": "charlie", "duration": "10m"})
    assert done.status_code == 302
    child = Grant.objects.get(parent=grant)
    assert child.expires_at - child.starts_at == dt.timedelta(minutes=10)
    assert child.ref in read(browser("alice"), f"/grants/{grant.ref}/")
    assert grant.ref in read(browser("charlie"), f"/grants/{child.ref}/")
    assert "does not allow delegation" in answered(
        browser("alice").post(f"/grants/{grant.ref}/delegate/", {"identity": "dora"}), 422
    )
    request = browser("bob").get(f"/requests/{child.request.ref}/")
    assert request.status_code == 200
