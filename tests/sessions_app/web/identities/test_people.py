"""People and machines, and who can run what."""

from __future__ import annotations

import datetime as dt

from django.contrib.auth.hashers import make_password

from accounts.models import Identity, SSHPublicKey
from accounts.operations.create_token import create_token
from sessions_app.models import AccessPolicy, Notice
from tests.sessions_app.web.test_access import PUBLIC_KEY
from tests.support.world import acts
from tests.support.world.acts import policy
from tests.support.world.factors import give_app


def listed(client, query: str = "") -> list[str]:
    return [one.username for one in client.get(f"/people/{query}").context["page"].rows]


def can(client, **query: str):
    return client.get("/who-can/", {"cluster": "web", **query}).context["answer"]


# Who sees whom


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


def test_the_navigation_leads_there_for_those_who_may_see_somebody(world, browser):
    for name, there in (("alice", True), ("bob", True), ("admin", True), ("charlie", False)):
        page = browser(name).get("/").content.decode()
        assert ('href="/people/"' in page, 'href="/who-can/"' in page) == (there, there), name


def test_the_list_is_filtered(world, browser):
    world.grant()
    admin = browser("admin")
    assert set(listed(admin, "?q=approvers")) == {"bob", "dora"}
    assert listed(admin, "?kind=agent") == ["robot"]
    assert listed(admin, "?state=holding") == ["alice"]
    Identity.objects.filter(username="dora").update(is_active=False, disabled_at=world.now)
    assert listed(admin, "?state=disabled") == ["dora"]
    assert listed(admin, "?q=&kind=x&state=y")


# One identity


def test_what_it_holds_may_ask_for_and_did_is_on_its_page(world, as_bob, now):
    grant = world.grant()
    used = acts.use(grant, now=now)
    acts.run(used, acts.session(used, now=now), "echo restart sshd", now=now)
    shown = as_bob.get("/people/alice/").context["shown"]
    assert [grant.ref for grant, _ in shown.holds] == [grant.ref]
    assert shown.endable == 1
    assert [(one.policy.name, [str(way) for way in one.ways]) for one in shown.asks] == [
        ("web-work", ["through operators"])
    ]
    assert shown.approves == []
    assert [run.line for run in shown.refused] == ["echo restart sshd"]
    assert shown.entries[0].event == "command.refused"
    page = as_bob.get("/people/alice/").content.decode()
    assert "was refused “echo restart sshd” on web-1" in page
    mine = as_bob.get("/people/bob/").context["shown"]
    assert [str(way) for one in mine.approves for way in one.ways] == ["through approvers"]


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
        page = browser(name).get("/people/robot/").content.decode()
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


def test_administrators_switch_on_the_page_and_come_back_to_it(world, browser):
    answer = browser("admin").post(f"/people/{world.alice.pk}/switch/", {"next": "/people/alice/"})
    assert answer["Location"] == "/people/alice/"
    assert not Identity.objects.get(pk=world.alice.pk).is_active


# Who can


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
    assert asking.glass_price == "immediately, up to 1 h"
    assert asking.needs == "unit = nginx"
    assert [(one.identity.username, [str(way) for way in one.ways], one.glass) for one in asking.people] == [
        ("alice", ["through operators"], True),
        ("deployer", ["through operators"], False),
        ("robot", ["through operators"], False),
    ]
    page = as_bob.get("/who-can/?cluster=web&line=echo+restart+nginx").content.decode()
    assert "through operators" in page
    assert 'href="/people/deployer/"' not in page


def test_what_nobody_can_run_says_why_and_what_comes_nearest(world, as_bob):
    answer = can(as_bob, line="echo restart sshd")
    assert (answer.now, answer.asking) == ([], [])
    assert [(miss.command_set, miss.policies, miss.nearest) for miss in answer.misses] == [
        ("restart-web", ("web-work",), "echo restart {unit}")
    ] or answer.misses[0].nearest
    assert can(as_bob, line="echo restart nginx; id").misses[0].reason


def test_what_stands_against_asking_now_is_said(world, as_bob, now):
    freeze = {
        "from": (now - dt.timedelta(days=1)).isoformat(),
        "to": (now + dt.timedelta(days=1)).isoformat(),
        "reason": "Year end",
    }
    world.apply(policy(world, freezes=[freeze]))
    assert can(as_bob, set="restart-web").asking[0].against == "frozen: Year end"


def test_it_is_for_those_who_look_into_the_cluster(world, browser):
    for name in ("alice", "charlie"):
        page = browser(name).get("/who-can/?cluster=web&line=id")
        assert page.context["answer"] is None
        assert "No clusters" in page.content.decode()
    assert can(browser("admin"), line="echo restart nginx").asking
    AccessPolicy.objects.update(removed_at=world.now)
    assert can(browser("admin"), line="echo restart nginx").asking == []


def test_nonsense_is_answered(browser):
    admin = browser("admin")
    for query in ({"cluster": "nothing"}, {"cluster": "web", "line": "'\"\\"}, {"cluster": "web", "line": "x" * 5000},
                  {"cluster": "web", "set": "no-such-set"}):  # fmt: skip
        assert admin.get("/who-can/", query).status_code == 200


def test_machines_that_nothing_lets_in_or_that_nobody_uses_are_reported(browser, world):
    import datetime as dt

    from accounts.models import APIToken, Identity
    from accounts.operations.create_token import create_token

    page = browser("admin").get("/people/?state=unused").content.decode()
    assert page.count("Can&#x27;t sign in") == 2
    assert "Robot" in page
    assert ">Alice<" not in page
    create_token(
        identity_id=world.robot.pk, label="t", scopes=["read"], lifetime=dt.timedelta(days=9), actor=world.alice,
        now=world.now,
    )  # fmt: skip
    Identity.objects.update(created_at=world.now - dt.timedelta(days=31))
    page = browser("admin").get("/people/").content.decode()
    assert (page.count("Can&#x27;t sign in"), page.count("Not used for 30 days")) == (1, 1)
    APIToken.objects.update(last_used_at=world.now)
    assert "Not used for 30 days" not in browser("admin").get("/people/").content.decode()


# Adding, and groups


def test_an_administrator_adds_a_person_who_can_sign_in_with_the_password_that_is_shown_once(world, browser):
    admin = browser("admin")
    assert 'href="/new/identity/"' in admin.get("/people/").content.decode()
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


def test_an_administrator_adds_a_machine_whose_owner_answers_for_it(world, browser):
    form = {"kind": "agent", "username": "fixer", "owner": "bob", "groups": "operators"}
    assert browser("admin").post("/new/identity/", form)["Location"] == "/people/fixer/"
    fixer = Identity.objects.get(username="fixer")
    assert (fixer.kind, fixer.owner, fixer.has_usable_password()) == ("agent", world.bob, False)


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
    page = admin.post(there, {"group": "operators", "out": "1"}).content.decode()
    assert grant.ref in page
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
    assert "/new/identity/" not in bob.get("/people/").content.decode()
    assert "Add to group</button>" not in bob.get("/people/bob/").content.decode()


# Name and address


def test_an_administrator_changes_a_name_and_an_address_on_the_page(world, browser):
    admin = browser("admin")
    assert (
        'name="email" type="email" value="alice@example.com"' in admin.get("/people/alice/").content.decode()
    )
    form = {"name": "Alice Liddell", "email": "liddell@example.com"}
    answer = admin.post("/people/alice/change/", form, follow=True)
    assert answer.redirect_chain == [("/people/alice/#change", 302)]
    page = answer.content.decode()
    assert "Alice Liddell was updated and notified." in page
    assert "changed the name, email address of alice" in admin.get("/record/").content.decode()
    for name in ("alice", "bob"):
        assert browser(name).post("/people/alice/change/", form).status_code == 404
        assert "/change/" not in browser(name).get(f"/people/{name}/").content.decode()


def test_an_address_that_somebody_has_needs_a_word_that_they_are_one_person(world, browser):
    admin = browser("admin")
    form = {"name": "Alice", "email": "bob@example.com"}
    assert "one_person" not in admin.get("/people/alice/").content.decode()
    refused = admin.post("/people/alice/change/", form)
    page = refused.content.decode()
    assert refused.status_code == 409
    assert "address is already used by bob" in page
    assert 'type="checkbox" name="one_person" value="1"' in page
    assert 'value="bob@example.com"' in page
    assert admin.post("/people/alice/change/", {**form, "one_person": "1"}).status_code == 302
    assert Identity.objects.get(username="alice").email == "bob@example.com"


def test_what_is_wrong_with_an_address_is_said_in_its_own_form(world, browser):
    answer = browser("admin").post("/people/alice/change/", {"name": "Typed <b>", "email": "nothing"})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert page.count("This is not an email address.") == 1
    assert 'value="Typed &lt;b&gt;"' in page


def test_a_machine_has_a_name_alone(world, browser):
    admin = browser("admin")
    assert 'id="c-email"' not in admin.get("/people/robot/").content.decode()
    admin.post("/people/robot/change/", {"name": "Night robot"})
    assert Identity.objects.get(username="robot").name == "Night robot"


def test_its_owner_confirms_a_changed_address_in_the_account(world, browser):
    alice = browser("alice")
    assert "it's mine" not in alice.get("/account/").content.decode()
    browser("admin").post("/people/alice/change/", {"name": "Alice", "email": "liddell@example.com"})
    page = alice.get("/account/").content.decode()
    assert "An administrator set this address. Is it yours?" in page
    assert alice.post("/account/address/", {"email": "alice@example.com"}).status_code == 409
    answer = alice.post("/account/address/", {"email": "liddell@example.com"}, follow=True)
    page = answer.content.decode()
    assert "liddell@example.com is confirmed." in page
    assert "it's mine" not in page
    assert "confirmed the email address of alice" in browser("admin").get("/record/").content.decode()


def test_administrators_see_whom_a_password_alone_lets_in_and_nobody_else_does(browser, world):
    give_app(world.bob, world.now)
    type(world.dora).objects.filter(pk=world.dora.pk).update(password=make_password(None))
    type(world.charlie).objects.filter(pk=world.charlie.pk).update(is_active=False)
    found = set(listed(browser("admin"), "?state=password"))
    assert {"alice", "admin"} <= found
    assert not found & {"bob", "dora", "charlie", "robot", "deployer"}
    assert ">Password only<" in browser("admin").get("/people/").content.decode()
    assert ">Password only<" not in browser("bob").get("/people/").content.decode()
    assert "bob" in listed(browser("bob"), "?state=password"), "what others have is not told by a filter"


def test_administrators_see_whose_mail_was_given_up_and_why_until_one_arrives(world, browser, as_bob, now):
    world.request()
    mail = Notice.objects.filter(identity=world.bob)
    mail.update(given_up_at=now, next_attempt_at=None, last_error="550 5.1.1 unknown user")
    page = browser("admin").get("/people/bob/").content.decode()
    assert "Mail to Bob isn’t being delivered." in page
    assert "550 5.1.1 unknown user" in page
    assert "unknown user" not in as_bob.get("/people/bob/").content.decode()
    world.request()
    mail.filter(given_up_at__isnull=True).update(
        mailed_at=now + dt.timedelta(seconds=1), next_attempt_at=None
    )
    assert "delivered" not in browser("admin").get("/people/bob/").content.decode()
