"""The project itself, as an application: checks and static files."""

from django.apps import AppConfig


class BrokerConfig(AppConfig):
    """The shell around accounts and access."""

    name = "broker"
    verbose_name = "Stint"

    def ready(self) -> None:
        """Register the system checks, and make the worker's application the one that messages are sent by."""
        from broker import celery, checks  # noqa: F401, PLC0415  # both need the applications to be loaded
