"""The thread of a request."""

import pytest
from django.db import DatabaseError, transaction

from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.models import Comment, Notice
from sessions_app.operations.requests import comment_request as operation
from sessions_app.operations.requests.comment_request import ThreadIsFull, comment_request
from tests.support.world.acts import events, fresh, last


def say(world, request, who, text="Which host first?"):
    return comment_request(request_id=request.pk, author=who, text=text, now=world.now)


def told() -> set[tuple[str, str]]:
    found = Notice.objects.filter(event="request.commented")
    return set(found.values_list("identity__username", "path"))


def test_a_question_is_kept_recorded_and_told_to_the_asker(world):
    request = world.request()
    comment = say(world, request, world.bob, "  Which host first?\n")
    assert (comment.text, comment.author, comment.created_at) == ("Which host first?", world.bob, world.now)
    entry = last("request.commented", request.ref)
    assert (entry.actor, entry.data) == ("bob", {"text": "Which host first?"})
    assert told() == {("alice", f"/requests/{request.ref}/#thread")}
    assert fresh(request).state == "pending"


def test_the_answer_is_told_to_those_who_asked(world):
    request = world.request()
    say(world, request, world.bob)
    Notice.objects.all().delete()
    say(world, request, world.alice, "web-1.")
    assert told() == {("bob", f"/approvals/{request.ref}/#thread")}


def test_what_the_asker_says_first_is_told_to_all_who_can_decide(world):
    request = world.request()
    say(world, request, world.alice, "It is urgent.")
    assert {name for name, _ in told()} == {"bob", "dora"}


def test_who_may_not_see_the_request_says_nothing_there(world):
    request = world.request()
    for pk in (request.pk, 10**6):
        with pytest.raises(NotFound, match="Request not found"):
            comment_request(request_id=pk, author=world.charlie, text="Hello", now=world.now)
    assert not Comment.objects.exists()


@pytest.mark.parametrize("text", ["", " \n", "x" * 2001, "a\x00b"])
def test_nothing_too_much_and_what_can_not_be_kept_is_refused(world, text):
    request = world.request()
    with pytest.raises(InvalidInput):
        say(world, request, world.bob, text)
    assert "request.commented" not in events(request.ref)


def test_what_was_said_stays(world):
    comment = say(world, world.request(), world.bob)
    with pytest.raises(DatabaseError, match="stays"), transaction.atomic():
        Comment.objects.filter(pk=comment.pk).update(text="Other")
    with pytest.raises(DatabaseError, match="stays"), transaction.atomic():
        Comment.objects.filter(pk=comment.pk).delete()


def test_a_thread_ends_somewhere(world):
    request = world.request()
    Comment.objects.bulk_create(
        Comment(request=request, author=world.bob, text=str(number)) for number in range(operation.MOST)
    )
    with pytest.raises(ThreadIsFull):
        say(world, request, world.alice)
