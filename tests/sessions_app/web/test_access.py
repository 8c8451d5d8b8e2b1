"""Who gets which page, and what a GET never does."""

import datetime as dt
from dataclasses import dataclass

import pytest

from accounts.models import Identity
from accounts.operations.add_ssh_key import add_ssh_key
from accounts.operations.create_token import create_token
from broker.audit.models import AuditEntry
from sessions_app.models import (
    AccessRequest,
    Approval,
    Bookmark,
    CommandOrder,
    CommandRun,
    Comment,
    Grant,
    GrantState,
    Notice,
    RunState,
    Workflow,
)
from sessions_app.operations.notifications.gather_webhooks import gather_webhooks
from sessions_app.operations.requests.save_bookmark import save_bookmark
from tests.sessions_app.web.grants.test_grants import finish
from tests.sessions_app.web.pages import (
    ACTS,
    ACTS_WITHOUT_AN_OBJECT,
    PUBLIC,
    READABLE,
    WATCHED,
    address,
)
from tests.support.servers.issuer import trust_file
from tests.support.servers.receiver import webhook_file
from tests.support.world import acts
from tests.support.world.files import earlier_listing
from tests.support.world.sources import DESK

pytestmark = pytest.mark.slow

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKzvB1fbdKgV4q8yHg7b0P3n5H5m3m7sJf4rQ0o9lqkQ alice@laptop"


@dataclass
class Things:
    """One of everything, all of alice."""

    request: object
    grant: Grant
    run: CommandRun
    recorded: CommandRun
    key: object
    token: object
    identity: Identity
    notice: Notice
    incident: Workflow
    bookmark: Bookmark
    transfer: CommandOrder

    def address(self, name: str) -> str:
        return address(name, **self.__dict__)


@pytest.fixture
def things(world, now) -> Things:
    world.apply(
        {
            **webhook_file(None, owners={"groups": ["approvers"]}),
            **trust_file(),
            "workflow-sources/desk.yaml": DESK,
        }
    )
    grant = world.grant()
    gather_webhooks(now=now)
    used = acts.use(grant, now=now)
    session = acts.session(used, now=now)
    recorded = acts.run(used, session, "echo restart nginx", now=now)
    finish(recorded.run_id, "restarted", now)
    tried = acts.run(used, session, "echo stop nginx", now=now)
    key = add_ssh_key(identity_id=world.alice.pk, public_key=PUBLIC_KEY, actor=world.alice, now=now)
    token, _ = create_token(
        identity_id=world.alice.pk,
        label="t",
        scopes=["read"],
        lifetime=dt.timedelta(days=1),
        actor=world.alice,
        now=now,
    )
    runs = (CommandRun.objects.get(pk=tried.run_id), CommandRun.objects.get(pk=recorded.run_id))
    notice = Notice.objects.create(identity=world.alice, event="x", subject="Something", path="/")
    bookmark = save_bookmark(
        identity=world.alice, page="request", name="Nightly", query="cluster=web", now=now
    )
    rest = (key, token, world.dora, notice, world.incident(), bookmark, earlier_listing(grant, now))
    return Things(world.request(), grant, *runs, *rest)


def test_a_page_answers_those_who_may_see_it_and_is_not_there_for_others(browser, things):
    for person in ("alice", "bob", "charlie", "admin"):
        client = browser(person)
        answers = {name: client.get(things.address(name)).status_code for name in READABLE}
        assert answers == {name: 200 if person in who.split() else 404 for name, who in READABLE.items()}, (
            person
        )


def test_nobody_is_sent_to_the_sign_in_page(browser, things):
    client = browser()
    for name in {*READABLE, *ACTS} - PUBLIC:
        answer = client.post(things.address(name)) if name in ACTS else client.get(things.address(name))
        assert answer.status_code == 302, name
        assert answer["Location"].startswith("/sign-in/?next=/")


def test_strangers_read_what_says_nothing_about_anybody(browser, things):
    for name in PUBLIC:
        answer = browser().get(things.address(name))
        assert answer.status_code == 200, name
        assert b'href="/sign-in/?next=/docs/' in answer.content


def test_an_act_is_no_page_so_get_and_head_are_refused_and_change_nothing(browser, things):
    before = _state()
    for person in ("alice", "bob", "admin"):
        client = browser(person)
        for name in ACTS:
            assert client.get(things.address(name)).status_code == 405, name
            assert client.head(things.address(name)).status_code == 405, name
    assert _state() == before


def test_reading_changes_nothing(browser, things):
    before = _state()
    for person in ("alice", "bob", "admin"):
        client = browser(person)
        for name in READABLE.keys() - WATCHED:
            client.get(things.address(name), {"verdict": "approve", "kill": "1", "send": "1", "allow": "1"})
            client.head(things.address(name))
            assert _state() == before, name


def test_every_act_needs_the_token_of_a_form_of_ours(browser, things):
    before = _state()
    client = browser("bob", enforce_csrf_checks=True)
    for name in {*ACTS, "request_new", "incidents"}:
        answer = client.post(things.address(name), {"verdict": "deny", "comment": "no"})
        assert answer.status_code == 403, name
        assert b"This form has expired" in answer.content
    assert _state() == before


def test_what_is_not_yours_is_not_there_for_an_act_either(as_charlie, things):
    before = _state()
    form = {"verdict": "deny", "comment": "no", "line": "echo restart nginx"}
    for name in ACTS - ACTS_WITHOUT_AN_OBJECT:
        assert as_charlie.post(things.address(name), form).status_code == 404, name
    assert _state() == before


def test_another_persons_object_and_none_at_all_get_the_same_answer(as_charlie, things):
    hidden = as_charlie.get(things.address("grant"))
    missing = as_charlie.get("/grants/GR-ZZZZ/")
    assert hidden.status_code == missing.status_code == 404
    assert hidden.content == missing.content


def test_a_disabled_person_is_signed_out_at_once(world, as_alice):
    assert as_alice.get("/").status_code == 200
    Identity.objects.filter(pk=world.alice.pk).update(is_active=False)
    assert as_alice.get("/").status_code == 302


def test_pages_are_never_kept_by_caches(as_alice, things):
    assert "no-store" in as_alice.get(things.address("grant"))["Cache-Control"]


def _state() -> tuple[object, ...]:
    return (
        AuditEntry.objects.count(),
        Approval.objects.count(),
        Comment.objects.count(),
        Bookmark.objects.count(),
        list(Workflow.objects.values_list("ref", "state")),
        Grant.objects.exclude(state=GrantState.ACTIVE).count(),
        CommandRun.objects.exclude(state=RunState.HELD).count(),
        list(Identity.objects.order_by("pk").values_list("is_active", "time_zone")),
        list(AccessRequest.objects.order_by("pk").values_list("state")),
    )
