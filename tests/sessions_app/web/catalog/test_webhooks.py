"""The pages of webhooks."""

import datetime as dt
import re

import pytest

from sessions_app.models import WebhookEndpoint, WebhookMessage
from sessions_app.operations.notifications.gather_webhooks import gather_webhooks
from tests.support.servers.receiver import endpoint, webhook_file
from tests.support.world.acts import change, events, policy
from tests.support.world.reading import answered, read, says

FILE = """
name: pager
url: https://hooks.example.com/stint
events: [grant.held]
"""


@pytest.fixture
def hooked(world):
    world.catalog |= webhook_file(None, owners={"groups": ["approvers"]})
    world.apply()
    return world


def test_a_webhook_is_made_on_its_page(browser, hooked):
    admin = browser("admin")
    looked = admin.post("/new/webhook/", {"source": FILE, "act": "look"})
    assert "+name: pager" in looked.content.decode()
    assert not WebhookEndpoint.objects.filter(name="pager").exists()
    made = admin.post("/new/webhook/", {"source": FILE, "act": "save"})
    assert made["Location"] == "/webhooks/pager/"
    assert endpoint("pager").events == ["grant.held"]


def test_what_is_wrong_stands_at_its_line(browser, hooked):
    wrong = FILE.replace("https", "ftp").replace("grant.held", "grant.hold")
    text = answered(browser("admin").post("/new/webhook/", {"source": wrong, "act": "save"}), 400)
    says(text, "must be a full URL", "unknown event grant.hold")
    inner = browser("admin").post("/new/webhook/", {"source": FILE.replace("hooks.example.com", "10.0.0.1")})
    assert "not a public address" in inner.content.decode()


def test_owners_see_what_became_of_each_message_and_send_it_again(browser, hooked):
    change(hooked, policy(hooked, notify={"webhooks": ["chat"]}))
    request = hooked.request()
    gather_webhooks(now=hooked.now)
    WebhookMessage.objects.update(
        state="failed", last_error="The receiver returned status 503.", attempts=10, next_attempt_at=None
    )
    bob = browser("bob")
    text = read(bob, "/webhooks/chat/")
    says(text, request.ref, "The receiver returned status 503.", "Failed", "web-work")
    answer = bob.post(
        "/webhooks/chat/replay/", {"message": str(WebhookMessage.objects.get().pk)}, follow=True
    )
    assert "1 message queued again." in answer.content.decode()
    assert WebhookMessage.objects.get().state == "pending"
    bob.post("/webhooks/chat/replay/", {"hours": "24"})
    assert events("chat").count("webhook.replayed") == 2


def test_a_new_secret_is_shown_in_the_answer_alone(browser, hooked):
    bob = browser("bob")
    answer = bob.post("/webhooks/chat/secret/").content.decode()
    (secret,) = set(re.findall(r"whsec_[A-Za-z0-9+/=]{20,}", answer))
    assert secret not in read(bob, "/webhooks/chat/")
    assert "also signed with the previous secret until" in answer
    at_once = bob.post("/webhooks/chat/secret/", {"at_once": "1"}).content.decode()
    assert "previous secret has been revoked" in at_once


def test_it_is_paused_resumed_tried_and_by_two_presses_removed(browser, hooked):
    bob, admin = browser("bob"), browser("admin")
    assert "is paused" in bob.post("/webhooks/chat/pause/", follow=True).content.decode()
    assert "Resume" in read(bob, "/webhooks/chat/")
    bob.post("/webhooks/chat/resume/")
    bob.post("/webhooks/chat/try/")
    assert WebhookMessage.objects.filter(event="webhook.test").exists()
    assert bob.post("/webhooks/chat/remove/").status_code == 403
    assert "not even pending ones" in admin.post("/webhooks/chat/remove/").content.decode()
    assert admin.get("/webhooks/chat/").status_code == 200
    assert admin.post("/webhooks/chat/remove/", {"confirm": "1"}).status_code == 302
    assert admin.get("/webhooks/chat/").status_code == 404


def test_the_page_follows_a_message_until_it_is_sent_and_no_longer(browser, hooked):
    bob = browser("bob")
    assert "every 1s" not in read(bob, "/webhooks/chat/")
    bob.post("/webhooks/chat/try/")
    assert 'hx-get="/webhooks/chat/" hx-trigger="every 1s' in read(bob, "/webhooks/chat/")
    in_a_while = hooked.now + dt.timedelta(minutes=5)
    WebhookMessage.objects.update(attempts=1, next_attempt_at=in_a_while)
    assert "every 1s" not in read(bob, "/webhooks/chat/")
    WebhookMessage.objects.update(state="sent", next_attempt_at=None)
    assert "every 1s" not in read(bob, "/webhooks/chat/")
