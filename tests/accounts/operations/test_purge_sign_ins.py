"""Sign-ins that are over."""

from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client

from accounts.attempts import Secret, count_attempt, note_usual_address
from accounts.models import AttemptCount, UsualAddress
from accounts.operations.purge_sign_ins import purge_sign_ins
from tests.support.world.acts import after


def test_sessions_are_kept_for_as_long_as_they_last(world):
    client = Client()
    client.force_login(world.alice, backend="accounts.backends.PasswordBackend")
    hours = settings.SESSION_COOKIE_AGE / 3600
    assert purge_sign_ins(now=after(world, hours=hours - 1)) == 0
    assert client.get("/").status_code == 200
    assert purge_sign_ins(now=after(world, hours=hours + 1)) == 1
    assert not Session.objects.exists()


def test_counts_and_addresses_are_kept_for_as_long_as_they_matter(world):
    count_attempt(Secret.PASSWORD, account="alice", address="192.0.2.7", now=world.now)
    note_usual_address(world.alice, "192.0.2.7", world.now)
    assert purge_sign_ins(now=world.now) == 0
    assert purge_sign_ins(now=after(world, minutes=2)) == 3
    assert not AttemptCount.objects.exists()
    assert purge_sign_ins(now=after(world, days=89)) == 0
    assert purge_sign_ins(now=after(world, days=91)) == 1
    assert not UsualAddress.objects.exists()
