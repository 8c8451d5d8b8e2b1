"""Signing in: with a password, or by the company's identity provider."""

from __future__ import annotations

import dataclasses
from typing import Any
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from allauth.account.views import LoginView
from allauth.decorators import rate_limit
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.addresses import address_of
from accounts.passkeys import possible
from broker.kernel import clock
from broker.kernel.errors import InvalidInput, StintError
from sessions_app.issuers.provider import Asked
from sessions_app.operations.identities.begin_provider_sign_in import begin_provider_sign_in
from sessions_app.operations.identities.sign_in_by_provider import sign_in_by_provider

# What a browser's session keeps of the sign-ins that it began: those of a few tabs, for as long as one may take.
KEPT = "provider_sign_ins"
MOST_KEPT = 3
LONGEST = 600


class SignIn(LoginView):  # type: ignore[misc]  # allauth ships no types
    """The sign-in page. Where people come by the provider, the form for a password is one link away, for administrators."""

    template_name = "identities/sign_in.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add what can be chosen."""
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
@rate_limit(action="login")  # type: ignore[untyped-decorator]  # allauth ships no types
def begin(request: HttpRequest) -> HttpResponse:
    """Send a browser to the provider.

    By a page that goes on at once, because browsers let no form lead to another site, and `form-action 'self'` stays.
    """
    there = _own(request, request.POST.get("next", ""))
    if request.user.is_authenticated:
        return HttpResponseRedirect(there)
    try:
        address, asked = begin_provider_sign_in()
    except StintError as error:
        return _refused(request, error)
    kept = {
        **_kept(request),
        asked.state: {**dataclasses.asdict(asked), "next": there, "at": clock.now().timestamp()},
    }
    request.session[KEPT] = dict(list(kept.items())[-MOST_KEPT:])
    return render(request, "identities/to_provider.html", {"there": address, "provider": settings.OIDC_NAME})


@require_GET
@never_cache
@rate_limit(action="login", limit_get=True)  # type: ignore[untyped-decorator]  # allauth ships no types
def answer(request: HttpRequest) -> HttpResponse:
    """Take what a browser brings back, once, and sign in whom it proves.

    The protocol has it come by GET; what was kept in this browser's session is what a form's token is elsewhere.
    """
    began = _kept(request).get(request.GET.get("state", ""))
    if began is None:
        return _refused(request, _Elsewhere())
    request.session[KEPT] = {state: one for state, one in _kept(request).items() if state != began["state"]}
    if request.user.is_authenticated:
        return HttpResponseRedirect(began["next"])
    try:
        person = sign_in_by_provider(
            code=request.GET.get("code", ""), answered_by=request.GET.get("iss"), error=request.GET.get("error"),
            asked=Asked(*(began[one.name] for one in dataclasses.fields(Asked))), address=address_of(request),
            now=clock.now(),
        )  # fmt: skip
    except StintError as error:
        return _refused(request, error)
    instead: HttpResponse | None = get_adapter(request).login_by_provider(
        request, person, settings.OIDC_ISSUER
    )
    return instead or HttpResponseRedirect(began["next"])


class _Elsewhere(InvalidInput):
    """An answer that nobody in this browser waits for."""

    code = "not_begun_here"

    def __init__(self) -> None:
        super().__init__(
            "This sign-in was begun in another browser, was used already, or is too old.",
            hint="Sign in once more. Your browser must accept cookies from Stint.",
        )


def _kept(request: HttpRequest) -> dict[str, Any]:
    """Return the sign-ins that the session began and that are not too old."""
    oldest = clock.now().timestamp() - LONGEST
    return {state: one for state, one in request.session.get(KEPT, {}).items() if one["at"] > oldest}


def _own(request: HttpRequest, wanted: str) -> str:
    """Return a page of ours to go to: the wanted one, else the first."""
    fit = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if fit else settings.LOGIN_REDIRECT_URL


def _refused(request: HttpRequest, error: StintError) -> HttpResponse:
    return render(request, "identities/not_signed_in.html", {"error": error}, status=error.status)
