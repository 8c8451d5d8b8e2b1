"""What is answered without sign-in: the forms of catalogue files, for editors, and metrics."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from broker import health
from sessions_app.operations.targets.cluster_connection import catalogue_schemas
from sessions_app.policy.webhooks import message_schema


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each kind of catalogue file by its folder, and of what outgoing webhooks carry."""
    return {**catalogue_schemas(), "webhook-messages": message_schema()}


@require_safe
def schema_index(request: HttpRequest) -> HttpResponse:
    """Where the JSON Schema of each kind of catalogue file is."""
    return JsonResponse(
        {folder: request.build_absolute_uri(reverse("schema_of", args=[folder])) for folder in schemas()}
    )


@require_safe
def schema_of(_request: HttpRequest, folder: str) -> HttpResponse:
    """The JSON Schema (draft 2020-12) of the files in one folder of a catalogue."""
    found = schemas().get(folder)
    if found is None:
        raise Http404
    # Editors in browsers fetch it from other origins; it is the same for everybody.
    return JsonResponse(
        found, content_type="application/schema+json", headers={"Access-Control-Allow-Origin": "*"}
    )


@require_safe
def metrics(_request: HttpRequest) -> HttpResponse:
    """The process's metrics in the Prometheus text format."""
    return health.metrics()
