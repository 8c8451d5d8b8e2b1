"""An authority is put out of use for good."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from broker.kernel.errors import NotFound
from sessions_app.models import SigningKey
from sessions_app.operations.targets.ensure_ssh_ca import ensure_ssh_ca
from sessions_app.operations.targets.prepare_ssh_ca import prepare_ssh_ca
from sessions_app.operations.targets.retire_ssh_ca import StillSigns, retire_ssh_ca
from sessions_app.operations.targets.rotate_ssh_ca import rotate_ssh_ca
from sessions_app.queries.authority import trusted_ssh_cas
from tests.support.acts import events
from tests.support.world import SETUP


def test_a_retired_authority_is_not_trusted_and_its_key_is_forgotten(db, now):
    old = ensure_ssh_ca(now=now)
    prepare_ssh_ca(actor=SETUP, now=now)
    fresh = rotate_ssh_ca(actor=SETUP, now=now)
    for _ in range(2):
        retired = retire_ssh_ca(fingerprint=old.fingerprint, actor=SETUP, now=now)
    assert bytes(retired.sealed_private_key) == b""
    assert trusted_ssh_cas() == [fresh]
    assert events(old.fingerprint).count("ca.retired") == 1
    SigningKey.objects.filter(pk=fresh.pk).update(is_active=False)
    with pytest.raises(IntegrityError), transaction.atomic():
        SigningKey.objects.filter(pk=old.pk).update(is_active=True)


def test_the_one_that_signs_is_not_retired(db, now):
    with pytest.raises(StillSigns):
        retire_ssh_ca(fingerprint=ensure_ssh_ca(now=now).fingerprint, actor=SETUP, now=now)


def test_an_unknown_one_is_said_to_be_so(db, now):
    with pytest.raises(NotFound):
        retire_ssh_ca(fingerprint="SHA256:none", actor=SETUP, now=now)
