"""Sign-in with a password or through the identity provider, and confirming an identity through the
provider.
"""

from __future__ import annotations

import dataclasses
from typing import Any
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from allauth.account.views import LoginView
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.addresses import address_of
from accounts.factors import note_provider
from accounts.passkeys import possible
from broker.kernel import clock
from broker.kernel.errors import InvalidInput, StintError
from sessions_app.issuers.provider import Asked
from sessions_app.operations.identities.begin_provider_sign_in import begin_provider_sign_in
from sessions_app.operations.identities.prove_by_provider import prove_by_provider
from sessions_app.operations.identities.sign_in_by_provider import Answer, sign_in_by_provider
from sessions_app.web.identities.few import few
from sessions_app.web.identities.proving import ask_again
from sessions_app.web.layout.views import ACT, page, who

# The sign-ins that this browser started, kept in its session: one for each of a few tabs, none older than
# `LONGEST` seconds.
KEPT = "provider_sign_ins"
MOST_KEPT = 3
LONGEST = 600


@method_decorator(few, name="post")
class SignIn(LoginView):  # type: ignore[misc]  # allauth ships no types
    """The sign-in page. If people sign in through the provider, the page links to the password form for
    administrators.
    """

    template_name = "identities/sign_in.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the available sign-in methods."""
        asked = self.request.method == "POST" or "password" in self.request.GET
        context = super().get_context_data(**kwargs)
        after = context.get("redirect_field_value")
        then = f"&{urlencode({context['redirect_field_name']: after})}" if after else ""
        return {
            **context,
            "password_url": f"{reverse('account_login')}?password{then}",
            "provider": settings.OIDC_NAME,
            "only_administrators": not settings.PASSWORD_SIGN_IN,
            "with_password": settings.PASSWORD_SIGN_IN or asked,
            "passkeys": possible(),
        }


@require_POST
@never_cache
@few
def begin(request: HttpRequest) -> HttpResponse:
    """Send a browser to the identity provider.

    An intermediate page redirects, because the content security policy (`form-action 'self'`) doesn't let a
    form redirect to another site.
    """
    there = _own(request, request.POST.get("next", ""))
    if request.user.is_authenticated:
        return HttpResponseRedirect(there)
    try:
        return _to_provider(request, there)
    except StintError as error:
        return _refused(request, error)


@page(ACT)
@few
def confirm(request: HttpRequest) -> HttpResponse:
    """Send a signed-in person to the provider, which authenticates them again."""
    there = _own(request, request.POST.get("next", ""))
    try:
        return _to_provider(request, there, confirms=who(request).pk)
    except StintError as error:
        return ask_again(request, after=there, status=error.status, error=error)


def _to_provider(request: HttpRequest, there: str, confirms: int | None = None) -> HttpResponse:
    """Redirect to the provider, which later returns the browser to ``there``. ``confirms`` is the id of the
    identity to confirm; None for a sign-in.

    Raises NotFound, ProviderDoesNotAnswer.
    """
    address, asked = begin_provider_sign_in(confirms=confirms is not None)
    began = {"next": there, "confirms": confirms, "at": clock.now().timestamp()}
    kept = {**_kept(request), asked.state: {**dataclasses.asdict(asked), **began}}
    request.session[KEPT] = dict(list(kept.items())[-MOST_KEPT:])
    return render(request, "identities/to_provider.html", {"there": address, "provider": settings.OIDC_NAME})


@require_GET
@never_cache
@few
def answer(request: HttpRequest) -> HttpResponse:
    """Accept the provider's response once. Sign in the person whom it identifies, or store that the signed-in
    person confirmed their identity.

    The protocol requires a GET. The state in the browser's session takes the place of a form's CSRF token.
    """
    began = _kept(request).get(request.GET.get("state", ""))
    if began is None:
        return _refused(request, _Elsewhere())
    request.session[KEPT] = {state: one for state, one in _kept(request).items() if state != began["state"]}
    brought: dict[str, Any] = {
        "answer": Answer(
            asked=Asked(*(began[one.name] for one in dataclasses.fields(Asked))),
            code=request.GET.get("code", ""),
            answered_by=request.GET.get("iss"),
            error=request.GET.get("error"),
        ),
        "address": address_of(request),
        "now": clock.now(),
    }
    if began["confirms"] is not None:
        return _confirmed(request, began, brought)
    if request.user.is_authenticated:
        return HttpResponseRedirect(began["next"])
    try:
        found = sign_in_by_provider(**brought)
    except StintError as error:
        return _refused(request, error)
    instead: HttpResponse | None = get_adapter(request).login_by_provider(
        request, found.person, issuer=settings.OIDC_ISSUER, proven_at=found.proven_at
    )
    return instead or HttpResponseRedirect(began["next"])


def _confirmed(request: HttpRequest, began: dict[str, Any], brought: dict[str, Any]) -> HttpResponse:
    if request.user.pk != began["confirms"]:
        return _refused(request, _Elsewhere())
    me = who(request)
    try:
        at = prove_by_provider(identity_id=me.pk, **brought)
    except StintError as error:
        return ask_again(request, after=began["next"], status=error.status, error=error)
    note_provider(request, me, issuer=settings.OIDC_ISSUER, proven_at=at, reauthenticated=True)
    messages.success(request, f"Confirmed with {settings.OIDC_NAME}.")
    return HttpResponseRedirect(began["next"])


class _Elsewhere(InvalidInput):
    """The sign-in was not started in this browser. Start the sign-in again."""

    code = "not_begun_here"

    def __init__(self) -> None:
        super().__init__(
            "This sign-in was started in another browser, has already been used, or is too old.",
            hint="Sign in again. Your browser must accept cookies from Stint.",
        )


def _kept(request: HttpRequest) -> dict[str, Any]:
    """Return the unexpired sign-ins that this session started."""
    oldest = clock.now().timestamp() - LONGEST
    return {state: one for state, one in request.session.get(KEPT, {}).items() if one["at"] > oldest}


def _own(request: HttpRequest, wanted: str) -> str:
    """Return the given address if it is on this site, otherwise the start page."""
    fit = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if fit else settings.LOGIN_REDIRECT_URL


def _refused(request: HttpRequest, error: StintError) -> HttpResponse:
    return render(request, "identities/not_signed_in.html", {"error": error}, status=error.status)
