"""A page costs as many queries with many rows as with few, whatever it lists and whatever is around what it
shows.
"""

import datetime as dt
from collections.abc import Iterator

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.operations.create_identity import create_identity
from accounts.operations.create_token import create_token
from broker.kernel import clock
from sessions_app.models import (
    Bookmark,
    Comment,
    InboundDelivery,
    Notice,
    WebhookEndpoint,
    WebhookMessage,
    Workflow,
    WorkflowSource,
)
from tests.sessions_app.operations.sessions.test_try_call import acting
from tests.sessions_app.web.grants.test_grants import finish
from tests.sessions_app.web.pages import READABLE, STATES
from tests.sessions_app.web.test_access import things  # noqa: F401  # the fixture: one of everything that a page can be about
from tests.support.breadth import some
from tests.support.servers.issuer import trust_file
from tests.support.servers.receiver import webhook_file
from tests.support.world import acts
from tests.support.world.factors import just_signed_in
from tests.support.world.mcp_site import add_desk, grant_unseen, mail_files
from tests.support.world.sources import DESK
from tests.support.world.world import SETUP

# The most statements of any page in any state, and of the main pages for who shows most of them, with what
# signs in, opens and closes the snapshot (5 of them), and says what every page says (1).
MOST = 37
MAIN = {
    "alice": {
        "home": 27,
        "more": 6,
        "search": 6,
        "palette": 5,
        "notices": 9,
        "requests": 9,
        "request": 16,
        "request_new": 19,
        "grants": 10,
        "grant": 25,
        "grant_transfer": 11,
        "timeline": 15,
        "incident": 25,
        "workflows": 10,
        "account": 13,
    },
    "bob": {
        "home": 17,
        "approvals": 15,
        "approval": 20,
        "who_can": 10,
        "cluster": 15,
        "command_set": 11,
        "policy": 9,
        "record": 18,
        "recordings": 9,
    },
    "admin": {
        "home": 23,
        "people": 8,
        "person": 27,
        "incidents": 13,
        "webhooks": 8,
        "sources": 7,
        "trust_policies": 7,
        "permissions": 12,
        "insight": 15,
    },
}


def count(client, url: str) -> int:
    # The clock asks the database every few seconds; not within the count.
    clock.sync()
    # What is kept of queries is bounded, over all pages.
    connection.queries_log.clear()
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200, url
    return len(captured)


def counts(world, pages) -> dict[tuple[str, str], int]:
    """The queries of each page for a person who has just proven who they are: on a slow machine that is soon
    long ago.
    """
    return {
        (person, url): count(just_signed_in(client, getattr(world, person)), url)
        for client, person, url in pages
    }


def pages_of(about) -> Iterator[tuple[str, str]]:
    """Who looks at which address: all pages of the list, in all states that need nothing but a
    query string.
    """
    for turn, (name, readers) in enumerate(READABLE.items()):
        plain = about.address(name)
        for person in some(readers.split(), turn):
            yield person, plain
            yield from ((person, f"{plain}?{query}") for query in STATES.get(name, []) if "{" not in query)


def grow(world, now, about, round_: int, many: int) -> None:
    """Add so many of everything, to what pages list and around what a page is about."""
    used = acts.use(about.grant, now=now)
    for number in range(many):
        session = acts.session(used, now=now)
        finish(acts.run(used, session, "echo restart nginx", now=now).run_id, "ok", now)
        for line in ("echo restart nginx", "echo stop nginx", "echo restart sshd"):
            acts.run(used, session, line, now=now)
        world.request(reason=f"Request {number}")
        world.request(world.deployer, reason=f"Request {number}")
        world.decide(world.request(), verdict="deny", comment="No")
        world.grant(parameters={"unit": "haproxy"})
        acts.session(acts.use(world.grant(who=world.robot), now=now), now=now)
        world.request(kind="break_glass", reason="Down")
        world.respond(world.incident())
        Comment.objects.create(request=about.request, author=world.bob, text="Why?")
        for who in (world.alice, world.bob, world.admin, world.charlie):
            Notice.objects.create(identity=who, event="request.created", subject="Asked", path="/")
            for page in ("request", "record"):
                Bookmark.objects.create(identity=who, page=page, name=f"{round_} {number}", query="")
        for who in (world.robot, world.alice):
            create_token(
                identity_id=who.pk,
                label="t",
                scopes=["read"],
                lifetime=dt.timedelta(days=1),
                actor=world.alice,
                now=now,
            )
        person = create_identity(
            username=f"eve-{round_}-{number}",
            email=f"eve-{round_}-{number}@example.com",
            groups=["operators", "approvers"],
            actor=SETUP,
            now=now,
        )
        create_identity(
            username=f"bot-{round_}-{number}", kind="agent", owner=world.alice, actor=SETUP, now=now
        )
        world.request(person)
        incident = Workflow.objects.create(
            kind="incident", ref=f"INC-{round_}{number}", title="Down", severity="P1"
        )
        incident.clusters.set([about.grant.cluster])
        workflow = [
            incident,
            about.incident,
            *(world.workflow(kind) for kind in ("change", "ticket", "task")),
        ]
        for one in workflow:
            one.members.add(person)
        WebhookMessage.objects.create(
            endpoint=WebhookEndpoint.objects.get(name="chat"),
            key=f"{round_} {number}",
            event="webhook.test",
            payload="{}",
        )
        desk = WorkflowSource.objects.get(name="desk")
        InboundDelivery.objects.create(source=desk, key=f"{round_} {number}", hints=[{"id": "T1"}])
        kept = Workflow.objects.create(
            kind="ticket",
            ref=f"desk:{round_}-{number}",
            title="A refund",
            source=desk,
            provider=desk.provider,
            outside_id=f"{round_}-{number}",
        )
        kept.clusters.set([about.grant.cluster])


def widen(world, round_: int, many: int) -> None:
    """Add clusters, targets, command sets and versions of them, and policies over all of them; and webhooks,
    sources and trust policies.
    """
    cluster, restart, policy = (
        world.catalog[name]
        for name in ("clusters/web.yaml", "command-sets/restart-web.yaml", "policies/web-work.yaml")
    )
    files, clusters, sets = {}, ["web"], ["restart-web"]
    for number in range(many):
        clusters.append(f"web-{round_}-{number}")
        sets.append(f"set-{round_}-{number}")
        files[f"clusters/{clusters[-1]}.yaml"] = cluster.replace("name: web\n", f"name: {clusters[-1]}\n")
        files[f"command-sets/{sets[-1]}.yaml"] = restart.replace("name: restart-web", f"name: {sets[-1]}")
    wide = policy.replace("[web]", f"[{', '.join(clusters)}]").replace(
        "[restart-web]", f"[{', '.join(sets)}]"
    )
    files["policies/web-work.yaml"] = wide
    (trust,) = trust_file().values()
    for number in range(many):
        own = f"of-{round_}-{number}"
        files |= webhook_file(None, name=own, owners={"groups": ["approvers"]})
        files[f"workflow-sources/{own}.yaml"] = DESK.replace("name: desk", f"name: {own}")
        files[f"trust-policies/{own}.yaml"] = trust.replace("name: payments-deploy", f"name: {own}")
        name = f"policy-{round_}-{number}"
        files[f"policies/{name}.yaml"] = wide.replace("name: web-work", f"name: {name}")
    world.apply(files)


@pytest.mark.parametrize("who", MAIN)
def test_the_main_pages_take_as_many_statements_as_is_known(browser, things, who):  # noqa: F811
    client = browser(who)
    found = {}
    for name in MAIN[who]:
        client.get(things.address(name))
        found[name] = count(client, things.address(name))
    assert found == MAIN[who]


def test_held_calls_cost_the_same_however_many_wait(world, browser):
    add_desk(world, 9000, mail_files())
    grant = grant_unseen(world, command_set="desk-mail", parameters={})
    call, bob = acting(grant, world), browser("bob")
    pages, found = ("/", f"/grants/{grant.ref}/"), []
    for people in (("eve", "carol"), ("mallory", "peggy", "trent")):
        for person in people:
            call("send_mail", {"to": f"{person}@shop", "text": "hi"})
        [bob.get(page) for page in pages]
        found.append([count(bob, page) for page in pages])
    assert found[0] == found[1]


@pytest.mark.slow
def test_every_page_costs_the_same_for_any_number_of_rows(world, browser, now, things):  # noqa: F811
    clients = {name: browser(name) for name in ("alice", "bob", "charlie", "admin")}
    pages = [(clients[person], person, url) for person, url in pages_of(things)]
    grow(world, now, things, 1, 2)
    widen(world, 1, 1)
    for client, _, url in pages:
        # What a process keeps once it has asked for it is not within the count.
        client.get(url)
    before = counts(world, pages)
    grow(world, now, things, 2, 4)
    widen(world, 2, 3)
    after = counts(world, pages)
    more = {page: (before[page], after[page]) for page in after if after[page] > before[page]}
    assert more == {}
    print("MAX", max(after.values()))
    assert max(after.values()) <= MOST, max(after, key=lambda page: after[page])
