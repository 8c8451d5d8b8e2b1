"""Keep a question to the record under a name."""

from __future__ import annotations

from django.db import transaction

from accounts.models import Identity
from broker.kernel.errors import InvalidInput
from broker.kernel.text import checked_text
from sessions_app.models import Bookmark, BookmarkPage

LONGEST_NAME = 80
LONGEST_QUERY = 2000
MOST = 50


def save_question(*, identity: Identity, name: str, query: str) -> Bookmark:
    """Keep the query string of the record's page under a name of one's own; a name that is there already is replaced.

    Raises InvalidInput (no name, too long, more than 50).
    """
    name = checked_text(name, field="name", longest=LONGEST_NAME)
    query = checked_text(query, field="question", longest=LONGEST_QUERY)
    if not name:
        raise InvalidInput("The question needs a name.", fields={"name": ["Needed."]})
    with transaction.atomic():
        own = Bookmark.objects.filter(identity=identity, page=BookmarkPage.RECORD)
        if own.exclude(name=name).count() >= MOST:
            raise InvalidInput(f"You have {MOST} saved questions.", hint="Delete one that you no longer ask.")
        saved, _ = Bookmark.objects.update_or_create(
            identity=identity, page=BookmarkPage.RECORD, name=name, defaults={"query": query}
        )
    return saved
