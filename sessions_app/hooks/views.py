"""The endpoint to which workflow sources deliver webhooks."""

from __future__ import annotations

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from broker.kernel import clock
from broker.kernel.errors import StintError
from broker.kernel.problems import CONTENT_TYPE, from_error
from sessions_app.operations.workflows.receive_delivery import receive_delivery
from sessions_app.workflows.base import MAX_DELIVERY


@csrf_exempt
@require_POST
def receive(request: HttpRequest, source: str) -> HttpResponse:
    """Accept a webhook delivery.

    The delivery is authenticated only by its signature over the raw bytes, without a session or cookie.
    """
    try:
        headers = {name.lower(): value for name, value in request.headers.items()}
        receive_delivery(source=source, headers=headers, body=_body(request), now=clock.now())
    except StintError as error:
        return JsonResponse(from_error(error), status=error.status, content_type=CONTENT_TYPE)
    return JsonResponse({"received": True})


def _body(request: HttpRequest) -> bytes | None:
    """Return the body; None, without reading it, if it is too large."""
    length = request.headers.get("Content-Length", "0")
    if not length.isdecimal() or len(length) > 12 or int(length) > MAX_DELIVERY:
        return None
    try:
        return request.body
    except RequestDataTooBig:
        return None
