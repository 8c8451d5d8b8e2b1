"""Add a question or an answer to the thread of a request."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity, answers_for
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, InvalidInput, NotFound
from broker.kernel.text import checked_text
from sessions_app.models import AccessRequest, Asks, Comment
from sessions_app.operations.notifications.notify import notify
from sessions_app.operations.notifications.notify_approvers import notify_approvers
from sessions_app.queries.requests.deciders import deciders_of

LONGEST = 2000
MOST = 200


class ThreadIsFull(Conflict):
    """The request has reached the maximum number of comments."""

    code = "thread_is_full"


def comment_request(*, request_id: int, author: Identity, text: str, now: dt.datetime) -> Comment:
    """Add a comment to the thread of a request that the author can see, and notify the other side.

    A comment by the requester, or by the requester's owner, is sent to everyone who commented before, or to
    the approvers if no one did. Any other comment is sent to the requester. Comments do not approve or deny.
    Raises NotFound, InvalidInput, ThreadIsFull.
    """
    text = checked_text(text, field="text", longest=LONGEST)
    if not text:
        raise InvalidInput(
            "The comment is empty.", hint="Write a question or an answer.", fields={"text": ["Required."]}
        )
    with transaction.atomic():
        request = (
            AccessRequest.objects.visible_to(author)
            .select_for_update(no_key=True, of=("self",))
            .select_related("requester__owner", "cluster", "policy")
            .filter(pk=request_id)
            .first()
        )
        if request is None:
            raise NotFound("Request not found.")
        if request.comments.count() >= MOST:
            raise ThreadIsFull(
                f"The thread of {request.ref} has reached its limit.",
                hint="Continue elsewhere, then submit a new request.",
            )
        comment = Comment.objects.create(request=request, author=author, text=text, created_at=now)
        record(
            event=Event.REQUEST_COMMENTED,
            actor=actor_of(author),
            object_type="request",
            object_ref=request.ref,
            now=now,
            data={"text": text},
        )
        _notify(request, author, text, now)
    return comment


def _notify(request: AccessRequest, author: Identity, text: str, now: dt.datetime) -> None:
    asker = request.requester
    if answers_for(author, asker):
        notify_approvers(
            people=_others_of(request, author),
            event=Event.REQUEST_COMMENTED,
            of=request,
            now=now,
            subject=f"{author} replies on {request.ref}",
            body=text,
            path=f"/approvals/{request.ref}/#thread",
        )
        return
    notify(
        people=[asker],
        event=Event.REQUEST_COMMENTED,
        asks=Asks.ANSWER,
        of=request,
        now=now,
        subject=f"{author} asks about {request.ref}",
        body=text,
        path=f"/requests/{request.ref}/#thread",
    )


def _others_of(request: AccessRequest, author: Identity) -> list[Identity]:
    wrote = Identity.objects.active().filter(pk__in=request.comments.values("author")).exclude(pk=author.pk)
    return [one for one in wrote if not answers_for(one, request.requester)] or deciders_of(request)
