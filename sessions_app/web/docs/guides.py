"""The guides and the reference. They contain no personal data, so like the API description they need no
sign-in.
"""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.models import Identity
from sessions_app.web.docs import guides_page


@never_cache
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """List all guides and the reference, or the sections that match a search. A search for an exact reference
    name redirects to its entry.
    """
    text = request.GET.get("q", "").strip()
    if entry := guides_page.entry_named(text):
        return redirect(entry.url)
    context = {
        "frame_of_page": _frame(request),
        "shelves": guides_page.shelves(),
        "reference": guides_page.reference(),
        "q": text,
    }
    if text:
        context["found"] = guides_page.search_guides(text)
    return render(request, "docs/guides.html", context)


@never_cache
@require_safe
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """Show one guide."""
    page = guides_page.guide_page(name)
    if page is None:
        raise Http404
    return render(request, "docs/guide.html", {"frame_of_page": _frame(request), "page": page})


@never_cache
@require_safe
def reference(request: HttpRequest, name: str) -> HttpResponse:
    """Show one page of the reference."""
    guide = guides_page.reference_page(name)
    if guide is None:
        raise Http404
    page = {"guide": guide}
    return render(request, "docs/guide.html", {"frame_of_page": _frame(request), "page": page})


def _frame(request: HttpRequest) -> str:
    """Return the base template: the usual one, or for anonymous readers one with a sign-in link."""
    return "ui/app.html" if isinstance(request.user, Identity) else "docs/open.html"
