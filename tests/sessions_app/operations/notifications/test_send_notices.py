"""Mailing notices."""

import re

import pytest
from django.core import mail

from broker.audit.events import Event
from sessions_app.models import AccessRequest, Notice
from sessions_app.operations.notifications.notify import notify
from sessions_app.operations.notifications.send_notices import CLAIM, MOST_ATTEMPTS, mail_is_due, send_notices
from tests.support.servers.mail_server import mail_server
from tests.support.world.acts import after, at_once, events, fresh


def tell(world, times: int) -> None:
    """Tell Bob and Dora so many things."""
    for number in range(times):
        notify(
            people=[world.bob, world.dora],
            event=Event.GRANT_ENDED,
            subject=f"{number}",
            body="",
            path="/",
            now=world.now,
        )


def alone(notice: Notice) -> Notice:
    """The only one that is to be mailed."""
    Notice.objects.exclude(pk=notice.pk).update(next_attempt_at=None)
    return notice


@pytest.fixture
def notice(world) -> Notice:
    """Bob's, the only one that is to be mailed."""
    world.request()
    return alone(Notice.objects.get(identity=world.bob))


def test_a_notice_is_mailed_once_with_its_link(world, notice, settings):
    for _ in range(2):
        send_notices(now=lambda: world.now)
    (message,) = mail.outbox
    assert message.to == ["Bob <bob@example.com>"] or message.to == ["bob@example.com"]
    assert settings.PUBLIC_URL + notice.path in message.body
    assert (fresh(notice).mailed_at, notice.next_attempt_at, notice.attempts) == (world.now, None, 1)


def test_both_bodies_say_the_same_with_one_link_and_no_secret(world, settings):
    world.grant(who=world.deployer)
    world.request(reason="Certificates <b>expire</b>", ticket="CHG-7")
    notice = alone(Notice.objects.filter(identity=world.bob).latest("pk"))
    send_notices(now=lambda: world.now)
    (message,) = mail.outbox
    ((page, kind),) = message.alternatives
    subject = f"[Stint] {AccessRequest.objects.latest('pk').ref}: Alice requests restart-web on web as root"
    assert (message.subject, kind) == (subject, "text/html")
    for line in (
        "Requester: Alice",
        "Account: root",
        "Commands: echo stop nginx (destructive); echo restart nginx",
        "Risk: medium, 1 destructive command",
        "Environment: Production, 2 targets: web-1, web-2",
        "For: 1 h",
        "Start: as soon as it is approved",
        "Ticket: CHG-7",
        "Overlaps: 1 other holder on web at that time",
        "Expires: ",
    ):
        assert line in message.body
        assert line in page
    assert "Reason: Certificates <b>expire</b>" in message.body
    assert "Certificates &lt;b&gt;expire" in page
    link = settings.PUBLIC_URL + notice.path
    assert re.findall(r"https?://[^\s\"<]+", page) == [link] == re.findall(r"https?://\S+", message.body)
    assert re.findall(r"<(?:script|img|form|style)", page) == []


def test_without_an_address_it_is_only_in_the_page(world, notice):
    type(world.bob).objects.filter(pk=world.bob.pk).update(email="")
    send_notices(now=lambda: world.now)
    assert mail.outbox == []
    assert fresh(notice).next_attempt_at is None


def test_without_a_mail_server_it_is_dropped_and_the_log_has_its_reference_but_no_names_or_links(
    world, settings, caplog
):
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    caplog.set_level("INFO")
    asked = world.request()
    send_notices(now=lambda: world.now)
    assert not Notice.objects.to_mail().exists()
    lines = [record.msg for record in caplog.records if "mail.dropped" in str(record.msg)]
    assert {line["about"] for line in lines} == {asked.ref}
    assert not re.search("Bob|bob@|Alice|http|/", str([line | {"timestamp": ""} for line in lines]))


@pytest.fixture
def no_server(settings) -> None:
    """Nobody listens at port 9."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", 9, 1


def test_a_server_that_does_not_answer_is_asked_again_later_and_not_for_ever(world, notice, no_server):
    send_notices(now=lambda: world.now)
    assert (fresh(notice).attempts, notice.mailed_at) == (1, None)
    assert notice.next_attempt_at == after(world, seconds=60)
    assert "can't be reached" in notice.last_error
    send_notices(now=lambda: after(world, seconds=59))
    assert fresh(notice).attempts == 1
    for _ in range(MOST_ATTEMPTS - 1):
        notice.refresh_from_db()
        send_notices(now=lambda: notice.next_attempt_at)
    assert (fresh(notice).attempts, notice.next_attempt_at, notice.mailed_at) == (MOST_ATTEMPTS, None, None)
    assert notice.given_up_at is not None


def test_a_server_that_can_not_be_reached_is_asked_for_one_notice_and_not_for_each_that_is_due(
    world, no_server
):
    tell(world, 15)
    due = Notice.objects.filter(next_attempt_at__lte=world.now)
    count = due.count()
    assert send_notices(now=lambda: world.now) == 0
    assert list(Notice.objects.filter(attempts__gt=0).values_list("attempts", flat=True)) == [1]
    assert due.count() == count - 1


IMPOSSIBLE = (
    "bob",
    "bob@",
    "@example.com",
    "bob@exam ple.com",
    "bob@example.com\nBcc: x@example.com",
    "böb@example.com",
    "x" * 70 + "@" + "y" * 70 + ".example",
)


@pytest.mark.parametrize("address", IMPOSSIBLE)
def test_an_impossible_address_is_given_up_at_once_and_administrators_are_told(
    world, notice, settings, address
):
    type(world.bob).objects.filter(pk=world.bob.pk).update(email=address)
    with mail_server(settings) as server:
        server.refuses = {address: "553 5.1.3 no such address syntax", "": "553 no"}
        send_notices(now=lambda: world.now)
        assert (fresh(notice).mailed_at, notice.next_attempt_at, notice.given_up_at) == (
            None,
            None,
            world.now,
        )
        assert notice.last_error
        told = Notice.objects.get(identity=world.admin, event="identity.mail_failed")
        assert (told.subject, told.path) == ("Mail to Bob could not be delivered", "/people/bob/")
        assert notice.last_error in told.body
        assert events("bob")[-1] == "identity.mail_failed"
        assert not any("x@example.com" in each or "bob@" in each for each in server.took)


def test_administrators_are_told_once_a_day_of_a_person_who_can_not_be_mailed_to(world, settings):
    tell(world, 5)
    with mail_server(settings) as server:
        server.refuses = {
            person.email: "550 5.1.1 unknown" for person in (world.bob, world.dora, world.admin)
        }
        type(world.admin).objects.filter(pk=world.admin.pk).update(email="admin@example.com")
        server.refuses["admin@example.com"] = "550 5.1.1 unknown"
        for _ in range(3):
            send_notices(now=lambda: world.now)
    told = Notice.objects.filter(event="identity.mail_failed", identity=world.admin)
    # Of themselves as well: that they can't be mailed to is in the page alone.
    assert sorted(told.values_list("path", flat=True)) == ["/people/admin/", "/people/bob/", "/people/dora/"]
    assert not mail_is_due(now=after(world, days=9))


def test_an_address_that_is_refused_for_now_is_tried_again(world, notice, settings):
    with mail_server(settings) as server:
        server.refuses = {"bob@example.com": "450 4.2.1 mailbox busy"}
        send_notices(now=lambda: world.now)
        assert (fresh(notice).given_up_at, notice.next_attempt_at) == (None, after(world, seconds=60))
        assert "450 4.2.1 mailbox busy" in notice.last_error
        server.refuses = {}
        send_notices(now=lambda: after(world, seconds=60))
        assert fresh(notice).mailed_at == after(world, seconds=60)


def test_a_sender_that_the_server_refuses_gives_up_nobodys_notice(world, notice, settings):
    """It is the set-up that is wrong: every mail would be refused."""
    with mail_server(settings) as server:
        server.sender = "550 5.7.1 not one of ours"
        send_notices(now=lambda: world.now)
        assert not Notice.objects.filter(given_up_at__isnull=False).exists()
        assert Notice.objects.filter(last_error__contains="not one of ours").count() == 1


def test_what_each_process_died_over_is_given_up(world, notice):
    Notice.objects.filter(pk=notice.pk).update(attempts=MOST_ATTEMPTS)
    send_notices(now=lambda: world.now)
    assert (fresh(notice).given_up_at, notice.next_attempt_at) == (world.now, None)
    assert [message.to for message in mail.outbox] == [["admin@example.com"]], "the administrator is told"


def test_words_from_people_can_not_add_headers_to_a_mail(world):
    Notice.objects.all().delete()
    world.request(reason="ok\nBcc: mallory@example.com\n\n<script>alert(1)</script>")
    notice = Notice.objects.get(identity=world.bob)
    Notice.objects.filter(pk=notice.pk).update(subject="Hello\nBcc: mallory@example.com")
    send_notices(now=lambda: world.now)
    for message in mail.outbox:
        assert "Bcc" not in dict(message.message().items())
        assert message.recipients() == ["bob@example.com"] or "mallory" not in str(message.recipients())
        assert "\n" not in message.subject
        assert all("<script>" not in str(body) for body, kind in message.alternatives if kind == "text/html")


def test_sent_by_several_at_once_each_is_mailed_once(live_world, settings):
    tell(live_world, 15)
    count = Notice.objects.count()
    with mail_server(settings) as server:
        mailed = at_once(*[lambda: send_notices(now=lambda: live_world.now)] * 3)
        assert sum(mailed) == len(server.took) == count
    assert set(Notice.objects.values_list("attempts", flat=True)) == {1}


def test_what_a_process_had_when_it_died_is_taken_over(world, notice):
    """A claim lapses by itself."""
    Notice.objects.update(next_attempt_at=world.now + CLAIM)
    assert send_notices(now=lambda: world.now) == 0
    assert send_notices(now=lambda: world.now + CLAIM) == Notice.objects.count()
