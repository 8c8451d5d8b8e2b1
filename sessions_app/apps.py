"""WHAT, WHY, HOW LONG: catalogue, policies, requests, grants and sessions."""

from django.apps import AppConfig


class SessionsAppConfig(AppConfig):
    """The broker's own subject."""

    name = "sessions_app"
    verbose_name = "Access"

    def ready(self) -> None:
        """Let every process find the kinds of cluster."""
        from sessions_app.connectors import registry  # noqa: PLC0415  # as late as can be

        registry.load_by(_register)


def _register() -> None:
    from sessions_app.operations.targets import connect  # noqa: PLC0415  # it needs the models, and much memory

    connect.register_all()
