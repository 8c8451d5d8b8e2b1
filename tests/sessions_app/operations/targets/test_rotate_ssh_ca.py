"""A prepared authority takes over."""

from __future__ import annotations

import pytest

from sessions_app.models import SigningKey
from sessions_app.operations.targets.ensure_ssh_ca import ensure_ssh_ca
from sessions_app.operations.targets.prepare_ssh_ca import prepare_ssh_ca
from sessions_app.operations.targets.rotate_ssh_ca import NotPrepared, rotate_ssh_ca
from sessions_app.queries.authority import active_ssh_ca, trusted_ssh_cas
from tests.support.acts import at_once, last
from tests.support.world import SETUP


def test_the_new_one_signs_and_both_are_trusted(db, now):
    old = ensure_ssh_ca(now=now)
    prepare_ssh_ca(actor=SETUP, now=now)
    fresh = rotate_ssh_ca(actor=SETUP, now=now)
    assert active_ssh_ca() == fresh
    assert trusted_ssh_cas() == [old, fresh]
    assert last("ca.rotated", fresh.fingerprint).data == {"before": old.fingerprint}


def test_without_a_prepared_one_nothing_changes(db, now):
    old = ensure_ssh_ca(now=now)
    with pytest.raises(NotPrepared):
        rotate_ssh_ca(actor=SETUP, now=now)
    assert active_ssh_ca() == old


def test_an_old_authority_is_not_rotated_back_to(db, now):
    ensure_ssh_ca(now=now)
    prepare_ssh_ca(actor=SETUP, now=now)
    rotate_ssh_ca(actor=SETUP, now=now)
    with pytest.raises(NotPrepared):
        rotate_ssh_ca(actor=SETUP, now=now)


def test_rotated_by_two_at_once_one_signs(stint_db, now):
    ensure_ssh_ca(now=now)
    prepare_ssh_ca(actor=SETUP, now=now)
    at_once(*[lambda: rotate_ssh_ca(actor=SETUP, now=now)] * 3)
    assert SigningKey.objects.filter(is_active=True).count() == 1
