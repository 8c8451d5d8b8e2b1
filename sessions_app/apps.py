"""WHAT, WHY, HOW LONG: catalogue, policies, requests, grants and sessions."""

from django.apps import AppConfig


class SessionsAppConfig(AppConfig):
    """The broker's own subject."""

    name = "sessions_app"
    verbose_name = "Access"

    def ready(self) -> None:
        """Let every process know the kinds of cluster."""
        from sessions_app.operations import connect  # noqa: PLC0415  # it needs the models

        connect.register_all()
