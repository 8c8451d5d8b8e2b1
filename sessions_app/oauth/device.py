"""The device flow (RFC 8628)."""

from __future__ import annotations

from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from accounts.addresses import address_of
from accounts.operations.redeem_device import redeem_device
from accounts.operations.start_device import INTERVAL, LIFETIME, start_device
from broker.kernel import clock
from sessions_app.oauth.forms import Form, answer, endpoint
from sessions_app.oauth.tokens import bearer


@endpoint(per_minute=30)
def device_authorization(request: HttpRequest, form: Form) -> HttpResponse:
    """Issue a device code and a user code to a program."""
    codes = start_device(
        client_id=form.need("client_id"), scopes=form.scopes, address=address_of(request), now=clock.now()
    )
    there = f"{settings.PUBLIC_URL}{reverse('device')}"
    return answer(
        {
            "device_code": codes.device_code,
            "user_code": codes.user_code,
            "verification_uri": there,
            "verification_uri_complete": f"{there}?{urlencode({'user_code': codes.user_code})}",
            "expires_in": int(LIFETIME.total_seconds()),
            "interval": INTERVAL,
        }
    )


def device_token(_request: HttpRequest, form: Form) -> HttpResponse:
    """Issue a token to the program for the person who authorized it."""
    now = clock.now()
    token, text = redeem_device(
        device_code=form.need("device_code"), client_id=form.need("client_id"), now=now
    )
    return answer(bearer(token, text, now))
