"""An authority is put out of use for good."""

import pytest
from django.db import IntegrityError, transaction

from broker.kernel.errors import NotFound
from sessions_app.models import SigningKey
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.operations.targets.prepare_authority import prepare_authority
from sessions_app.operations.targets.retire_authority import StillSigns, retire_authority
from sessions_app.operations.targets.rotate_authority import rotate_authority
from sessions_app.queries.gateways.keys import trusted_authorities
from tests.support.world.acts import events
from tests.support.world.world import SETUP


def test_a_retired_authority_is_not_trusted_and_its_key_is_forgotten(db, now, purpose):
    old = ensure_authority(purpose, now=now)
    prepare_authority(purpose, actor=SETUP, now=now)
    fresh = rotate_authority(purpose, actor=SETUP, now=now)
    for _ in range(2):
        retired = retire_authority(purpose, fingerprint=old.fingerprint, actor=SETUP, now=now)
    assert bytes(retired.sealed_private_key) == b""
    assert trusted_authorities(purpose) == [fresh]
    assert events(old.fingerprint).count("ca.retired") == 1
    SigningKey.objects.filter(pk=fresh.pk).update(is_active=False)
    with pytest.raises(IntegrityError), transaction.atomic():
        SigningKey.objects.filter(pk=old.pk).update(is_active=True)


def test_the_one_that_signs_is_not_retired(db, now, purpose):
    with pytest.raises(StillSigns):
        retire_authority(
            purpose, fingerprint=ensure_authority(purpose, now=now).fingerprint, actor=SETUP, now=now
        )


def test_an_unknown_one_is_said_to_be_so(db, now, purpose):
    with pytest.raises(NotFound):
        retire_authority(purpose, fingerprint="SHA256:none", actor=SETUP, now=now)
