"""Makes parts of pages live: a part that says so is asked for again when something happened, and morphed.

In a page's template, one line, which names the families of the record's events that the page shows::

    {% block live %}{% live "request grant" %}{% endblock %}

The whole block ``main`` is then live: the page is asked for again at its own address, and what is different is changed
in place, so that open details, focus, selected text, scroll position and what was typed stay. Give what may move its
own ``id``. The families are those of ``broker.audit.events`` (the part before the dot), and ``notice``; an empty text
means all. A field ``read`` on the page, which says what its reader has read, is sent along, so that the page can say what
changed since then. The page that answers a sent form is not live: what was typed and the errors stay until it is sent again.
"""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

READ = "read"


@register.simple_tag(takes_context=True)
def live(context: template.Context, families: str = "") -> SafeString | str:
    """The attributes of a live part. They are not handed down, so that forms in it keep their own."""
    request = context["request"]
    if request.method != "GET":
        return ""
    query = request.GET.copy()
    query.pop(READ, None)
    return format_html(
        ' data-live="{}" hx-get="{}" hx-trigger="look" hx-target="this" hx-select="#page" hx-select-oob="#decide-bar:morph"'
        ' hx-swap="morph:outerHTML" hx-include="#page [name={}]" hx-sync="this:queue last" hx-disinherit="*"',
        families,
        f"{request.path}?{query.urlencode()}" if query else request.path,
        READ,
    )
