"""A gateway keeps the pieces of a file for the page of its grant."""

import hashlib

import pytest

from sessions_app.models import FilePiece
from sessions_app.queries.gateways.ordered_files import KEPT, PIECE, FileGone, key_of_file, pieces_of
from tests.support.world.acts import revoke
from tests.support.world.files import GET, file_grant, keep, order


@pytest.fixture
def grant(world):
    return file_grant(world)


@pytest.fixture
def file(grant, now):
    return order(grant, now, index=GET, values={"file": "a"}).file


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1])
def test_a_file_comes_back_whole_and_is_stored_encrypted(file, now, size):
    data = b"a" * size
    keep(file, data, now)
    file.refresh_from_db()
    assert (file.size, file.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert (file.complete_at, file.kept_until) == (now, now + KEPT)
    assert b"".join(pieces_of(file.pk, key_of_file(file_id=file.pk), lambda: now)) == data
    assert all(b"aaaaaaaa" not in bytes(piece.sealed) for piece in FilePiece.objects.all())


def test_a_file_without_its_last_piece_is_not_read(file, now):
    keep(file, b"data", now, whole=False)
    with pytest.raises(FileGone):
        list(pieces_of(file.pk, key_of_file(file_id=file.pk), lambda: now))


def test_nothing_is_kept_once_the_grant_has_ended(grant, file, now):
    revoke(grant)
    with pytest.raises(FileGone):
        keep(file, b"data", now)
    assert not FilePiece.objects.exists()


def test_a_complete_file_does_not_change(file, now):
    keep(file, b"data", now)
    with pytest.raises(FileGone):
        keep(file, b"more", now)
