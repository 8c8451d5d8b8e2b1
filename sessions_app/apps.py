"""Who can get access to what, why and for how long: catalog, policies, requests, grants and sessions."""

from django.apps import AppConfig


class SessionsAppConfig(AppConfig):
    """The core domain of the broker."""

    name = "sessions_app"
    verbose_name = "Access"

    def ready(self) -> None:
        """Register the kinds of clusters in every process."""
        from sessions_app.connectors import registry  # noqa: PLC0415  # as late as possible

        registry.load_by(_register)


def _register() -> None:
    from sessions_app.operations.targets import connect  # noqa: PLC0415  # needs the models, and a lot of memory

    connect.register_all()
