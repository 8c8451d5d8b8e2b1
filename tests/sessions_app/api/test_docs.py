"""The description, for programs and for people."""

import datetime as dt
import html
import json
import re

import pytest
from django.test import Client
from jsonschema import Draft202012Validator

from broker.kernel import clock
from sessions_app.api import schema
from tests.support.servers.receiver import webhook_file


@pytest.fixture
def described(db) -> dict:
    answer = Client().get("/api/schema/")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/vnd.oai.openapi+json")
    return answer.json()


def operations(described: dict):
    for path, methods in described["paths"].items():
        for method, said in methods.items():
            yield path, method, said


def test_it_is_openapi_3_1_and_the_generator_has_nothing_to_complain_of(described, capsys):
    from drf_spectacular.drainage import GENERATOR_STATS

    assert described["openapi"] == "3.1.0"
    GENERATOR_STATS.reset()
    schema._generated.__wrapped__()
    assert (dict(GENERATOR_STATS._warn_cache), dict(GENERATOR_STATS._error_cache)) == ({}, {})


def test_every_operation_says_what_it_does_and_all_that_it_can_answer(described):
    for path, method, said in operations(described):
        codes = set(said["responses"])
        assert said["description"].endswith((".", "person.")), path
        assert {"401", "403", "429", "default"} <= codes, path
        assert codes & {"200", "201", "204"}, path
        if "{" in path:
            assert "404" in codes, path
        if method != "get":
            assert {"400", "409", "422"} <= codes, path
        if method == "post":
            assert "Idempotency-Key" in {parameter["name"] for parameter in said["parameters"]}, path
        for code, answer in said["responses"].items():
            if code not in {"200", "201", "204"}:
                (media_type,) = answer["content"]
                assert media_type == "application/problem+json", (path, code)


def test_examples_of_bodies_fit_their_schema(described):
    checked = 0
    for path, _, said in operations(described):
        content = said.get("requestBody", {}).get("content", {}).get("application/json", {})
        document = {**content.get("schema", {}), "components": described["components"]}
        for example in content.get("examples", {}).values():
            assert list(Draft202012Validator(document).iter_errors(example["value"])) == [], path
            checked += 1
    assert checked >= 10


def test_times_in_examples_are_accepted_whenever_they_are_read(described, api, world, monkeypatch):
    world.apply(webhook_file(None))
    later = world.now + dt.timedelta(days=60)
    monkeypatch.setattr(clock, "now", lambda: later)
    paths = api().client.get("/api/schema/").json()["paths"]

    def examples(path: str) -> list[dict]:
        content = paths[f"/api/v1{path}"]["post"]["requestBody"]["content"]["application/json"]
        return [example["value"] for example in content["examples"].values()]

    change = examples("/workflows")[1]
    (replay,) = examples("/webhooks/{name}/replay")
    assert api("alice").post("/workflows", change).status_code == 201
    assert api("admin").post("/webhooks/chat/replay", replay).status_code == 200
    page = html.unescape(api().client.get("/api/docs/").content.decode())
    assert json.dumps(replay, indent=2) in page


def test_the_page_shows_each_operation_and_shape_without_script_from_elsewhere(described):
    answer = Client().get("/api/docs/")
    text = answer.content.decode()
    assert answer.status_code == 200
    for path, method, said in operations(described):
        assert f"{method.upper()} {path}" in text
        assert f'id="{said["operationId"]}"' in text
    targets = set(re.findall(r'href="#([^"]+)"', text))
    assert targets <= set(re.findall(r'id="([^"]+)"', text))
    assert re.findall(r"<script(?![^>]*src=)", text) == []
    assert re.findall(r' on\w+="|style="', text) == []
    assert all(url.startswith(("/", "#")) for url in re.findall(r'(?:src|href)="([^"]+)"', text))
    policy = answer["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy
