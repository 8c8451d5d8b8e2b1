"""The Django app of the record."""

from __future__ import annotations

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """The app of the record's models, with the label ``audit``."""

    name = "broker.audit"
    label = "audit"
    verbose_name = "Record"
    default_auto_field = "django.db.models.BigAutoField"
