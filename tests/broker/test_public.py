"""What is answered without sign-in."""

import json

import pytest
import yaml
from django.test import Client
from jsonschema import Draft202012Validator

from tests.support.world.world import CATALOG

FOLDERS = [
    "clusters",
    "command-sets",
    "groups",
    "policies",
    "trust-policies",
    "webhook-messages",
    "webhooks",
    "workflow-sources",
]


def test_the_schemas_of_catalog_files_are_listed(db):
    index = Client().get("/schemas/").json()
    assert sorted(index) == FOLDERS
    assert index["policies"] == "http://testserver/schemas/policies.json"


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_editor_can_check_a_file_with_its_schema(db, folder):
    answer = Client().get(f"/schemas/{folder}.json")
    assert answer["Content-Type"] == "application/schema+json"
    assert answer["Access-Control-Allow-Origin"] == "*"
    schema = json.loads(answer.content)
    Draft202012Validator.check_schema(schema)
    for path, text in CATALOG.items():
        if path.startswith(folder):
            document = yaml.safe_load(text)
            assert list(Draft202012Validator(schema).iter_errors(document)) == [], path
            assert list(Draft202012Validator(schema).iter_errors({**document, "unknown": 1})), path


@pytest.mark.parametrize("path", ["/schemas/nothing.json", "/schemas/../settings.json", "/schemas/a%00.json"])
def test_there_are_no_other_schemas(db, path):
    assert Client().get(path).status_code == 404


def test_metrics_are_in_the_text_format_of_prometheus_at_any_address_and_name_nobody(world):
    world.grant()
    answer = Client().get("/metrics", HTTP_HOST="10.1.2.3:8000")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain")
    assert "alice" not in answer.content.decode()


@pytest.mark.parametrize("path", ["/schemas/", "/schemas/groups.json", "/metrics"])
def test_they_are_only_read(db, path):
    assert Client().post(path).status_code == 405
