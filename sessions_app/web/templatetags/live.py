"""Makes parts of pages live: after a change, the page requests these parts again and morphs them in place.

A page's template needs one line, with the families of the record's events that the page shows::

    {% block live %}{% live "request grant" %}{% endblock %}

The whole block ``main`` is then live. It is requested again at the page's own address, and only differences
are changed in place. So open details, focus, selected text, scroll position and what was typed are kept. Give
every element that may move its own ``id``.

The families are those of ``broker.audit.events`` (the part before the dot), and ``notice``. An empty text
means all. A field ``read`` on the page describes what its reader has read. It is sent along, so that the page
can show what has changed since then. The response to a sent form is not live: what was typed and the errors
stay until it is sent again.
"""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

READ = "read"


@register.simple_tag(takes_context=True)
def live(context: template.Context, families: str = "") -> SafeString | str:
    """Return the attributes of a live part. They are not inherited, so that forms inside keep their own."""
    request = context["request"]
    if request.method != "GET":
        return ""
    query = request.GET.copy()
    query.pop(READ, None)
    return format_html(
        ' data-live="{}" hx-get="{}" hx-trigger="look" hx-target="this" hx-select="#page"'
        ' hx-select-oob="#decide-bar:morph" hx-swap="morph:outerHTML" hx-sync="this:queue last"'
        ' hx-disinherit="*"',
        families,
        f"{request.path}?{query.urlencode()}" if query else request.path,
    )
