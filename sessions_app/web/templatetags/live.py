"""Makes parts of pages live: after a change, the page requests these parts again and morphs them in place.

A page's template needs one line that lists the families of record events that affect the page::

    {% block live %}{% live "request grant" %}{% endblock %}

The whole block ``main`` is then live. The script requests the page's own address again and changes only the
differences in place. Open details, focus, selected text, scroll position and typed text are kept. Give every
element that may move its own ``id``.

The families are those of ``broker.audit.events`` (the part before the dot), and ``notice``. An empty text
means all families. A field ``read`` on the page describes what its reader has seen, and is sent along so that
the page can show what has changed since then. The response to a sent form is not live: typed text and errors
stay until the form is sent again.
"""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

READ = "read"


@register.simple_tag(takes_context=True)
def live(context: template.Context, families: str = "") -> SafeString | str:
    """Return the attributes of a live part. Child elements don't inherit them, so that forms inside keep
    their own attributes.
    """
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
