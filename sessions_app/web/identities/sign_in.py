"""Sign-in with a passkey, and the second step after a password."""

from __future__ import annotations

from typing import cast

from allauth.account.internal.flows.login import perform_login
from allauth.account.models import Login
from allauth.account.stages import LoginStageController
from allauth.account.utils import get_next_redirect_url
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts.adapter import still_signing_in
from accounts.addresses import address_of
from accounts.factors import factors_of, note_proof
from accounts.middleware import before_second_factor
from accounts.models import Identity
from accounts.passkeys import ask_to_show, possible
from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.operations.identities.prove_passkey import prove_passkey
from sessions_app.web.identities.few import few
from sessions_app.web.identities.proving import keep_asked, prove_factor, take_asked
from sessions_app.web.layout.views import FORM


@never_cache
@require_http_methods(list(FORM))
@sensitive_post_parameters()
def second_step(request: HttpRequest) -> HttpResponse:
    """Ask for a second factor after the password, or start the sign-in over.

    Only failed attempts are counted, so that people who share one office address can sign in.
    """
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
    factors = factors_of(identity)
    context = {"factors": factors, "passkeys": factors.passkeys and possible(), "error": error}
    return render(request, "identities/second_step.html", context, status=error.status if error else 200)


@before_second_factor
@never_cache
@require_POST
@few
def passkey_ask(request: HttpRequest) -> HttpResponse:
    """Return the WebAuthn options for requesting a passkey from the browser.

    The passkey must belong to the person who is signed in or at the second step of the sign-in. If there is
    no such person, any person's passkey is accepted.
    """
    stage = LoginStageController.enter(request, "mfa_authenticate")
    person = request.user if isinstance(request.user, Identity) else stage.login.user if stage else None
    asked, state = ask_to_show(person)
    keep_asked(request, "show" if person else "sign in", state)
    return JsonResponse(asked["publicKey"])


@never_cache
@require_POST
@few
def passkey(request: HttpRequest) -> HttpResponse:
    """Sign in with a passkey alone. The device verifies the user, which counts as the second factor."""
    if request.user.is_authenticated:
        return redirect("home")
    try:
        shown = prove_passkey(
            identity_id=None,
            answer=request.POST.get("passkey", ""),
            state=take_asked(request, "sign in"),
            address=address_of(request),
            now=clock.now(),
        )
    except StintError as error:
        return render(request, "identities/not_signed_in.html", {"error": error}, status=error.status)
    note_proof(request, shown.user, shown, passwordless=True)
    return cast(
        HttpResponse,
        perform_login(request, Login(user=shown.user, redirect_url=get_next_redirect_url(request))),
    )
