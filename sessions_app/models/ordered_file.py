"""Files on their way between a holder's browser and a gateway."""

from __future__ import annotations

from django.db import models

from accounts.models import Identity
from sessions_app.models.grant import Grant
from sessions_app.models.order import CommandOrder


class OrderedFile(models.Model):
    """The content of a transfer that a holder ordered on the page of a grant: a file, or a folder's entries.

    ``direction`` is `get`, `put` or `list`, and ``path`` is on the target. Its pieces are encrypted with a
    key of its own. It is complete from ``complete_at``; ``size`` is in bytes, and ``sha256`` in hex. Deleted
    once it was taken, at ``kept_until``, and when its grant or its run ends without it.
    """

    # The database deletes the row with its order.
    order = models.OneToOneField(CommandOrder, on_delete=models.DO_NOTHING, related_name="file")
    grant = models.ForeignKey(Grant, on_delete=models.PROTECT, related_name="+")
    holder = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="+")
    direction = models.CharField(max_length=4)
    path = models.TextField()
    sealed_key = models.BinaryField()
    size = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    complete_at = models.DateTimeField(null=True)
    taken_at = models.DateTimeField(null=True)
    kept_until = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"file of order {self.order_id}"


class FilePiece(models.Model):
    """One encrypted piece of a file. A complete file ends with an empty piece."""

    # The database deletes the row with its file. The unique constraint's index begins with the file.
    file = models.ForeignKey(OrderedFile, on_delete=models.DO_NOTHING, related_name="pieces", db_index=False)
    number = models.PositiveIntegerField()
    sealed = models.BinaryField()

    class Meta:
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=["file", "number"], name="piece_once"),)

    def __str__(self) -> str:
        return f"piece {self.number} of file {self.file_id}"
