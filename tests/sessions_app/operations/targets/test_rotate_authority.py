"""A prepared authority takes over."""

import datetime as dt

import pytest
from django.db import transaction

from sessions_app.models import SigningKey
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.operations.targets.prepare_authority import prepare_authority
from sessions_app.operations.targets.retire_authority import retire_authority
from sessions_app.operations.targets.rotate_authority import NotPrepared, TooSoon, rotate_authority
from sessions_app.queries.gateways.keys import active_authority, trusted_authorities
from tests.support.world.acts import Started, at_once, last, wait_for_waiters
from tests.support.world.world import SETUP


def test_the_new_one_signs_and_both_are_trusted(db, now, purpose):
    old = ensure_authority(purpose, now=now)
    prepare_authority(purpose, actor=SETUP, now=now)
    fresh = rotate_authority(purpose, actor=SETUP, now=now)
    assert active_authority(purpose) == fresh
    assert trusted_authorities(purpose) == [old, fresh]
    assert last("ca.rotated", fresh.fingerprint).data == {"before": old.fingerprint}


def test_an_old_authority_is_not_rotated_back_to(db, now, purpose):
    ensure_authority(purpose, now=now)
    prepare_authority(purpose, actor=SETUP, now=now)
    rotate_authority(purpose, actor=SETUP, now=now)
    with pytest.raises(NotPrepared):
        rotate_authority(purpose, actor=SETUP, now=now)


def test_one_that_clients_had_no_time_to_learn_is_not_used_yet(db, now, purpose):
    old, week = ensure_authority(purpose, now=now), dt.timedelta(days=7)
    fresh = prepare_authority(purpose, actor=SETUP, now=now)
    with pytest.raises(TooSoon, match=f"has been announced to clients only since {now:%Y-%m-%d}"):
        rotate_authority(purpose, actor=SETUP, now=now + week - dt.timedelta(seconds=1), announced=week)
    assert active_authority(purpose) == old
    assert rotate_authority(purpose, actor=SETUP, now=now + week, announced=week) == fresh


def test_rotated_by_two_at_once_one_signs(stint_db, now, purpose):
    ensure_authority(purpose, now=now)
    prepare_authority(purpose, actor=SETUP, now=now)
    at_once(*[lambda: rotate_authority(purpose, actor=SETUP, now=now)] * 3)
    assert SigningKey.objects.filter(is_active=True).count() == 1


def test_one_that_is_retired_at_this_moment_never_signs(stint_db, owner_connection, now, purpose):
    old = ensure_authority(purpose, now=now)
    coming = prepare_authority(purpose, actor=SETUP, now=now)
    with transaction.atomic():
        retire_authority(purpose, fingerprint=coming.fingerprint, actor=SETUP, now=now)
        rotating = Started(lambda: rotate_authority(purpose, actor=SETUP, now=now))
        wait_for_waiters(owner_connection, 1)
    assert isinstance(rotating.result(), NotPrepared)
    assert active_authority(purpose) == old
