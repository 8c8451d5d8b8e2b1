"""Endpoints without sign-in: the schemas of catalog files, for editors."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from sessions_app.operations.targets.cluster_connection import catalog_schemas
from sessions_app.policy.webhooks import message_schema


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas of catalog files by folder, and the schema of outgoing webhook messages."""
    return {**catalog_schemas(), "webhook-messages": message_schema()}


@require_safe
def schema_index(request: HttpRequest) -> HttpResponse:
    """Return the URLs of the JSON Schemas of all kinds of catalog files."""
    return JsonResponse(
        {folder: request.build_absolute_uri(reverse("schema_of", args=[folder])) for folder in schemas()}
    )


@require_safe
def schema_of(_request: HttpRequest, folder: str) -> HttpResponse:
    """Return the JSON Schema (draft 2020-12) of the files in one folder of a catalog."""
    found = schemas().get(folder)
    if found is None:
        raise Http404
    # Browser-based editors fetch the schema from other origins, which is safe because it is the same for
    # everyone.
    return JsonResponse(
        found, content_type="application/schema+json", headers={"Access-Control-Allow-Origin": "*"}
    )
