"""The view for the insight page."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import render

from broker.kernel import clock
from sessions_app.web.layout.downloads import csv_file
from sessions_app.web.layout.views import page, who
from sessions_app.web.record.insight_page import PERIODS, insight, period_of


@page()
def index(request: HttpRequest) -> HttpResponseBase:
    """Show how access was used, decided and ended in recent days, or download the numbers of one figure."""
    now = clock.now()
    found = insight(who(request), period_of(request.GET.get("days", ""), now), now)
    key = request.GET.get("csv")
    if key is None:
        return render(request, "record/insight.html", {"insight": found, "periods": PERIODS})
    figure = found.figure(key)
    if figure is None:
        raise Http404
    name = f"{figure.key}-{found.period.first}-{found.period.today}.csv"
    return csv_file(name, figure.file_columns, figure.lines())
