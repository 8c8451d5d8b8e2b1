"""All other URLs."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request

from broker.kernel.errors import NotFound
from sessions_app.api.endpoint import Endpoint


class Nowhere(Endpoint):
    """An unknown URL: every authenticated caller gets a 404, for any method."""

    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound("Endpoint not found.", hint="See /api/docs/ for all endpoints.")
