"""Behavior that all pages share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Concatenate, ParamSpec, cast

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from django_htmx.middleware import HtmxDetails

from accounts.models import Identity
from broker.audit.queries import last_number
from broker.kernel.errors import InvalidInput, NotFound, StintError
from broker.kernel.snapshot import one_snapshot
from sessions_app.models.visibility import hold_still
from sessions_app.web.layout.errors import not_sent, typed

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]

READ = ("GET", "HEAD")
ACT = ("POST",)
FORM = (*READ, *ACT)
# The request attribute with the number of the last record entry at the time of rendering.
SEEN = "stint.seen"
# The session key for the page that someone opened before their sign-in was complete.
_WANTED = "stint.wanted"


def page(methods: Sequence[str] = READ, *, writes: bool = False) -> Callable[[View[P]], View[P]]:
    """Make a view a page: for signed-in people and the given methods only, never cached, with errors shown as
    pages.

    All reads come from one database snapshot, so that the parts of a page agree. A view that ``writes`` on a
    GET, for example to record that a recording was watched, has no snapshot.
    """

    def decorate(view: View[P]) -> View[P]:
        @functools.wraps(view)
        def inner(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return sign_in_first(request)
            try:
                _refuse_unstorable(request)
                if request.method not in READ:
                    return view(request, *args, **kwargs)
                with nullcontext() if writes else one_snapshot():
                    if writes:
                        # Read the number first, so that the page updates for everything that happens later.
                        request.META[SEEN] = last_number()
                    hold_still(who(request))
                    return view(request, *args, **kwargs)
            except NotFound as error:
                raise Http404(error.message) from error
            except StintError as error:
                return said(request, error)

        return cast(View[P], never_cache(require_http_methods(list(methods))(inner)))

    return decorate


def _refuse_unstorable(request: HttpRequest) -> None:
    """Reject NUL characters, which PostgreSQL can't store in text."""
    sent = (
        text
        for values in (request.GET, request.POST)
        for pair in values.lists()
        for text in (pair[0], *pair[1])
    )
    if any("\0" in text for text in sent):
        raise InvalidInput("The form contains a NUL character.", hint="Type the text instead of pasting it.")


def sign_in_first(request: HttpRequest) -> HttpResponse:
    """Redirect to the sign-in page, or to the next step of an incomplete sign-in.

    A request for a fragment gets a 401 with a ``Location`` header instead, and the page shows the
    response's text. If someone who is signed out sends a form, the page keeps the form with the typed values.
    """
    current: HtmxDetails | None = getattr(request, "htmx", None)
    missing = getattr(request, "missing", "")
    if request.method == "POST" and not missing and not current and typed(request):
        return not_sent(request, status=401)
    path = (current.current_url_abs_path or "/") if current else request.get_full_path()
    if missing and not current and request.method == "GET":
        request.session[_WANTED] = path
    there = redirect(missing) if missing else redirect_to_login(path)
    if not current:
        return there
    answer = render(
        request, "ui/_signed_out.html", {"missing": missing, "url": there["Location"]}, status=401
    )
    answer["Location"] = there["Location"]
    return answer


def after_step(request: HttpRequest, step: str) -> str:
    """Return the address that follows a step of the sign-in: the page that was opened before the sign-in,
    or else the account page.
    """
    if getattr(request, "missing", "") != step:
        return reverse("account")
    return str(request.session.pop(_WANTED, reverse("home")))


def who(request: HttpRequest) -> Identity:
    """Return the signed-in identity of the request."""
    if not isinstance(request.user, Identity):
        raise TypeError("pages are for signed-in people")
    return request.user


def said(request: HttpRequest, error: StintError) -> HttpResponse:
    """Render an expected error as a full page, for actions without a form to return to."""
    return render(request, "ui/error.html", {"error": error}, status=error.status)


def back(request: HttpRequest, name: str, *args: str) -> HttpResponse:
    """Redirect to the address in the form's `next` field if it is on this site, otherwise to the
    named page.
    """
    wanted = request.POST.get("next", "")
    if wanted and url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return redirect(wanted)
    return redirect(name, *args)
