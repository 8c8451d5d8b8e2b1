"""Forms by which somebody shows again who they are: at the second step of a sign-in, before factors are changed, and
before keys and tokens are made.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, cast

from allauth.core.internal import ratelimit
from allauth.mfa.models import Authenticator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from accounts.addresses import address_of
from accounts.factors import factors_of, note_proof, recently_proven
from accounts.models import Identity
from accounts.passkeys import State, possible
from accounts.passwords import TooManyTries, check_password
from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.operations.identities.prove_code import prove_code
from sessions_app.operations.identities.prove_passkey import prove_passkey
from sessions_app.web.shell.doors import who

P = ParamSpec("P")
_ASKED = "stint.passkey"
# Seconds that somebody may take to find the security key.
_LONGEST = 300
# What says that a form is sent with a proof, and the fields that can hold one.
_PROVES, _PROOFS = "proves", {"password", "code", "passkey", "ticket"}
_OURS = {"csrfmiddlewaretoken", _PROVES, *_PROOFS}


def prove_factor(request: HttpRequest, identity: Identity) -> Authenticator:
    """Return the second factor that the form shows. Raises WrongCode, BadPasskey, TooManyTries."""
    where: dict[str, Any] = {"identity_id": identity.pk, "address": address_of(request), "now": clock.now()}
    with _counted(request, identity):
        if "passkey" in request.POST:
            return prove_passkey(answer=request.POST["passkey"], state=take_asked(request, "show"), **where)
        return prove_code(code=request.POST.get("code", ""), **where)


def keep_asked(request: HttpRequest, what: str, state: State) -> None:
    """Keep in the session what its browser is asked; the answer comes once, and to the same question."""
    request.session[_ASKED] = {"what": what, "state": state, "at": clock.now().timestamp()}


def take_asked(request: HttpRequest, what: str) -> State | None:
    """Return what the session's browser was asked last, if it was that and not long ago; it is forgotten."""
    asked = request.session.pop(_ASKED, None)
    if asked is None or asked["what"] != what or clock.now().timestamp() - asked["at"] > _LONGEST:
        return None
    return cast(State, asked["state"])


def prove_again(request: HttpRequest, identity: Identity) -> Authenticator | None:
    """As ``prove_factor``; who has no factor shows their password, and then there is none to return: else whoever found
    out a password would take the factors away that keep them out. Raises WrongPassword, too.
    """
    if "password" not in request.POST or factors_of(identity).any:
        return prove_factor(request, identity)
    check_password(identity, request.POST["password"])
    return None


@contextmanager
def _counted(request: HttpRequest, identity: Identity) -> Iterator[None]:
    """Count wrong tries of one person and from one place, as those of passwords at sign-in, for all processes."""
    used = ratelimit.consume(
        request, app="allauth.account", action="login_failed", key=f"second-factor:{identity.pk}"
    )  # fmt: skip
    if used is None:
        raise TooManyTries("Too many wrong codes.", hint="Try again in five minutes.")
    yield
    # What was wrong before stays counted.
    used.rollback()


def recently(
    view: Callable[Concatenate[HttpRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Ask first for a password or a factor, in place of the page, where the last proof is older than some minutes. A form
    that was sent goes on with the proof, as it was typed.
    """

    @functools.wraps(view)
    def inner(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        me = who(request)
        if recently_proven(me, clock.now()):
            return view(request, *args, **kwargs)
        if request.method == "GET":
            return ask_again(request, after=request.get_full_path(), status=200)
        if _PROVES not in request.POST:
            return ask_again(request, status=403)
        try:
            note_proof(request, me, prove_again(request, me), reauthenticated=True)
        except StintError as error:
            return ask_again(request, status=error.status, error=error)
        return view(request, *args, **kwargs)

    return cast(Callable[Concatenate[HttpRequest, P], HttpResponse], inner)


def ask_again(
    request: HttpRequest, *, after: str = "", status: int, error: StintError | None = None
) -> HttpResponse:
    """The page that asks for a password or a factor, and then leads to ``after``; without it, what was sent is sent again
    with the proof, unless it held a proof of its own, which is asked for anew then.
    """
    me = who(request)
    factors = factors_of(me)
    sent = {name: request.POST.getlist(name) for name in request.POST if name not in _OURS}
    again = not after and not (_PROOFS & {*request.POST} and _PROVES not in request.POST)
    context = {
        "factors": factors,
        "passkeys": factors.passkeys and possible(),
        "to": request.get_full_path() if again else reverse("account_confirm"),
        "sent": {_PROVES: ["1"], **sent} if again else {"next": [after]},
        "by": "second factor" if factors.any else "password",
        "says": "Your change continues after this."
        if again
        else ""
        if after
        else "Nothing was changed. Repeat your change after this.",
        "by_password": not factors.any and me.has_usable_password(),
        "error": error,
    }
    return render(request, "identities/confirm.html", context, status=status)
