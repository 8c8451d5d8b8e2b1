"""What every page does the same way."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, cast

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from django_htmx.middleware import HtmxDetails

from accounts.models import Identity
from broker.audit.queries import last_number
from broker.kernel.errors import InvalidInput, NotFound, StintError
from sessions_app.models.visibility import hold_still
from sessions_app.web.shell.errors import not_sent, typed

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]

READ = ("GET", "HEAD")
ACT = ("POST",)
FORM = (*READ, *ACT)
# Where a request keeps the number of the record's last entry when its page began to be read.
SEEN = "stint.seen"


def page(methods: Sequence[str] = READ) -> Callable[[View[P]], View[P]]:
    """Make a view a page: signed-in people only, these methods only, never cached, and errors said as pages."""

    def decorate(view: View[P]) -> View[P]:
        @functools.wraps(view)
        def inner(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return sign_in_first(request)
            # Before anything is read: whatever happens from now on makes the page look again.
            if request.method == "GET":
                request.META[SEEN] = last_number()
                hold_still(who(request))
            try:
                _refuse_unstorable(request)
                return view(request, *args, **kwargs)
            except NotFound as error:
                raise Http404(error.message) from error
            except StintError as error:
                return said(request, error)

        return cast(View[P], never_cache(require_http_methods(list(methods))(inner)))

    return decorate


def _refuse_unstorable(request: HttpRequest) -> None:
    """PostgreSQL's text holds no NUL, so that no name, search or note with one can be looked up or kept."""
    sent = (
        text
        for values in (request.GET, request.POST)
        for pair in values.lists()
        for text in (pair[0], *pair[1])
    )
    if any("\0" in text for text in sent):
        raise InvalidInput("The form contains a NUL character.", hint="Type it again instead of pasting it.")


def sign_in_first(request: HttpRequest) -> HttpResponse:
    """Send to the sign-in page, or to that of the step that the sign-in lacks; a fragment sends its whole
    page there instead of showing the form in its place. A form of who is signed out stays where it is, with what was typed.
    """
    current: HtmxDetails | None = getattr(request, "htmx", None)
    missing = getattr(request, "missing", "")
    if request.method == "POST" and not missing:
        if current:
            return HttpResponse(status=401)
        if typed(request):
            return not_sent(request, status=401)
    path = (current.current_url_abs_path or "/") if current else request.get_full_path()
    there = redirect(missing) if missing else redirect_to_login(path)
    return HttpResponse(status=204, headers={"HX-Redirect": there["Location"]}) if current else there


def who(request: HttpRequest) -> Identity:
    """The signed-in identity of a page."""
    if not isinstance(request.user, Identity):
        raise TypeError("pages are for signed-in people")
    return request.user


def said(request: HttpRequest, error: StintError) -> HttpResponse:
    """An anticipated failure as a page of its own, for acts that have no form to go back to."""
    return render(request, "ui/error.html", {"error": error}, status=error.status)


def back(request: HttpRequest, name: str, *args: str) -> HttpResponse:
    """Go back to the page that the form named, if it is one of ours, else to the named page."""
    wanted = request.POST.get("next", "")
    if wanted and url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return redirect(wanted)
    return redirect(name, *args)
