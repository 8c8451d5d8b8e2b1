r"""The models of the record, and its format for verifiers.

An entry's facts are in ``body``, the exact text that is hashed. The other columns repeat some of them for
filters, and ``verify`` compares them with the body. In bytes, with ``||`` for concatenation::

    body      one JSON object with exactly the keys at, log, data, actor, event, actor_id, object_ref and
              object_type, as PostgreSQL writes a jsonb value as text, in UTF-8. "at" is UTC with
              microseconds, 2026-11-25T09:30:00.000000Z; actor_id is an integer or null; data is an object.
    seq       1, 2, 3 ... in each log, without gaps
    genesis   SHA-256( "stint-audit-log-1\n" || log )
    hash      SHA-256( "stint-audit-entry-1\n" || prev_hash (32 bytes) || seq (8 bytes, big-endian) || body )
    prev_hash the hash of the entry before, or genesis for entry 1

The ``1`` in both prefixes is the version of the format. Neither prefix begins with byte 0 or 1, the prefixes
of leaves and nodes in an RFC 6962 tree, so hashes of the chain and of the tree can't be confused.

The text of an old entry can be archived: ``body`` is then empty, and all else remains (``archives``).

The migration creates the tables and their triggers, which refuse UPDATE, DELETE and TRUNCATE to everyone, and
INSERT to everything except ``audit_write``, which ``audit_append_at_commit`` and ``audit_append_many`` run as
the owner.

The chain has a limit: the owner of the database can drop the triggers and write a whole new chain with a new
head. Checkpoints reveal this. They are signed with a key that the database has only in encrypted form, and
stored in a file outside it. ``tree`` implements their tree and ``signed_note`` their text. ``offline``
verifies both without Stint.
"""

from __future__ import annotations

import json
from typing import Any

from django.db import models

from broker.audit.tree import HASH_BYTES, Tree

MAIN_LOG = "main"


class AuditEntry(models.Model):
    """One entry of a log. Read-only, because entries are written by ``record``."""

    pk = models.CompositePrimaryKey("log", "seq")
    log = models.TextField(db_collation="C")
    seq = models.BigIntegerField()
    at = models.DateTimeField()
    event = models.TextField(db_collation="C")
    actor = models.TextField(db_collation="C")
    actor_id = models.BigIntegerField(null=True)
    object_type = models.TextField(db_collation="C")
    object_ref = models.TextField(db_collation="C")
    body = models.TextField()
    prev_hash = models.BinaryField()
    hash = models.BinaryField()

    class Meta:
        # Unmanaged, so that `flush` does not try to truncate the table, which rejects that.
        managed = False
        db_table = "audit_entry"
        verbose_name = "entry"
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"{self.log} {self.seq} {self.event} {self.object_ref}"

    @property
    def archived(self) -> bool:
        """Whether the text is only in an archive. The hash remains."""
        return not self.body

    @property
    def data(self) -> dict[str, Any]:
        """The event's own data, from the hashed text; empty if the text was archived."""
        if self.archived:
            return {}
        data: dict[str, Any] = json.loads(self.body)["data"]
        return data


class AuditHead(models.Model):
    """The last entry of each log. Its row lock serializes the entries of concurrent transactions."""

    log = models.TextField(primary_key=True, db_collation="C")
    seq = models.BigIntegerField()
    hash = models.BinaryField()

    class Meta:
        managed = False
        db_table = "audit_head"

    def __str__(self) -> str:
        return f"{self.log} {self.seq}"


class AuditCheckpoint(models.Model):
    """A signed statement of the number of entries in a log, and of the root of its tree.

    ``note`` is the exact text with its signature.
    """

    pk = models.CompositePrimaryKey("log", "size")
    log = models.TextField(db_collation="C")
    size = models.BigIntegerField()
    root = models.BinaryField()
    at = models.DateTimeField()
    note = models.TextField()

    class Meta:
        managed = False
        db_table = "audit_checkpoint"

    def __str__(self) -> str:
        return f"{self.log} {self.size}"


class AuditArchive(models.Model):
    """A copy of the entries after number ``after`` up to number ``until``, in the format of a partial export,
    compressed with gzip.

    ``sha256`` is the digest of the compressed file, in hex. ``object`` is the file's name in the object
    store; empty if the administrator keeps the file.
    """

    pk = models.CompositePrimaryKey("log", "until")
    log = models.TextField(db_collation="C")
    after = models.BigIntegerField()
    until = models.BigIntegerField()
    sha256 = models.TextField()
    object = models.TextField()
    at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "audit_archive"

    def __str__(self) -> str:
        return f"{self.log} {self.after + 1}-{self.until}"


class AuditKey(models.Model):
    """The encrypted key that signs a log's checkpoints, and their origin."""

    log = models.TextField(primary_key=True, db_collation="C")
    origin = models.TextField()
    sealed_private_key = models.BinaryField()
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "audit_key"

    def __str__(self) -> str:
        return f"{self.log} {self.origin}"


class AuditTree(models.Model):
    """The full subtrees of the newest checkpoint's tree and the hash of its last entry, from which the next
    checkpoint continues.
    """

    log = models.TextField(primary_key=True)
    size = models.BigIntegerField()
    peaks = models.BinaryField()
    last_hash = models.BinaryField()

    class Meta:
        db_table = "audit_tree"

    def __str__(self) -> str:
        return f"{self.log} {self.size}"

    def under(self, root: bytes) -> Tree | None:
        """Return the tree if it has this root, or None if the row was altered."""
        peaks = bytes(self.peaks)
        parts = [peaks[at : at + HASH_BYTES] for at in range(0, len(peaks), HASH_BYTES)]
        if len(parts) != self.size.bit_count():
            return None
        tree = Tree(self.size, parts)
        return tree if tree.root() == root else None


class AuditTrouble(models.Model):
    """A current failure to make checkpoints of a log, or to store them outside the database, with its start
    and reason. The row is deleted when the failure is over.
    """

    log = models.TextField(primary_key=True)
    since = models.DateTimeField()
    error = models.TextField()

    class Meta:
        db_table = "audit_trouble"

    def __str__(self) -> str:
        return f"{self.log} {self.error}"


class AuditStanding(models.Model):
    """The result of comparing a log with its checkpoints outside the database, which is done after each start
    or restore.

    ``incarnation`` changes at each restart or restore of the database. ``contradiction`` is empty if the log
    and its checkpoints match.
    """

    log = models.TextField(primary_key=True)
    incarnation = models.TextField()
    contradiction = models.TextField(blank=True)
    at = models.DateTimeField()

    class Meta:
        db_table = "audit_standing"

    def __str__(self) -> str:
        return f"{self.log} {self.contradiction or 'matches its checkpoints'}"


class AuditVerification(models.Model):
    """The result of the latest verification of a log, one row for each log. Each result is also an entry.

    The entries from ``first_seq`` on were read at ``at``, and all entries were last read at ``whole_at``.
    ``entries`` is the total number of verified entries.
    """

    log = models.TextField(primary_key=True)
    at = models.DateTimeField()
    first_seq = models.BigIntegerField(default=1)
    whole_at = models.DateTimeField(null=True)
    ok = models.BooleanField()
    entries = models.BigIntegerField()
    first_bad_seq = models.BigIntegerField(null=True)
    problem = models.TextField(blank=True)
    detail = models.TextField(blank=True)
    head_hash = models.BinaryField(null=True)

    class Meta:
        db_table = "audit_verification"

    def __str__(self) -> str:
        return f"{self.log} {'intact' if self.ok else f'broken at {self.first_bad_seq}'}"


class AuditReading(models.Model):
    """A full verification in progress, which reads a log in parts and has reached entry ``seq``.

    ``sealed`` is the state from which the verification continues. The state is encrypted, so that no one with
    access to the database can make the verification skip entries.
    """

    log = models.TextField(primary_key=True)
    began_at = models.DateTimeField()
    seq = models.BigIntegerField(default=0)
    sealed = models.BinaryField(default=b"")

    class Meta:
        db_table = "audit_reading"

    def __str__(self) -> str:
        return f"{self.log} read to {self.seq}"


class AuditBacklog(models.Model):
    """An entry about the removal of access that the record could not accept. When the record accepts entries
    again, the entry is appended with its original time.
    """

    at = models.DateTimeField()
    event = models.TextField()
    actor = models.TextField()
    actor_id = models.BigIntegerField(null=True)
    actor_kind = models.TextField(default="system")
    object_type = models.TextField()
    object_ref = models.TextField()
    data = models.JSONField(default=dict)

    class Meta:
        db_table = "audit_backlog"

    def __str__(self) -> str:
        return f"{self.event} {self.object_ref}"


class AuditAttempt(models.Model):
    """The attempts from one source within a minute, which become one entry afterward. ``told`` means that
    the first attempt is already an entry.
    """

    event = models.TextField()
    actor = models.TextField()
    actor_id = models.BigIntegerField(null=True)
    actor_kind = models.TextField()
    object_type = models.TextField()
    object_ref = models.TextField()
    source = models.TextField()
    first_at = models.DateTimeField(db_index=True)
    last_at = models.DateTimeField()
    times = models.BigIntegerField()
    told = models.BooleanField()
    examples = models.JSONField()

    class Meta:
        db_table = "audit_attempt"
        constraints = (
            models.UniqueConstraint(fields=["event", "object_ref", "source"], name="audit_attempt_once"),
        )
        indexes = (models.Index(fields=["event"], condition=models.Q(told=True), name="audit_attempt_told"),)

    def __str__(self) -> str:
        return f"{self.event} {self.object_ref} from {self.source}: {self.times}"
