"""URL path converters, so that invalid text never reaches the database."""

from __future__ import annotations

from typing import Any

from django.urls import register_converter

from accounts.names import USERNAME
from sessions_app.api.fields import whole
from sessions_app.policy import references

DESCRIBED: dict[str, dict[str, Any]] = {
    "api_id": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
    "api_name": {"type": "string", "pattern": whole(references.NAME), "examples": ["restart-web"]},
    "api_user": {"type": "string", "pattern": whole(USERNAME), "examples": ["alice"]},
    "api_request": {"type": "string", "pattern": whole(references.REQUEST), "examples": ["REQ-1042"]},
    "api_workflow": {
        "type": "string",
        "pattern": whole(references.WORKFLOW),
        "examples": ["INC-101", "pagerduty:Q1ABC"],
    },
    "api_grant": {"type": "string", "pattern": whole(references.GRANT), "examples": ["GR-7F3K"]},
}


class _Text:
    regex = ""

    def to_python(self, value: str) -> Any:
        return value

    def to_url(self, value: object) -> str:
        return str(value)


class _Number(_Text):
    regex = "[0-9]{1,18}"

    def to_python(self, value: str) -> int:
        return int(value)


def register() -> None:
    """Register the converters with Django's `path`."""
    register_converter(_Number, "api_id")
    for name, schema in DESCRIBED.items():
        if "pattern" in schema:
            register_converter(type(name, (_Text,), {"regex": schema["pattern"].strip("^$")}), name)
