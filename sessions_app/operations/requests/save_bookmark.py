"""Keep the state of a page under a name, for the next time."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.models import Identity
from broker.kernel.errors import Conflict, InvalidInput
from broker.kernel.text import checked_text
from sessions_app.models import Bookmark, BookmarkPage

LONGEST_NAME = 80
LONGEST_QUERY = 8000
MOST = 50


class TooManyBookmarks(Conflict):
    """One person keeps no more than 50 for a page."""

    code = "too_many_bookmarks"


def save_bookmark(*, identity: Identity, page: str, name: str, query: str, now: dt.datetime) -> Bookmark:
    """Keep a query string of one's own for a page; the same name again replaces what was kept.

    It gives nothing and is seen by nobody else, so it is not recorded. Raises InvalidInput, TooManyBookmarks.
    """
    name = checked_text(name, field="name", longest=LONGEST_NAME)
    if len(query) > LONGEST_QUERY:
        raise InvalidInput("It is too long to save.", fields={"query": ["Shorten it and save again."]})
    query = checked_text(query, field="query", longest=LONGEST_QUERY)
    if not name:
        raise InvalidInput("Give it a name.", fields={"name": ["Needed."]})
    if page not in BookmarkPage.values:
        raise InvalidInput("This page can't be saved.", fields={"page": ["Unknown."]})
    with transaction.atomic():
        kept = Bookmark.objects.select_for_update().filter(identity=identity, page=page)
        names = [bookmark.name for bookmark in kept.order_by("pk")]
        if name not in names and len(names) >= MOST:
            raise TooManyBookmarks(f"You have reached the limit of {MOST}.", hint="Delete one first.")
        bookmark, _ = Bookmark.objects.update_or_create(
            identity=identity, page=page, name=name, defaults={"query": query, "created_at": now}
        )
    return bookmark
