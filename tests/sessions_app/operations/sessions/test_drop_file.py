"""A file is deleted with its pieces."""

from sessions_app.models import CommandOrder, FilePiece, OrderedFile
from sessions_app.operations.sessions.drop_file import drop_file
from tests.support.world.files import PUT, file_grant, order


def test_it_is_deleted_with_its_pieces_and_deleting_it_again_does_nothing(world, now):
    grant = file_grant(world)
    kept = order(grant, now, index=PUT, values={"file": "kept"}, data=b"kept").file
    gone = order(grant, now, index=PUT, values={"file": "gone"}, data=b"gone").file
    for _ in range(2):
        drop_file(file_id=gone.pk)
    assert OrderedFile.objects.get() == kept
    assert set(FilePiece.objects.values_list("file", flat=True)) == {kept.pk}
    assert CommandOrder.objects.count() == 2
