"""The streams process: bare ASGI, because Django under ASGI costs several times the CPU."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "broker.settings")
django.setup()

from sessions_app.streams import application  # noqa: E402  # it needs the applications to be loaded

__all__ = ["application"]
