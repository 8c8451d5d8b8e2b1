"""Save the state of a page under a name."""

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
    """You have 50 saved searches on this page. Delete one first."""

    code = "too_many_bookmarks"


def save_bookmark(*, identity: Identity, page: str, name: str, query: str, now: dt.datetime) -> Bookmark:
    """Save a page's query string for the identity. Saving under an existing name replaces it.

    A bookmark gives no access and is private, so saving it is not recorded. Raises InvalidInput,
    TooManyBookmarks.
    """
    name = checked_text(name, field="name", longest=LONGEST_NAME)
    if len(query) > LONGEST_QUERY:
        raise InvalidInput(
            "The bookmark is too long to save.", fields={"query": ["Shorten the filters and save again."]}
        )
    query = checked_text(query, field="query", longest=LONGEST_QUERY)
    if not name:
        raise InvalidInput("A name is required.", fields={"name": ["Required."]})
    if page not in BookmarkPage.values:
        raise InvalidInput("This page can't be saved.", fields={"page": ["Unknown page."]})
    with transaction.atomic():
        kept = Bookmark.objects.select_for_update(no_key=True).filter(identity=identity, page=page)
        names = [bookmark.name for bookmark in kept.order_by("pk")]
        if name not in names and len(names) >= MOST:
            raise TooManyBookmarks(
                f"You have reached the limit of {MOST} bookmarks for this page.", hint="Delete one first."
            )
        bookmark, _ = Bookmark.objects.update_or_create(
            identity=identity, page=page, name=name, defaults={"query": query, "created_at": now}
        )
    return bookmark
