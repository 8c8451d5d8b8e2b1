"""When a key was last used."""

import datetime as dt

import pytest
from django.db import transaction

from accounts.models import SSHPublicKey
from accounts.operations.note_key_use import note_key_use


@pytest.fixture
def key(world):
    return SSHPublicKey.objects.create(
        identity=world.alice, algorithm="ssh-ed25519", public_key="x", fingerprint="SHA256:key"
    )


def noted(key, now, **later: float):
    key.refresh_from_db()
    note_key_use(key=key, now=now + dt.timedelta(**later))
    key.refresh_from_db()
    return key.last_used_at - now


def test_the_first_use_is_noted_and_then_one_a_minute(world, key, django_assert_num_queries):
    assert noted(key, world.now) == dt.timedelta(0)
    assert noted(key, world.now, seconds=59) == dt.timedelta(0)
    assert noted(key, world.now, seconds=60) == dt.timedelta(seconds=60)
    with django_assert_num_queries(0):
        note_key_use(key=key, now=world.now + dt.timedelta(seconds=61))


def test_a_use_waits_for_nobody(live_world, owner_connection):
    key = SSHPublicKey.objects.create(
        identity=live_world.alice, algorithm="ssh-ed25519", public_key="x", fingerprint="SHA256:key"
    )
    with owner_connection.transaction(), transaction.atomic():
        owner_connection.execute("SELECT FROM accounts_sshpublickey WHERE id = %s FOR UPDATE", [key.pk])
        note_key_use(key=key, now=live_world.now)
    key.refresh_from_db()
    assert key.last_used_at is None
