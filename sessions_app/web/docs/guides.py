"""Views for the guides. They contain no private data, so like the API reference they need no sign-in."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.models import Identity
from sessions_app.web.docs.guides_page import guide_page, search_guides, shelves


@never_cache
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """List all guides, or the sections that match a search."""
    text = request.GET.get("q", "").strip()
    context = {"frame_of_page": _frame(request), "shelves": shelves(), "q": text}
    if text:
        context["found"] = search_guides(text)
    return render(request, "docs/guides.html", context)


@never_cache
@require_safe
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """Show one guide."""
    page = guide_page(name)
    if page is None:
        raise Http404
    return render(
        request, "docs/guide.html", {"frame_of_page": _frame(request), "page": page, "shelves": shelves()}
    )


def _frame(request: HttpRequest) -> str:
    """Return the template around the page: the frame of all pages, or for anonymous readers one with a sign-in link."""
    return "ui/app.html" if isinstance(request.user, Identity) else "docs/open.html"
