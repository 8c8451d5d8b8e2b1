"""WHAT, WHY, HOW LONG: catalogue, policies, requests, grants and sessions."""

from django.apps import AppConfig


class SessionsAppConfig(AppConfig):
    """The broker's own subject."""

    name = "sessions_app"
    verbose_name = "Access"
