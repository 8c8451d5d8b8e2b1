"""Forms in which a person confirms their identity again.

Used at the second step of a sign-in, before factors are changed, and before keys and tokens are created.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, cast

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from accounts.addresses import address_of
from accounts.attempts import Secret, count_attempt
from accounts.factors import factors_of, note_proof, provider_of, recently_proven
from accounts.models import Identity
from accounts.passkeys import State, possible
from accounts.passwords import check_password
from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.operations.identities.prove_code import prove_code
from sessions_app.operations.identities.prove_passkey import prove_passkey
from sessions_app.web.layout.views import who

P = ParamSpec("P")
_ASKED = "stint.passkey"
# Seconds to answer a passkey challenge: enough time to find a security key.
_LONGEST = 300
# The field that marks a form as containing a proof, and the fields that can hold the proof.
_PROVES, _PROOFS = "proves", {"password", "code", "passkey", "ticket"}
_OURS = {"csrfmiddlewaretoken", _PROVES, *_PROOFS}


def prove_factor(request: HttpRequest, identity: Identity) -> Authenticator:
    """Verify the second factor in a form, and return the factor. Raises WrongCode, BadPasskey,
    TooManyTries.
    """
    here: dict[str, Any] = {"address": address_of(request), "now": clock.now()}
    by_passkey = "passkey" in request.POST
    secret = Secret.PASSKEY if by_passkey else Secret.CODE
    attempt = count_attempt(secret, account=identity.username, **here)
    if by_passkey:
        answer, state = request.POST["passkey"], take_asked(request, "show")
        shown = prove_passkey(identity_id=identity.pk, answer=answer, state=state, **here)
    else:
        shown = prove_code(identity_id=identity.pk, code=request.POST.get("code", ""), **here)
    attempt.was_right()
    return shown


def keep_asked(request: HttpRequest, what: str, state: State) -> None:
    """Store a passkey challenge in the browser's session. It can be answered only once, and only for the same
    purpose.
    """
    request.session[_ASKED] = {"what": what, "state": state, "at": clock.now().timestamp()}


def take_asked(request: HttpRequest, what: str) -> State | None:
    """Return the latest challenge of the browser's session, and delete it. Return None if it is for another
    purpose or too old.
    """
    asked = request.session.pop(_ASKED, None)
    if asked is None or asked["what"] != what or clock.now().timestamp() - asked["at"] > _LONGEST:
        return None
    return cast(State, asked["state"])


def prove_again(request: HttpRequest, identity: Identity) -> Authenticator | None:
    """Verify a proof as ``prove_factor`` does. People without a factor enter their password; the result is
    then None.

    If a factor is set up, the password is not enough: otherwise an attacker who learned the password could
    remove the factors. Also raises WrongPassword.
    """
    if "password" not in request.POST or factors_of(identity).any:
        return prove_factor(request, identity)
    check_password(identity, request.POST["password"], address=address_of(request), now=clock.now())
    return None


def recently(
    view: Callable[Concatenate[HttpRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Require a password or a factor before the view, unless the last proof is at most a few minutes old.
    After the proof, a submitted form continues with its typed values.
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
    """Return the page that asks for a password, a factor or a confirmation by the provider, and then
    continues to ``after``.

    Without ``after``, the form is submitted again together with the proof, or by a button after the provider
    has confirmed the identity in another tab. A form that contains its own proof must be filled in again.
    """
    me = who(request)
    factors = factors_of(me)
    vouched = bool(settings.OIDC_ISSUER) and provider_of(request, me) == settings.OIDC_ISSUER
    by_password = not factors.any and me.has_usable_password()
    by_provider = settings.OIDC_NAME if vouched and not factors.any else ""
    ways = ("your password" if by_password else "", by_provider)
    sent = {name: request.POST.getlist(name) for name in request.POST if name not in _OURS}
    again = not after and not (_PROOFS & {*request.POST} and _PROVES not in request.POST)
    context = {
        "factors": factors,
        "passkeys": factors.passkeys and possible(),
        "to": request.get_full_path() if again else reverse("account_confirm"),
        "sent": {_PROVES: ["1"], **sent} if again else {"next": [after]},
        "again": again,
        "typed": sent,
        "after": after,
        "by": "your second factor" if factors.any else " or ".join(filter(None, ways)) or "your password",
        "says": "Your change will continue after that."
        if again
        else ""
        if after
        else "Nothing was changed. After confirming, make your change again.",
        "by_password": by_password,
        "by_provider": by_provider,
        # The provider may sign in the person again without any proof of identity.
        "vouched": vouched,
        "error": error,
    }
    return render(request, "identities/confirm.html", context, status=status)
