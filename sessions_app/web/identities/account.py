"""Views for the reader's own account."""

from __future__ import annotations

import datetime as dt

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters

from accounts.addresses import address_of
from accounts.factors import OWN_PASSWORD, factors_of
from accounts.middleware import before_own_password
from accounts.models import Identity, Scope, SSHPublicKey, answered_for_by
from accounts.operations.add_ssh_key import add_ssh_key
from accounts.operations.confirm_email import confirm_email
from accounts.operations.create_token import create_token
from accounts.operations.remove_ssh_key import remove_ssh_key
from accounts.operations.revoke_token import revoke_token
from accounts.operations.set_password import set_password
from accounts.operations.set_time_zone import set_time_zone
from accounts.queries import administers
from broker.kernel import clock
from broker.kernel.errors import InvalidInput, StintError
from broker.kernel.zones import time_zones
from sessions_app.queries.identities.api_tokens import live_tokens
from sessions_app.web.display.states import plural
from sessions_app.web.identities.proving import recently
from sessions_app.web.layout.views import ACT, FORM, after_step, back, page, who

LIFETIMES = (1, 7, 30, 90)
USUAL = 30


@page()
def account(request: HttpRequest) -> HttpResponse:
    """Show the reader's keys, tokens and time zone."""
    return _account(request)


def _account(
    request: HttpRequest, error: StintError | None = None, form: str = "", token: str = ""
) -> HttpResponse:
    me = who(request)
    own = answered_for_by(me, "identity")
    keys = SSHPublicKey.objects.filter(own, removed_at__isnull=True).select_related("identity")
    tokens = live_tokens(clock.now()).filter(own)
    context = {
        "me": me,
        "keys": [(one, _machine(one.identity, me)) for one in keys.order_by("pk")],
        "tokens": [
            (one, _machine(one.identity, me)) for one in tokens.select_related("identity").order_by("pk")
        ],
        "links": me.provider_links.order_by("pk"),
        "groups": me.groups.order_by("name"),
        "factors": factors_of(me),
        "machines": me.machines.order_by("username"),
        "scopes": [one for one in Scope.choices if one[0] != Scope.ADMINISTER or administers(me)],
        "zones": sorted(time_zones()),
        "lifetimes": [(days, plural(days, "day"), days == USUAL) for days in LIFETIMES],
        "error": error,
        "form": form,
        "token": token,
        # Keep the typed values in the submitted form.
        "typed_key": request.POST if form == "key" else {},
        "typed_token": request.POST if form == "token" else {},
        "typed_scopes": request.POST.getlist("scope") if form == "token" else [],
    }
    return render(request, "identities/account.html", context, status=error.status if error else 200)


def _machine(owner: Identity, me: Identity) -> Identity | None:
    """Return the machine that owns a key or a token; None if the reader owns it."""
    return owner if owner != me else None


def _whose(request: HttpRequest) -> int:
    """Return the id of the identity that the form concerns: the reader, or a machine that the reader owns.
    Raises Http404 for any other identity.
    """
    me = who(request)
    wanted = request.POST.get("identity") or str(me.pk)
    own = {str(me.pk): me.pk, **{str(pk): pk for pk in me.machines.values_list("pk", flat=True)}}
    if wanted not in own:
        raise Http404
    return own[wanted]


@page(ACT)
@recently
def key_add(request: HttpRequest) -> HttpResponse:
    """Add a public key for the reader, or for a machine that the reader owns."""
    me = who(request)
    try:
        key = add_ssh_key(
            identity_id=_whose(request),
            public_key=request.POST.get("public_key", ""),
            label=request.POST.get("label", ""),
            actor=me,
            now=clock.now(),
        )
    except StintError as error:
        return _account(request, error, "key")
    messages.success(request, f"Key {key.fingerprint} added.")
    return back(request, "account")


@page(ACT)
def key_remove(request: HttpRequest, key: int) -> HttpResponse:
    """Remove a public key."""
    removed = remove_ssh_key(key_id=key, actor=who(request), now=clock.now())
    messages.success(request, f"Key {removed.fingerprint} has been revoked.")
    return redirect("account")


@page(ACT)
@recently
def token_add(request: HttpRequest) -> HttpResponse:
    """Create an API token. Only this response shows it."""
    me = who(request)
    days = request.POST.get("days", "")
    try:
        _, text = create_token(
            identity_id=_whose(request),
            label=request.POST.get("label", ""),
            scopes=request.POST.getlist("scope"),
            lifetime=dt.timedelta(days=int(days) if days.isdecimal() and len(days) < 6 else 0),
            actor=me,
            now=clock.now(),
        )
    except StintError as error:
        return _account(request, error, "token")
    return _account(request, token=text)


@page(ACT)
def token_revoke(request: HttpRequest, token: int) -> HttpResponse:
    """Revoke an API token."""
    revoked = revoke_token(token_id=token, actor=who(request), now=clock.now())
    messages.success(request, f"The token {revoked.label} has been revoked.")
    return redirect("account")


@page(ACT)
def zone(request: HttpRequest) -> HttpResponse:
    """Set the reader's time zone."""
    try:
        set_time_zone(
            identity_id=who(request).pk,
            time_zone=request.POST.get("time_zone", ""),
            actor=who(request),
            now=clock.now(),
        )
    except StintError as error:
        return _account(request, error, "zone")
    messages.success(request, "Time zone saved.")
    return redirect("account")


@page(ACT)
def confirm_address(request: HttpRequest) -> HttpResponse:
    """Confirm the email address that an administrator entered for the reader."""
    me = who(request)
    confirm_email(identity_id=me.pk, email=request.POST.get("email", ""), actor=me, now=clock.now())
    messages.success(request, f"{me.email} is confirmed.")
    return redirect("account")


@before_own_password
@sensitive_post_parameters()
@page(FORM)
def password(request: HttpRequest) -> HttpResponse:
    """Change the password. This browser stays signed in; all others are signed out."""
    if request.method != "POST":
        return render(request, "identities/password.html")
    try:
        changed = _set_password(request)
    except StintError as error:
        return render(request, "identities/password.html", {"error": error}, status=error.status)
    update_session_auth_hash(request, changed)
    messages.success(request, "Password changed. Your other sessions are signed out.")
    return redirect(after_step(request, OWN_PASSWORD))


def _set_password(request: HttpRequest) -> Identity:
    me = who(request)
    new = request.POST.get("new", "")
    if request.POST.get("again", "") != new:
        raise InvalidInput(
            "The new passwords don't match.", fields={"again": ["Enter the new password again."]}
        )
    current = request.POST.get("current", "")
    return set_password(
        identity_id=me.pk, current=current, new=new, actor=me, address=address_of(request), now=clock.now()
    )
