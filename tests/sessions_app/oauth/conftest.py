"""A caller of the OAuth endpoints."""

import json
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pytest
from django.test import Client


@dataclass
class OAuth:
    """Sends forms, and gives answers back with their JSON read."""

    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def __call__(self, path: str, bearer: str = "", /, **form: str | list[str]):
        return self.raw(path, urlencode(form, doseq=True), bearer)

    def raw(self, path: str, body: str, token: str = "", kind: str = "application/x-www-form-urlencoded"):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        response = self.client.post(f"/oauth/{path}", body, content_type=kind, headers=headers)
        response.body = json.loads(response.content) if response.content else None
        return response


@pytest.fixture
def oauth(world):
    return OAuth()
