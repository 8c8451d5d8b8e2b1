"""The second step of a sign-in. The first, and all that is between, is allauth's."""

from __future__ import annotations

from typing import cast

from allauth.account.stages import LoginStageController
from allauth.decorators import rate_limit
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts.adapter import still_signing_in
from accounts.factors import factors_of, note_proof
from broker.kernel.errors import StintError
from sessions_app.web.doors import FORM
from sessions_app.web.proving import prove_factor


@never_cache
@require_http_methods(list(FORM))
@sensitive_post_parameters()
@rate_limit(action="login")  # type: ignore[untyped-decorator]  # allauth ships no types
def second_step(request: HttpRequest) -> HttpResponse:
    """Show a second factor after the password, or begin anew."""
    stage = LoginStageController.enter(request, "mfa_authenticate")
    if request.user.is_authenticated or stage is None:
        return redirect("home" if request.user.is_authenticated else "account_login")
    identity = stage.login.user
    if "anew" in request.POST or not still_signing_in(request, identity):
        return cast(HttpResponse, stage.abort())
    error = None
    if request.method == "POST":
        try:
            note_proof(request, identity, prove_factor(request, identity))
        except StintError as refused:
            error = refused
        else:
            return cast(HttpResponse, stage.exit())
    context = {"factors": factors_of(identity), "error": error}
    return render(request, "accounts/second_step.html", context, status=error.status if error else 200)
