"""People decide, not accounts: whoever has two of them has one say, at every entry point."""

import io

import pytest
from django.core.management import call_command
from django.test import Client

from accounts.models import Identity
from accounts.operations.create_identity import create_identity
from sessions_app.models import AccessRequest, Approval, Grant, Notice, RequestState
from sessions_app.operations.catalog.save_document import save_document
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.grants.stop_grant import stop_grant
from sessions_app.operations.requests.decide_request import MayNotDecide
from sessions_app.operations.requests.remind_request import remind_request
from sessions_app.operations.requests.request_access import RequestRefused
from sessions_app.operations.requests.review_break_glass import review_break_glass
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.queries.requests import deciders
from sessions_app.queries.requests.facts import policy_document
from sessions_app.web.layout.reader import standing_of
from tests.sessions_app.api.conftest import Caller, token_for
from tests.support.world.acts import change, fresh, last, policy, run, session, undo, use
from tests.support.world.world import SETUP

TWO = [{"count": 2, "from": ["approvers"]}]
FOUR = "name: approvers\nmembers: [alice2, bob, bob2, dora]\n"
ONE_PERSON = "name: approvers\nmembers: [bob, bob2]\n"


def account(world, username: str, email: str) -> Identity:
    return create_identity(username=username, name=username.title(), email=email, actor=SETUP, now=world.now)


@pytest.fixture
def twins(world):
    """Alice and Bob have a second account each, all of them approvers; two approvals are needed."""
    world.alice2 = account(world, "alice2", "Alice@example.com")
    world.bob2 = account(world, "bob2", "BOB@example.com")
    change(world, {"groups/approvers.yaml": FOUR, **policy(world, approvals=TWO)})
    return world


def test_the_second_verdict_of_one_person_is_refused_with_the_reason(twins):
    asked = twins.request()
    twins.decide(asked)
    for verdict in ("approve", "deny"):
        with pytest.raises(MayNotDecide, match="You have already decided the request as bob"):
            twins.decide(asked, twins.bob2, verdict, comment="No.")
    assert (fresh(asked).state, Approval.objects.count()) == (RequestState.PENDING, 1)
    assert twins.decide(asked, twins.dora).state == RequestState.APPROVED


def test_a_verdict_of_a_disabled_account_is_none_so_that_its_person_decides_by_another(twins):
    asked = twins.request()
    twins.decide(asked, twins.bob2)
    Identity.objects.filter(pk=twins.bob2.pk).update(is_active=False)
    assert deciders.may_not_decide(asked, twins.bob) == ""
    twins.decide(asked)
    Identity.objects.filter(pk=twins.bob2.pk).update(is_active=True)
    twins.decide(asked, twins.dora)
    assert Grant.objects.get().state == "scheduled"


def test_nobody_decides_what_their_other_account_asks_for(twins):
    with pytest.raises(MayNotDecide, match="same person"):
        twins.decide(twins.request(), twins.alice2)


def test_what_one_s_other_account_asked_for_is_not_listed_as_decidable(twins):
    own, others = twins.request(), twins.request(twins.robot)
    for who, expected in ((twins.alice2, []), (twins.bob, [own.ref, others.ref])):
        caller = Caller(who, token_for(who, twins.now))
        listed = caller.get("/requests?decidable=true").body["results"]
        assert sorted(row["ref"] for row in listed) == sorted(expected)
        client = Client()
        client.force_login(who, backend="accounts.backends.PasswordBackend")
        shown = client.get("/approvals/").context["needs"]
        assert sorted(card.request.ref for card in shown.requests) == sorted(expected)
        assert sum(standing_of(who, twins.now).waiting) == len(expected)
    twins.decide(own)
    assert [one.ref for one in deciders.requests_for(twins.bob2, twins.now)] == [others.ref]


def test_a_request_that_only_one_person_could_approve_twice_is_refused_at_once(twins):
    change(twins, {"groups/approvers.yaml": ONE_PERSON})
    with pytest.raises(
        RequestRefused, match="Needs 2 approvals from approvers, but only 1 other person is available"
    ):
        twins.request()


def test_verdicts_of_accounts_that_became_one_person_are_one(twins):
    Identity.objects.filter(pk=twins.bob2.pk).update(email="other@example.com")
    twins.bob2.refresh_from_db()
    asked = twins.request()
    twins.decide(asked)
    grant = Grant.objects.get(request=twins.decide(asked, twins.bob2))
    Identity.objects.filter(pk=twins.bob2.pk).update(email="bob@example.com")
    ended = provision_grant(grant_id=grant.pk, now=twins.now)
    assert (ended.state, ended.end_note) == ("ended", "The grant's approvals are no longer valid.")


def names(people: list[Identity]) -> list[str]:
    return [one.username for one in people]


def told(event: str, since: int = 0) -> list[str]:
    found = Notice.objects.filter(event=event, pk__gt=since).order_by("identity__username")
    return list(found.values_list("identity__username", flat=True))


def test_approvers_are_shown_told_and_reminded_a_person_each(twins):
    asked = twins.request()
    assert names(deciders.deciders_of(asked)) == ["bob", "dora"]
    assert told("request.created") == ["bob", "dora"]
    remind_request(request_id=asked.pk, actor=twins.alice, now=twins.now)
    assert last("request.reminded").data["notified"] == ["bob", "dora"]
    twins.decide(asked, twins.bob2)
    assert names(deciders.deciders_of(asked)) == ["dora"]
    caller = Caller(twins.bob, token_for(twins.bob, twins.now))
    (needed,) = caller.get(f"/requests/{asked.ref}").body["needed"]
    assert (needed["missing"], needed["approvers"]) == (1, ["bob", "dora"])


def test_a_held_command_is_told_to_a_person_once_and_allowed_by_no_other_account_of_its_holder(twins):
    asked = twins.request()
    twins.decide(asked)
    grant = Grant.objects.get(request=twins.decide(asked, twins.dora))
    grant = provision_grant(grant_id=grant.pk, now=twins.now)
    used = use(grant, now=twins.now)
    tried = run(used, session(used, now=twins.now), "echo stop nginx", now=twins.now)
    assert told("command.held") == ["bob", "dora"]
    assert deciders.may_not_decide_in(grant, twins.bob2) == ""
    with pytest.raises(MayNotDecide, match="same person"):
        decide_hold(run_id=tried.run_id, actor=twins.alice2, allow=True, now=twins.now)


def test_a_review_is_asked_of_each_person_once_and_of_no_account_of_the_holder(twins):
    broken = Grant.objects.get(request=twins.request(kind="break_glass"))
    assert told("breakglass.started") == ["bob", "dora"]
    before = Notice.objects.latest("pk").pk
    provision_grant(grant_id=broken.pk, now=twins.now)
    broken = stop_grant(grant_id=broken.pk, actor=twins.alice, now=twins.now)
    undo(broken, now=twins.now)
    assert told("breakglass.started", before) == ["bob", "dora"]
    assert not deciders.reviews_for(twins.alice2).exists()
    with pytest.raises(MayNotDecide):
        review_break_glass(grant_id=broken.pk, reviewer=twins.alice2, note="Fine.", now=twins.now)


WARNING = (
    "policies/web-work: no request could be approved: each needs 2 approvals from approvers, but only 1"
    " person is available; bob and bob2 are one person"
)


def test_a_policy_that_different_people_can_not_meet_says_so_when_it_is_published(twins, tmp_path):
    files = {"groups/approvers.yaml": ONE_PERSON, **policy(twins, approvals=TWO, summary="Told")}
    for name, text in {**twins.catalog, **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    out = io.StringIO()
    call_command("apply", str(tmp_path), stdout=out)
    assert WARNING in out.getvalue()
    plan = save_document(
        kind="policies",
        source=files["policies/web-work.yaml"],
        actor=twins.admin,
        now=twins.now,
        plan_only=True,
    )
    assert plan.warnings == [WARNING]


def test_accounts_without_an_address_decide_nothing_since_they_could_be_anybodys(twins):
    asked = twins.request()
    Identity.objects.filter(username__in=("bob2", "dora")).update(email="")
    for name in ("bob2", "dora"):
        said = deciders.may_not_decide(asked, Identity.objects.get(username=name))
        assert said.startswith("Your account has no email address")
        assert not deciders.requests_for(Identity.objects.get(username=name), twins.now)
    assert [one.username for one in deciders.deciders_of(asked)] == ["bob"]
    with pytest.raises(RequestRefused, match="only 1 other person is available"):
        twins.request()
    Identity.objects.filter(username="alice2").update(email="")
    never = deciders.why_never_met(policy_document(asked.policy))
    assert never.endswith("; alice2, bob2, dora: without an email address, no approval counts")


def test_for_a_requester_without_an_address_nobody_is_another_person(world):
    asked, grant = world.request(), world.grant()
    Identity.objects.filter(pk=world.alice.pk).update(email="")
    asked = AccessRequest.objects.select_related("requester").get(pk=asked.pk)
    assert "account of Alice has no email address" in deciders.may_not_decide(asked, world.bob)
    assert not deciders.requests_for(world.bob, world.now)
    assert deciders.deciders_of(asked) == deciders.deciders_in(Grant.objects.get(pk=grant.pk)) == []
    for who, whose in ((world.alice, "Your account"), (world.robot, "The account of your owner")):
        with pytest.raises(RequestRefused, match=f"{whose} has no email address.*administrator"):
            world.request(who=Identity.objects.get(pk=who.pk))
