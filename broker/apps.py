"""The project itself, as an application: checks and static files."""

from django.apps import AppConfig


class BrokerConfig(AppConfig):
    """The shell around accounts and access."""

    name = "broker"
    verbose_name = "Stint"

    def ready(self) -> None:
        """Register the system checks."""
        from broker import checks  # noqa: F401, PLC0415  # registering needs the applications to be loaded
