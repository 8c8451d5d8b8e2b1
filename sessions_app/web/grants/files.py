"""Views that transfer files of a grant: start a transfer, show it, and save the file."""

from __future__ import annotations

import re

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import content_disposition_header

from accounts.addresses import address_of
from broker.kernel import clock
from broker.kernel.errors import InvalidInput
from sessions_app.models import CommandOrder
from sessions_app.operations.sessions.order_file import Content, Wanted, order_file
from sessions_app.operations.sessions.take_file import take_file
from sessions_app.web.grants.grants import find_grant, number_of, stays_at
from sessions_app.web.grants.runnable import values_in
from sessions_app.web.grants.transfer_page import transfer_page
from sessions_app.web.layout.uploads import FIELD, sent_file, size_of_refused
from sessions_app.web.layout.views import ACT, page, who

# What a name on the holder's machine can't or should not contain.
_UNSAFE = re.compile(r"[^\w .,;=+@%()\[\]~#-]")
_LONGEST_NAME = 200


@page(ACT)
@stays_at("run")
def transfer(request: HttpRequest, ref: str) -> HttpResponse:
    """Queue a download or a listing for a gateway, and redirect to its page."""
    return _ordered(request, ref, None)


@page(ACT)
@stays_at("run")
def upload(request: HttpRequest, ref: str) -> HttpResponse:
    """Queue an upload for a gateway, and redirect to its page."""
    if size := size_of_refused(request):
        return _ordered(request, ref, Content(size, "", ()))
    sent = sent_file(request)
    if sent is None:
        index = number_of(request.POST.get("index", ""))
        field = f"{FIELD}{index}" if index is not None else "file"
        raise InvalidInput("Choose a file to upload.", fields={field: ["Choose a file."]})
    return _ordered(request, ref, Content(sent.size or 0, sent.sha256, sent.pieces()))


def _ordered(request: HttpRequest, ref: str, content: Content | None) -> HttpResponse:
    index = number_of(request.POST.get("index", ""))
    if index is None:
        index = -1
    order = order_file(
        grant_id=find_grant(request, ref).pk,
        actor=who(request),
        target=request.POST.get("target", ""),
        wanted=Wanted(
            index=index,
            values=values_in(request.POST.dict(), index),
            direction=request.POST.get("direction", ""),
            path=request.POST.get("path", ""),
        ),
        content=content,
        client_address=address_of(request),
        now=clock.now(),
    )
    return redirect(reverse("grant_transfer", args=[ref, order.pk]))


def _mine(request: HttpRequest, ref: str, order: int) -> CommandOrder:
    mine = CommandOrder.objects.filter(pk=order, grant__ref=ref, grant__holder=who(request))
    found = mine.select_related("grant__cluster", "grant__policy", "target").first()
    if found is None:
        raise Http404
    return found


@page()
def detail(request: HttpRequest, ref: str, order: int) -> HttpResponse:
    """Show a transfer to its holder: its state, and what it brought."""
    start = number_of(request.GET.get("start", "")) or 0
    shown = transfer_page(_mine(request, ref, order), who(request), clock.now(), start=start)
    if shown is None:
        raise Http404
    if request.GET.get("seen") == shown.seen:
        return HttpResponse(status=204)
    part = getattr(request, "htmx", None)
    context = {"shown": shown, "grant": shown.grant}
    return render(request, "grants/_transfer.html" if part else "grants/transfer.html", context)


@page(ACT)
def take(request: HttpRequest, ref: str, order: int) -> StreamingHttpResponse:
    """Send a downloaded file to its holder, once."""
    taken = take_file(
        order_id=_mine(request, ref, order).pk,
        actor=who(request),
        client_address=address_of(request),
        now=clock.now,
    )
    # Compression would remove the length, with which browsers notice that a file is incomplete.
    request.META["HTTP_ACCEPT_ENCODING"] = "identity"
    answer = StreamingHttpResponse(taken.content, content_type="application/octet-stream")
    answer["Content-Length"] = str(taken.size)
    answer["X-Content-Type-Options"] = "nosniff"
    disposition = content_disposition_header(as_attachment=True, filename=safe_name(taken.path))
    answer["Content-Disposition"] = disposition or "attachment"
    return answer


def safe_name(path: str) -> str:
    """Return a name for the file on the holder's machine: the last part of its path, without characters that
    could lead to another folder.
    """
    name = _UNSAFE.sub("_", path.rpartition("/")[2])[:_LONGEST_NAME].strip(" .")
    return name or "download"
