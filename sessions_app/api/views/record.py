"""The record."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from broker.audit.queries import entries
from sessions_app.api.endpoint import Endpoint
from sessions_app.api.filters import OfRecord
from sessions_app.api.schema import described, paged
from sessions_app.api.shapes.record import EntryShape
from sessions_app.queries.record.entries import newest_visible


class Record(Endpoint):
    """The entries that the caller may see."""

    @described(paged(EntryShape), query=OfRecord)
    def get(self, request: Request) -> Response:
        """List the entries about what you can see and about your own actions, newest first; all entries for
        administrators.
        """
        query = self.query(OfRecord)
        wanted: dict[str, Any] = {name: query.get(name) for name in ("actor", "event", "since", "until")}
        found = entries(object_ref=query.get("object"), **wanted)
        page = newest_visible(found, self.identity, before=query.get("cursor"), size=query["page_size"])
        return self.rows(page.rows, EntryShape, page.before)
