"""/webhooks"""

import pytest

from sessions_app.models import WebhookEndpoint
from sessions_app.operations.notifications.gather_webhooks import gather_webhooks
from tests.support.servers.receiver import SECRET, endpoint, webhook_file


@pytest.fixture
def hooked(world, api):
    world.apply(
        webhook_file(
            None,
            url="https://hooks.example.com/T0/key-of-the-receiver",
            owners={"identities": ["bob"]},
        )
    )
    return api


def test_owners_see_how_it_fares_and_neither_secret_nor_address(hooked):
    (row,) = hooked("bob").get("/webhooks").body["results"]
    assert (row["name"], row["host"], row["paused_at"]) == ("chat", "hooks.example.com", None)
    one = hooked("admin").get("/webhooks/chat")
    assert one.body == row
    for part in (SECRET, "key-of-the-receiver"):
        assert part not in one.content.decode()


@pytest.mark.parametrize("who", ["alice", "charlie", "robot"])
def test_to_all_others_it_is_not_there(hooked, who):
    assert hooked(who).get("/webhooks").body["results"] == []
    assert hooked(who).get("/webhooks/chat").status_code == 404
    for act in ("try", "pause", "resume", "secret", "replay"):
        answer = hooked(who).post(f"/webhooks/chat/{act}", {})
        assert answer.status_code == 404, act


def test_it_is_paused_resumed_tried_and_replayed(hooked, world):
    assert hooked("bob").post("/webhooks/chat/pause", {}).body["paused_at"]
    assert hooked("bob").post("/webhooks/chat/pause", {}).status_code == 409
    assert hooked("bob").post("/webhooks/chat/resume", {}).body["paused_at"] is None
    tried = hooked("bob").post("/webhooks/chat/try", {}).body
    assert (tried["event"], tried["state"]) == ("webhook.test", "pending")
    world.request()
    gather_webhooks(now=world.now)
    (message, test) = hooked("bob").get("/webhooks/chat/messages").body["results"]
    assert (message["event"], test["key"]) == ("request.created", tried["key"])
    again = hooked("bob").post("/webhooks/chat/replay", {"message": message["id"]})
    assert again.body == {"count": 1}
    assert hooked("bob").post("/webhooks/chat/replay", {}).status_code == 400


def test_a_new_secret_is_shown_once(hooked):
    first = hooked("bob").post("/webhooks/chat/secret", {"overlap": "1h"}, **{"Idempotency-Key": "k-1"})
    assert first.body["secret"].startswith("whsec_")
    assert first.body["both_until"]
    again = hooked("bob").post("/webhooks/chat/secret", {"overlap": "1h"}, **{"Idempotency-Key": "k-1"})
    assert again.status_code == 409
    assert first.body["secret"] not in hooked("bob").get("/webhooks/chat").content.decode()
    hooked("bob").post("/webhooks/chat/secret", {"now": True})
    assert bytes(endpoint().sealed_previous) == b""


def test_files_make_it_and_take_it_away(hooked, world):
    files = {**world.catalog, **webhook_file(None, name="other", secret=None)}
    answer = hooked("admin").post("/catalog/apply", {"files": files})
    assert [change["name"] for change in answer.body["changes"]] == ["other"]
    refused = hooked("admin").post("/catalog/apply", {"files": webhook_file(None, secret={"env": "PATH"})})
    assert refused.status_code == 400
    assert not WebhookEndpoint.objects.filter(name="chat", removed_at__isnull=False).exists()
