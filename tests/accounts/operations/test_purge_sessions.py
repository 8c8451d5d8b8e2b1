"""Sign-ins that are over."""

from __future__ import annotations

from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client

from accounts.operations.purge_sessions import purge_sessions
from tests.support.world.acts import after


def test_sessions_are_kept_for_as_long_as_they_last(world):
    client = Client()
    client.force_login(world.alice, backend="accounts.backends.PasswordBackend")
    hours = settings.SESSION_COOKIE_AGE / 3600
    assert purge_sessions(now=after(world, hours=hours - 1)) == 0
    assert client.get("/").status_code == 200
    assert purge_sessions(now=after(world, hours=hours + 1)) == 1
    assert not Session.objects.exists()
