"""Bookmarks: prepared requests, and searches of the record."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from accounts.models import Identity


class BookmarkPage(models.TextChoices):
    """The pages whose state can be saved."""

    REQUEST = "request", "Request access"
    RECORD = "record", "Record"


class Bookmark(models.Model):
    """A page's query string saved under a name: a prepared request, or a search of the record."""

    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="bookmarks")
    page = models.CharField(max_length=10, choices=BookmarkPage.choices)
    name = models.CharField(max_length=80)
    query = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["identity", "page", "name"], name="bookmark_name_once")
        ]

    def __str__(self) -> str:
        return self.name
