"""What is sent: strict JSON, and no field that is not listed."""

import pytest
from django.test import Client

from sessions_app.models import AccessRequest

ASK = {
    "cluster": "web",
    "command_set": "restart-web",
    "duration": 3600,
    "reason": "x",
    "parameters": {"unit": "nginx"},
}


def deep(levels: int) -> bytes:
    return b'{"cluster": ' + b"[" * levels + b"]" * levels + b"}"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"cluster": "web", "cluster": "db"}', "'cluster' appears twice"),
        (b'{"parameters": {"unit": "nginx", "unit": "sshd"}}', "'unit' appears twice"),
        (b'{"duration": NaN}', "not a valid JSON number"),
        (b'{"duration": 1e999}', "too large"),
        (b'{"duration": 99999999999999999999}', "64 bits"),
        (b'{"duration": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"reason": "a\\u0000b"}', "NUL"),
        (b'{"a\\u0000b": 1}', "NUL"),
        (b'{"reason": "\\ud800"}', "surrogate"),
        (deep(30), "deeper than 20"),
        (deep(100_000), "deeper than 20"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_two_readers_could_read_differently_is_refused(api, body, says):
    answer = api("alice").post("/requests", body)
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert says in answer.body["title"]


def test_a_body_that_is_too_large_is_refused(api):
    answer = api("alice").post("/requests", {"reason": "x" * 300_000})
    assert (answer.status_code, answer.body["code"]) == (413, "too_large")


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"7", b"null"])
def test_a_body_is_an_object(api, body):
    answer = api("alice").post("/requests", body)
    assert (answer.status_code, answer.body["code"]) == (400, "invalid")


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_other_media_types_are_refused_also_for_browsers(world, media_type):
    client = Client()
    client.force_login(world.alice, backend="accounts.backends.PasswordBackend")
    answer = client.generic("POST", "/api/v1/requests", "--x\r\n", content_type=media_type)
    assert answer.status_code in {400, 415}
    assert answer["Content-Type"] == "application/problem+json"


def test_a_chunked_body_is_refused(api):
    caller = api("alice")
    answer = caller.client.generic(
        "POST",
        "/api/v1/grants/GR-ZZZZ/end",
        headers={"Authorization": f"Bearer {caller.token}", "Transfer-Encoding": "chunked"},
    )
    assert answer.status_code == 411


@pytest.mark.parametrize("extra", ["state", "requester", "expires_at", "digest", "id", "__class__"])
def test_fields_that_a_request_does_not_take_are_refused_by_name(api, extra):
    answer = api("alice").post("/requests", {**ASK, extra: "x"})
    assert (answer.status_code, list(answer.body["fields"])) == (400, [extra])
    assert not AccessRequest.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"duration": 0}, "duration"),
        ({"duration": True}, "duration"),
        ({"duration": 1.5}, "duration"),
        ({"duration": "soon"}, "duration"),
        ({"duration": "9999d"}, "duration"),
        ({"starts_at": "tomorrow"}, "starts_at"),
        ({"starts_at": "2026-11-28T02:00:00"}, "starts_at"),
        ({"starts_at": "9999-12-31T23:59:59Z"}, "starts_at"),
        ({"starts_at": 7}, "starts_at"),
        ({"cluster": 7}, "cluster"),
        ({"cluster": "Web"}, "cluster"),
        ({"cluster": "web\n"}, "cluster"),
        ({"cluster": None}, "cluster"),
        ({"targets": "web-1"}, "targets"),
        ({"targets": [7]}, "targets.0"),
        ({"parameters": {"unit": 7}}, "parameters.unit"),
        ({"parameters": []}, "parameters"),
        ({"kind": "extension"}, "kind"),
        ({"kind": "delegation"}, "kind"),
        ({"reason": "x" * 5000}, "reason"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_values_are_taken_or_refused_and_never_bent(api, changes, field):
    answer = api("alice").post("/requests", {**ASK, **changes})
    assert answer.status_code == 400, answer.body
    assert field in {name.split(".0")[0] if "." not in field else name for name in answer.body["fields"]}
    assert not AccessRequest.objects.exists()


def test_a_private_key_is_not_taken_anywhere_and_the_answer_does_not_repeat_it(api, world):
    leaked = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk="
    asked, grant = world.request(), world.grant()
    verdict = {"verdict": "deny", "digest": asked.digest, "comment": leaked}
    for who, path, body in (
        ("alice", "/requests", {**ASK, "reason": leaked}),
        ("bob", f"/requests/{asked.ref}/verdicts", verdict),
        ("alice", f"/grants/{grant.ref}/end", {"note": leaked}),
        ("alice", f"/grants/{grant.ref}/extend", {"duration": "5m", "reason": leaked}),
        ("alice", "/me/ssh-keys", {"public_key": leaked}),
        ("alice", "/me/tokens", {"label": leaked, "scopes": ["read"]}),
    ):
        answer = api(who).post(path, body)
        assert (answer.status_code, answer.body["code"]) == (400, "invalid"), path
        assert "private key" in str(answer.body["fields"])
        assert "b3BlbnNz" not in answer.content.decode()
