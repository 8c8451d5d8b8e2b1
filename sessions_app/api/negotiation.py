"""Content negotiation: responses are always JSON, regardless of `Accept`, so that a 406 never hides a
problem.

RFC 9110 section 12.5.1 allows this.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class OnlyJSON(DefaultContentNegotiation):
    """Chooses the parser by content type, and always the only renderer."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[Any, str]:
        """Return the first renderer."""
        only = next(iter(renderers))
        return only, str(only.media_type)
