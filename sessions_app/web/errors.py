"""Pages for errors."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say that the form was too old or not ours; nothing was changed."""
    return render(request, "ui/csrf_failed.html", {"reason": reason}, status=403)
