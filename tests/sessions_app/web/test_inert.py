"""Markup in anything that is stored is shown as text."""

import pytest

pytestmark = pytest.mark.slow

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7|add:7 }}"


def test_markup_that_is_sent_back_is_inert(world, as_alice, as_bob):
    world.apply()
    request = world.request()
    answers = [
        as_bob.post(f"/approvals/{request.ref}/decide/", {"digest": "x", "verdict": "deny", "comment": EVIL}),
        as_alice.post("/incidents/", {"title": EVIL, "severity": EVIL, "cluster": [EVIL]}),
        as_alice.post(f"/requests/{request.ref}/comment/", {"text": EVIL * 50}),
        as_alice.post("/requests/new/", {"save": "1", "bookmark": EVIL * 5, "reason": EVIL}),
        as_alice.post("/account/keys/", {"public_key": EVIL, "label": EVIL}),
        as_alice.post("/account/time-zone/", {"time_zone": EVIL}),
        as_alice.post(
            "/requests/preview/", {"cluster": EVIL, "command_set": EVIL, "duration": EVIL, "reason": EVIL}
        ),
        as_alice.post(
            "/requests/new/",
            {"cluster": EVIL, "command_set": EVIL, "duration": EVIL, "reason": EVIL, "send": "1"},
        ),
        as_alice.post(
            "/command-sets/restart-web/try/", {"line": EVIL, "version": "1"}, headers={"HX-Request": "true"}
        ),
    ]
    for answer in answers:
        assert "<script>alert" not in answer.content.decode()
        assert "<img" not in answer.content.decode()
