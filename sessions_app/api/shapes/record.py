"""Entries of the record."""

from __future__ import annotations

from rest_framework import serializers

from broker.audit.models import AuditEntry
from sessions_app.api.fields import Moment, Shape


class EntryShape(Shape):
    """One entry, with its place in the chain."""

    seq = serializers.IntegerField()
    at = Moment()
    event = serializers.CharField()
    actor = serializers.CharField()
    object_type = serializers.CharField()
    object_ref = serializers.CharField()
    data = serializers.DictField()  # type: ignore[assignment]  # shadows DRF's attribute
    archived = serializers.BooleanField(
        help_text="Whether the data is only in an archive; `data` is then empty"
    )
    hash = serializers.SerializerMethodField()
    previous_hash = serializers.SerializerMethodField()

    def get_hash(self, entry: AuditEntry) -> str:
        """Hash of the entry in hex."""
        return bytes(entry.hash).hex()

    def get_previous_hash(self, entry: AuditEntry) -> str:
        """Hash, in hex, of the previous entry in the chain."""
        return bytes(entry.prev_hash).hex()
