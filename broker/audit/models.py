r"""The rows of the record, and the format that a verifier is written from.

An entry's facts are in ``body``, the exact text that was hashed; the other columns repeat some of them for
filters and are checked against the body by ``verify``. In bytes, with ``||`` for concatenation::

    body      one JSON object with exactly the keys at, log, data, actor, event, actor_id, object_ref and
              object_type, as PostgreSQL writes a jsonb value as text, in UTF-8. "at" is UTC with
              microseconds, 2026-11-25T09:30:00.000000Z; actor_id is an integer or null; data is an object.
    seq       1, 2, 3 ... in each log, without gaps
    genesis   SHA-256( "stint-audit-log-1\n" || log )
    hash      SHA-256( "stint-audit-entry-1\n" || prev_hash (32 bytes) || seq (8 bytes, big-endian) || body )
    prev_hash the hash of the entry before, or genesis for entry 1

The ``1`` in both prefixes is the version of the format. Neither prefix begins with a byte 0 or 1, the domains
of leaves and nodes in an RFC 6962 tree, so a tree over the same entries can't be confused with the chain.

The tables are made and guarded by the migration: triggers refuse UPDATE, DELETE and TRUNCATE to everybody,
and INSERT to everything but ``audit_append`` and ``audit_append_many``, which run with the owner's rights.

What the chain does not show: whoever owns the database can drop the guards and write a whole new chain with a
new head. Checkpoints give that away: signed under a key that the database has only sealed, and kept in a file outside it.
``tree`` has their tree, ``signed_note`` their text; ``offline`` verifies both without Stint.
"""

from __future__ import annotations

import json
from typing import Any

from django.db import models

from broker.audit.tree import HASH_BYTES, Tree

MAIN_LOG = "main"


class AuditEntry(models.Model):
    """One entry of a log. Read only: ``record`` is the way to write one."""

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
        # Unmanaged, so that `flush` does not try to empty what nothing may empty.
        managed = False
        db_table = "audit_entry"
        verbose_name = "entry"
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"{self.log} {self.seq} {self.event} {self.object_ref}"

    @property
    def data(self) -> dict[str, Any]:
        """The entry's own facts, read from the hashed text."""
        data: dict[str, Any] = json.loads(self.body)["data"]
        return data


class AuditHead(models.Model):
    """The last entry of each log; its row lock puts the entries of concurrent transactions in order."""

    log = models.TextField(primary_key=True, db_collation="C")
    seq = models.BigIntegerField()
    hash = models.BinaryField()

    class Meta:
        managed = False
        db_table = "audit_head"

    def __str__(self) -> str:
        return f"{self.log} {self.seq}"


class AuditCheckpoint(models.Model):
    """A signed statement that the log had so many entries under this root. ``note`` is the exact text with its signature."""

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


class AuditKey(models.Model):
    """The key that signs a log's checkpoints, sealed, and the origin that stands in them."""

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
    """The full subtrees of the newest checkpoint's tree, and the hash of its last entry: where the next one goes on."""

    log = models.TextField(primary_key=True)
    size = models.BigIntegerField()
    peaks = models.BinaryField()
    last_hash = models.BinaryField()

    class Meta:
        db_table = "audit_tree"

    def __str__(self) -> str:
        return f"{self.log} {self.size}"

    def under(self, root: bytes) -> Tree | None:
        """Return the tree if this is its root; else None, because it was altered."""
        peaks = bytes(self.peaks)
        parts = [peaks[at : at + HASH_BYTES] for at in range(0, len(peaks), HASH_BYTES)]
        if len(parts) != self.size.bit_count():
            return None
        tree = Tree(self.size, parts)
        return tree if tree.root() == root else None


class AuditTrouble(models.Model):
    """Since when checkpoints of a log can't be made, or not be kept outside, and why; a row only while it is so."""

    log = models.TextField(primary_key=True)
    since = models.DateTimeField()
    error = models.TextField()

    class Meta:
        db_table = "audit_trouble"

    def __str__(self) -> str:
        return f"{self.log} {self.error}"


class AuditStanding(models.Model):
    """What came of comparing a log with the checkpoints kept outside, since this database was started or restored.

    ``incarnation`` tells this database from the same one before a restore; ``contradiction`` is empty when they agree.
    """

    log = models.TextField(primary_key=True)
    incarnation = models.TextField()
    contradiction = models.TextField(blank=True)
    at = models.DateTimeField()

    class Meta:
        db_table = "audit_standing"

    def __str__(self) -> str:
        return f"{self.log} {self.contradiction or 'stands'}"


class AuditVerification(models.Model):
    """What the latest verification of a log found, one row a log; each result is also an entry.

    It read the entries from ``first_seq`` on, at ``at``; those before had last been read with all others at ``whole_at``.
    ``entries`` counts both.
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


class AuditBacklog(models.Model):
    """An entry about an end that the record did not take. It is appended, with its own time, when the record is back."""

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
    """Attempts of one source in one minute, which are one entry afterwards. ``told``: the first is an entry already."""

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
