"""What the frame of every page needs."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


def shell(request: HttpRequest) -> dict[str, Any]:
    """Return nothing for people who are not signed in."""
    return {}
