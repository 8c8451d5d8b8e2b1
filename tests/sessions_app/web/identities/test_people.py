"""People and machines, and who can run what."""

import datetime as dt

from django.contrib.auth.hashers import make_password

from accounts.models import Identity, SSHPublicKey
from accounts.operations.create_token import create_token
from sessions_app.models import AccessPolicy
from tests.sessions_app.web.test_access import PUBLIC_KEY
from tests.support.world.factors import give_app
from tests.support.world.reading import answered, read, says


def listed(client, query: str = "") -> list[str]:
    return [one.username for one in client.get(f"/people/{query}").context["page"].rows]


def can(client, **query: str):
    return client.get("/who-can/", {"cluster": "web", **query}).context["answer"]


def test_everybody_sees_themselves_their_machines_and_whose_access_they_look_into(world, browser):
    assert set(listed(browser("alice"))) == {"alice", "robot", "deployer"}
    assert listed(browser("charlie")) == ["charlie"]
    assert listed(browser("bob")) == ["bob"]
    world.request()
    assert set(listed(browser("bob"))) == {"alice", "bob"}
    assert len(listed(browser("admin"))) == Identity.objects.count()


def test_the_page_of_another_is_there_for_whom_they_see_and_for_nobody_else(world, browser):
    world.grant()
    answers = {
        (who, whom): browser(who).get(f"/people/{whom}/").status_code
        for who in ("alice", "bob", "charlie", "admin")
        for whom in ("alice", "robot", "dora", "nobody")
    }
    seen = {
        ("alice", "alice"),
        ("alice", "robot"),
        ("bob", "alice"),
        ("admin", "alice"),
        ("admin", "robot"),
        ("admin", "dora"),
    }
    assert answers == {pair: 200 if pair in seen else 404 for pair in answers}


def test_the_list_is_filtered(world, browser):
    world.grant()
    admin = browser("admin")
    assert set(listed(admin, "?q=approvers")) == {"bob", "dora"}
    assert listed(admin, "?kind=agent") == ["robot"]
    assert listed(admin, "?state=holding") == ["alice"]
    Identity.objects.filter(username="dora").update(is_active=False, disabled_at=world.now)
    assert listed(admin, "?state=disabled") == ["dora"]
    assert listed(admin, "?q=&kind=x&state=y")


def test_keys_and_tokens_are_for_itself_its_owner_and_administrators_and_never_secrets(world, browser, now):
    world.request(world.robot)
    browser("alice").post("/account/keys/", {"public_key": PUBLIC_KEY, "identity": world.robot.pk})
    token, text = create_token(
        identity_id=world.robot.pk,
        label="ci",
        scopes=["read"],
        lifetime=dt.timedelta(days=1),
        actor=world.alice,
        now=now,
    )
    fingerprint = SSHPublicKey.objects.get().fingerprint
    for name, shown in (("alice", True), ("admin", True), ("bob", False)):
        page = read(browser(name), "/people/robot/")
        assert (fingerprint in page, token.hint in page) == (shown, shown), name
        assert text not in page
        assert token.digest not in page


def test_an_approver_ends_all_that_somebody_holds(world, as_bob, as_charlie):
    grant = world.grant()
    assert as_charlie.post("/people/alice/end/").status_code == 404
    page = as_bob.post("/people/alice/end/", {"note": "Lost laptop"}, follow=True).content.decode()
    assert "Ended 1 grant of Alice" in page
    grant.refresh_from_db()
    assert (grant.state, grant.ended_by, grant.end_note) == ("revoking", world.bob, "Lost laptop")


def test_who_holds_a_grant_that_allows_it_can_run_it_now(world, as_bob):
    grant = world.grant()
    answer = can(as_bob, line="echo restart nginx", target="web-1")
    assert [(one.grant.ref, one.hold) for one in answer.now] == [(grant.ref, False)]
    assert can(as_bob, line="echo restart haproxy").now == []
    assert [one.hold for one in can(as_bob, line="echo stop nginx").now] == [True]
    assert can(as_bob, line="echo restart nginx", target="web-9").now == []
    assert [one.grant.ref for one in can(as_bob, set="restart-web").now] == [grant.ref]
    Identity.objects.filter(pk=world.alice.pk).update(is_active=False)
    assert can(as_bob, line="echo restart nginx").now == []


def test_who_may_ask_is_named_with_the_way_and_the_price(world, as_bob):
    (asking,) = can(as_bob, line="echo restart nginx").asking
    assert (asking.policy.name, asking.command_set, asking.price) == (
        "web-work",
        "restart-web",
        "1 approval, up to 4 h",
    )
    assert (asking.glass_price, asking.needs) == ("immediately, up to 1 h", "unit = nginx")
    assert [(one.identity.username, [str(way) for way in one.ways], one.glass) for one in asking.people] == [
        ("alice", ["through operators"], True),
        ("deployer", ["through operators"], False),
        ("robot", ["through operators"], False),
    ]
    page = read(as_bob, "/who-can/?cluster=web&line=echo+restart+nginx")
    assert "through operators" in page
    assert 'href="/people/deployer/"' not in page


def test_it_is_for_those_who_look_into_the_cluster(world, browser):
    for name in ("alice", "charlie"):
        page = browser(name).get("/who-can/?cluster=web&line=id")
        assert page.context["answer"] is None
        assert "No clusters" in page.content.decode()
    assert can(browser("admin"), line="echo restart nginx").asking
    AccessPolicy.objects.update(removed_at=world.now)
    assert can(browser("admin"), line="echo restart nginx").asking == []


def test_an_administrator_adds_a_person_who_can_sign_in_with_the_password_that_is_shown_once(world, browser):
    admin = browser("admin")
    assert 'href="/new/identity/"' in read(admin, "/people/")
    form = {
        "kind": "person",
        "username": "erin",
        "name": "Erin",
        "email": "erin@example.com",
        "groups": "on-call",
    }
    answer = admin.post("/new/identity/", form)
    erin = Identity.objects.get(username="erin")
    assert (erin.email, erin.name, list(erin.groups.values_list("name", flat=True))) == (
        "erin@example.com",
        "Erin",
        ["on-call"],
    )
    assert erin.check_password(answer.context["password"])
    assert answer.context["password"] in answer.content.decode()


def test_what_is_wrong_stands_in_the_form_with_what_was_typed(world, browser):
    admin = browser("admin")
    for wrong, said in (
        ({"username": "fixer", "kind": "service"}, "A machine needs an owner."),
        (
            {"username": "fixer", "kind": "service", "owner": "robot"},
            "Enter the username of an enabled person.",
        ),
        (
            {"username": "fixer", "kind": "person", "email": "f@example.com", "owner": "bob"},
            "A person has no owner.",
        ),
        ({"username": "fixer", "kind": "ghost"}, "Choose person, service or agent."),
        (
            {"username": "fixer", "kind": "person", "email": "f@example.com", "groups": "On Call!"},
            "a valid group name",
        ),
        ({"username": "fixer", "kind": "person", "email": "nowhere"}, "valid email"),
        ({"username": "alice", "kind": "person", "email": "f@example.com"}, "alice is taken."),
        ({"username": "fixer", "kind": "person"}, "A person needs an email address."),
    ):
        answer = admin.post("/new/identity/", {"name": "Fixer of things", **wrong})
        assert answer.status_code in (400, 409), wrong
        assert said in answer.content.decode()
        assert 'value="Fixer of things"' in answer.content.decode()
    assert not Identity.objects.filter(username="fixer").exists()


def test_somebody_is_put_into_a_group_and_taken_out_once_it_is_said_what_ends(world, browser):
    admin = browser("admin")
    there = "/people/alice/groups/"
    admin.post(there, {"group": "night watch"})
    assert world.alice.groups.filter(name="night-watch").exists()
    grant = world.grant()
    assert grant.ref in admin.post(there, {"group": "operators", "out": "1"}).content.decode()
    assert world.alice.groups.filter(name="operators").exists()
    admin.post(there, {"group": "operators", "out": "1", "act": "save", "told": grant.ref})
    grant.refresh_from_db()
    assert not world.alice.groups.filter(name="operators").exists()
    assert grant.end_reason
    wrong = admin.post(there, {"group": "No!"})
    assert (wrong.status_code, "a valid group name" in wrong.content.decode()) == (400, True)


def test_nobody_else_adds_anybody_or_changes_a_group(world, browser):
    bob = browser("bob")
    assert bob.get("/new/identity/").status_code == 404
    assert bob.post("/people/bob/groups/", {"group": "operators"}).status_code == 404
    assert "/new/identity/" not in read(bob, "/people/")
    assert "Add to group</button>" not in read(bob, "/people/bob/")


def test_an_administrator_changes_a_name_and_an_address_on_the_page(world, browser):
    admin = browser("admin")
    assert 'name="email" type="email" value="alice@example.com"' in read(admin, "/people/alice/")
    form = {"name": "Alice Liddell", "email": "liddell@example.com"}
    answer = admin.post("/people/alice/change/", form, follow=True)
    assert answer.redirect_chain == [("/people/alice/#change", 302)]
    assert "Alice Liddell was updated and notified." in answer.content.decode()
    assert "changed the name, email address of " in read(admin, "/record/")
    for name in ("alice", "bob"):
        assert browser(name).post("/people/alice/change/", form).status_code == 404
        assert "/change/" not in read(browser(name), f"/people/{name}/")


def test_an_address_that_somebody_has_needs_a_word_that_they_are_one_person(world, browser):
    admin = browser("admin")
    form = {"name": "Alice", "email": "bob@example.com"}
    assert "one_person" not in read(admin, "/people/alice/")
    page = answered(admin.post("/people/alice/change/", form), 409)
    says(page, "address is already used by bob", 'type="checkbox" name="one_person" value="1"')
    assert 'value="bob@example.com"' in page
    assert admin.post("/people/alice/change/", {**form, "one_person": "1"}).status_code == 302
    assert Identity.objects.get(username="alice").email == "bob@example.com"


def test_its_owner_confirms_a_changed_address_in_the_account(world, browser):
    alice = browser("alice")
    assert "it's mine" not in read(alice, "/account/")
    browser("admin").post("/people/alice/change/", {"name": "Alice", "email": "liddell@example.com"})
    assert "An administrator set this address. Is it yours?" in read(alice, "/account/")
    assert alice.post("/account/address/", {"email": "alice@example.com"}).status_code == 409
    answer = alice.post("/account/address/", {"email": "liddell@example.com"}, follow=True)
    page = answer.content.decode()
    assert "liddell@example.com is confirmed." in page
    assert "it's mine" not in page
    assert "confirmed the email address of alice" in read(browser("admin"), "/record/")


def test_administrators_see_whom_a_password_alone_lets_in_and_nobody_else_does(browser, world):
    give_app(world.bob, world.now)
    type(world.dora).objects.filter(pk=world.dora.pk).update(password=make_password(None))
    type(world.charlie).objects.filter(pk=world.charlie.pk).update(is_active=False)
    found = set(listed(browser("admin"), "?state=password"))
    assert {"alice", "admin"} <= found
    assert not found & {"bob", "dora", "charlie", "robot", "deployer"}
    assert ">Password only<" in read(browser("admin"), "/people/")
    assert ">Password only<" not in read(browser("bob"), "/people/")
    assert "bob" in listed(browser("bob"), "?state=password"), "what others have is not told by a filter"


def test_what_nobody_can_run_says_why_and_what_comes_nearest(world, as_bob):
    answer = can(as_bob, line="echo restart sshd")
    (miss,) = answer.misses
    assert (answer.now, answer.asking, miss.command_set, miss.policies) == (
        [],
        [],
        "restart-web",
        ("web-work",),
    )
    assert miss.nearest
    assert can(as_bob, line="echo restart nginx; id").misses[0].reason
