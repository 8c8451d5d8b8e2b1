"""Mailing a notice."""

from __future__ import annotations

import re

import pytest
from django.core import mail

from sessions_app.models import Notice
from sessions_app.operations.send_notice import MOST_ATTEMPTS, send_notice
from tests.support.acts import after, at_once


@pytest.fixture
def notice(world) -> Notice:
    world.request()
    return Notice.objects.get(identity=world.bob)


def test_a_notice_is_mailed_once_with_its_link(world, notice, settings):
    for _ in range(2):
        send_notice(notice_id=notice.pk, now=world.now)
    (message,) = mail.outbox
    assert message.to == ["Bob <bob@example.com>"] or message.to == ["bob@example.com"]
    assert settings.PUBLIC_URL + notice.path in message.body
    notice.refresh_from_db()
    assert (notice.mailed_at, notice.next_attempt_at, notice.attempts) == (world.now, None, 1)


def test_both_bodies_say_the_same_with_one_link_and_no_secret(world, settings):
    world.request(reason="Certificates <b>expire</b>", ticket="CHG-7")
    notice = Notice.objects.get(identity=world.bob)
    send_notice(notice_id=notice.pk, now=world.now)
    (message,) = mail.outbox
    ((page, kind),) = message.alternatives
    assert (message.subject, kind) == ("Stint: Alice asks to run restart-web on web", "text/html")
    for line in ("For: 1 h", "Start: as soon as it is approved", "Targets: web-1, web-2", "Ticket: CHG-7"):
        assert line in message.body
        assert line in page
    assert "Reason: Certificates <b>expire</b>" in message.body
    assert "Certificates &lt;b&gt;expire" in page
    link = settings.PUBLIC_URL + notice.path
    assert re.findall(r"https?://[^\s\"<]+", page) == [link] == re.findall(r"https?://\S+", message.body)
    assert re.findall(r"<(?:script|img|form|style)", page) == []


def test_without_an_address_it_is_only_in_the_page(world, notice):
    type(world.bob).objects.filter(pk=world.bob.pk).update(email="")
    send_notice(notice_id=notice.pk, now=world.now)
    assert mail.outbox == []
    notice.refresh_from_db()
    assert notice.next_attempt_at is None


def test_a_server_that_does_not_answer_is_asked_again_later_and_not_for_ever(world, notice, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", 9, 1
    now = world.now
    send_notice(notice_id=notice.pk, now=now)
    notice.refresh_from_db()
    assert (notice.attempts, notice.mailed_at) == (1, None)
    assert notice.next_attempt_at == after(world, seconds=60)
    send_notice(notice_id=notice.pk, now=after(world, seconds=59))
    notice.refresh_from_db()
    assert notice.attempts == 1
    for _ in range(MOST_ATTEMPTS - 1):
        notice.refresh_from_db()
        send_notice(notice_id=notice.pk, now=notice.next_attempt_at)
    notice.refresh_from_db()
    assert (notice.attempts, notice.next_attempt_at, notice.mailed_at) == (MOST_ATTEMPTS, None, None)


def test_words_from_people_can_not_add_headers_to_a_mail(world):
    Notice.objects.all().delete()
    world.request(reason="ok\nBcc: mallory@example.com\n\n<script>alert(1)</script>")
    notice = Notice.objects.get(identity=world.bob)
    Notice.objects.filter(pk=notice.pk).update(subject="Hello\nBcc: mallory@example.com")
    send_notice(notice_id=notice.pk, now=world.now)
    for message in mail.outbox:
        assert "Bcc" not in dict(message.message().items())
        assert message.recipients() == ["bob@example.com"] or "mallory" not in str(message.recipients())
        assert "\n" not in message.subject
        assert all("<script>" not in str(body) for body, kind in message.alternatives if kind == "text/html")


def test_a_message_about_a_notice_that_is_not_there_does_nothing(world):
    send_notice(notice_id=0, now=world.now)
    assert mail.outbox == []


def test_sent_by_two_at_once_it_is_mailed_once(live_world):
    live_world.request()
    notice = Notice.objects.get(identity=live_world.bob)
    mail.outbox = []
    at_once(*[lambda: send_notice(notice_id=notice.pk, now=live_world.now)] * 3)
    notice.refresh_from_db()
    assert notice.attempts == 1
