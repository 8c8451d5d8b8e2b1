"""Views for the reader's second factors."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters

from accounts.factors import SECOND_FACTOR, factors_of, note_proof, offer_secret, offered_secret, said
from accounts.middleware import before_second_factor
from accounts.passkeys import ask_to_add, possible
from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.operations.identities.add_passkey import add_passkey
from sessions_app.operations.identities.add_totp import add_totp
from sessions_app.operations.identities.remove_factor import own_factor, remove_factor
from sessions_app.operations.identities.renew_codes import renew_codes
from sessions_app.web.identities.proving import ask_again, keep_asked, prove_again, recently, take_asked
from sessions_app.web.identities.qr import qr_path, setup_address
from sessions_app.web.layout.views import ACT, FORM, after_step, back, page, who


@before_second_factor
@page()
def index(request: HttpRequest) -> HttpResponse:
    """List the second factors. If a required factor is missing, the reader can't open any other page."""
    return _index(request)


def _index(request: HttpRequest, error: StintError | None = None, **more: Any) -> HttpResponse:
    context = {"factors": factors_of(who(request)), "error": error, **more}
    return render(request, "identities/factors.html", context, status=error.status if error else 200)


@before_second_factor
@sensitive_post_parameters()
@page(FORM)
@recently
def add_app(request: HttpRequest) -> HttpResponse:
    """Set up an authenticator app: scan the QR code, type a code, save the recovery codes."""
    me, now = who(request), clock.now()
    if request.method != "POST":
        return _scan(request)
    ticket = request.POST.get("ticket", "")
    try:
        secret = offered_secret(me, ticket, now)
    except StintError as error:
        return _scan(request, error=error)
    try:
        codes = add_totp(secret=secret, code=request.POST.get("code", ""), actor=me, now=now)
    except StintError as error:
        return _scan(request, secret, ticket, error=error)
    app = factors_of(me).app
    return _changed(request, said(app) + " is set up.", codes, proof=app)


def _scan(
    request: HttpRequest, secret: str = "", ticket: str = "", error: StintError | None = None
) -> HttpResponse:
    me = who(request)
    if not secret:
        secret, ticket = offer_secret(me, clock.now())
    context = {
        "has_app": factors_of(me).app,
        "secret": secret,
        "ticket": ticket,
        "error": error,
        "qr": qr_path(setup_address(me.username, secret)),
    }
    return render(request, "identities/totp_add.html", context, status=error.status if error else 200)


@before_second_factor
@page(FORM)
@recently
def add_a_passkey(request: HttpRequest) -> HttpResponse:
    """Add a passkey or a security key and its name."""
    if request.method != "POST":
        return _add_a_passkey(request)
    try:
        made, codes = add_passkey(
            answer=request.POST.get("passkey", ""),
            state=take_asked(request, "add"),
            name=request.POST.get("name", ""),
            actor=who(request),
            now=clock.now(),
        )
    except StintError as error:
        return _add_a_passkey(request, error)
    return _changed(request, f"{said(made)} was added.", codes, proof=made)


def _add_a_passkey(request: HttpRequest, error: StintError | None = None) -> HttpResponse:
    context = {"possible": possible(), "address": settings.PUBLIC_URL, "error": error}
    return render(request, "identities/passkey_add.html", context, status=error.status if error else 200)


@before_second_factor
@page(ACT)
@recently
def ask_for_passkey(request: HttpRequest) -> HttpResponse:
    """Return the options with which the browser asks a device to create a passkey."""
    asked, state = ask_to_add(who(request))
    keep_asked(request, "add", state)
    return JsonResponse(asked["publicKey"])


def _changed(request: HttpRequest, text: str, codes: list[str], proof: Any = None) -> HttpResponse:
    """Keep this browser signed in after a change that ended all sessions. Show any new recovery codes, which
    only this response shows.
    """
    me = who(request)
    me.refresh_from_db()
    update_session_auth_hash(request, me)
    if proof is not None:
        # Setting up a factor also proves possession of the factor.
        note_proof(request, me, proof)
    after = after_step(request, SECOND_FACTOR)
    if codes:
        return _index(request, codes=codes, said=text, after=after)
    messages.success(request, text)
    return redirect(after)


@page(ACT)
@recently
def renew(request: HttpRequest) -> HttpResponse:
    """Create new recovery codes. Only this response shows them."""
    try:
        codes = renew_codes(actor=who(request), now=clock.now())
    except StintError as error:
        return _index(request, error)
    return _index(request, codes=codes, said="Your old codes no longer work.", after=reverse("account"))


@page(ACT)
def remove(request: HttpRequest, factor: int) -> HttpResponse:
    """Remove an authenticator app or a passkey."""
    own_factor(factor, who(request))
    return _remove(request, factor)


@recently
def _remove(request: HttpRequest, factor: int) -> HttpResponse:
    try:
        removed = remove_factor(factor_id=factor, actor=who(request), now=clock.now())
    except StintError as error:
        return _index(request, error)
    return _changed(request, f"{said(removed)} was removed. Your other sessions are signed out.", [])


@before_second_factor
@sensitive_post_parameters()
@page(FORM)
def confirm(request: HttpRequest) -> HttpResponse:
    """Confirm the reader's identity again, and continue to the page that required the confirmation."""
    if request.method != "POST":
        return ask_again(request, after=request.GET.get("next") or reverse("account"), status=200)
    me, after = who(request), request.POST.get("next", "")
    try:
        note_proof(request, me, prove_again(request, me), reauthenticated=True)
    except StintError as error:
        return ask_again(request, after=after or reverse("account"), status=error.status, error=error)
    return back(request, "account")
