"""A holder saves a file that a gateway fetched, once."""

import datetime as dt

import pytest

from broker.kernel.errors import NotFound
from sessions_app.models import FilePiece, OrderedFile
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.suspend_grant import suspend_grant
from sessions_app.operations.sessions.take_file import take_file
from sessions_app.queries.gateways.ordered_files import PIECE, FileGone
from tests.support.world import acts
from tests.support.world.files import LIST, LOG, fetch, file_grant, keep, listing, order

DATA = b"a" * (PIECE + 5)


@pytest.fixture
def grant(world):
    return file_grant(world)


@pytest.fixture
def ready(grant, now):
    return fetch(order(grant, now, direction="get", path=LOG), DATA, now)


def take(asked, who, now):
    return take_file(order_id=asked.pk, actor=who, client_address="192.0.2.9", now=lambda: now)


def test_it_is_recorded_and_deleted_when_it_was_read(world, grant, ready, now):
    taken = take(ready, world.alice, now)
    assert (taken.path, taken.size) == (LOG, len(DATA))
    entry = acts.last("file.taken", grant.ref)
    assert (entry.actor, entry.data["path"], entry.data["bytes"]) == ("alice", LOG, len(DATA))
    assert b"".join(taken.content) == DATA
    assert not OrderedFile.objects.exists()
    assert not FilePiece.objects.exists()


def test_it_is_given_once(world, ready, now):
    take(ready, world.alice, now)
    with pytest.raises(FileGone):
        take(ready, world.alice, now)


def test_others_do_not_get_it(world, ready, now):
    for other in (world.bob, world.charlie, world.admin, world.robot):
        with pytest.raises(NotFound):
            take(ready, other, now)


def test_an_incomplete_file_and_a_listing_are_not_given(world, grant, now):
    part = order(grant, now, direction="get", path=LOG)
    keep(part.file, b"data", now, whole=False)
    listed = fetch(order(grant, now, index=LIST), listing(), now)
    for asked in (part, listed):
        with pytest.raises(NotFound):
            take(asked, world.alice, now)


def test_nothing_is_given_while_the_grant_is_suspended_or_after_its_end(world, grant, ready, now):
    suspend_grant(grant_id=grant.pk, actor=world.bob, note="", now=now)
    with pytest.raises(GrantIsOver):
        take(ready, world.alice, now)
    acts.revoke(grant)
    with pytest.raises(GrantIsOver):
        take(ready, world.alice, now)


def test_the_end_of_the_grant_cuts_it(world, grant, ready, now):
    content = take(ready, world.alice, now).content
    assert next(content)
    acts.revoke(grant)
    with pytest.raises(FileGone):
        next(content)
    assert not OrderedFile.objects.exists()


def test_an_altered_piece_is_never_given(world, ready, now):
    from broker.kernel.crypto import CannotDecrypt

    piece = FilePiece.objects.get(number=1)
    FilePiece.objects.filter(pk=piece.pk).update(sealed=bytes(piece.sealed)[:-1] + b"\0")
    content = take(ready, world.alice, now).content
    next(content)
    with pytest.raises(CannotDecrypt):
        next(content)


def test_the_time_to_receive_it_is_bounded(world, ready, now):
    take(ready, world.alice, now)
    assert OrderedFile.objects.get().kept_until <= now + dt.timedelta(minutes=10)
