"""The project as a Django app, with its system checks and static files."""

from django.apps import AppConfig
from django.conf import settings

from broker.kernel import tracing
from broker.kernel.metrics import BUILD


class BrokerConfig(AppConfig):
    """The project's own app, in addition to the apps for accounts and access."""

    name = "broker"
    verbose_name = "Stint"

    def ready(self) -> None:
        """Register the system checks, and make the worker's Celery app the default app."""
        from broker import celery, checks  # noqa: F401, PLC0415  # both need the applications to be loaded

        BUILD.labels(settings.VERSION).set(1)
        if settings.TRACES:
            tracing.start(settings.VERSION, installation=settings.PUBLIC_URL)
