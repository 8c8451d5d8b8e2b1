"""The next certificate authority."""

import pytest

from sessions_app.models import SigningKey
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.operations.targets.prepare_authority import AlreadyPrepared, prepare_authority
from sessions_app.queries.gateways.keys import active_authority, trusted_authorities
from tests.support.world.acts import at_once, last
from tests.support.world.world import SETUP


def test_it_is_trusted_before_it_signs(db, now, purpose):
    first = ensure_authority(purpose, now=now)
    coming = prepare_authority(purpose, actor=SETUP, now=now)
    assert active_authority(purpose) == first
    assert trusted_authorities(purpose) == [first, coming]
    assert last("ca.created", coming.fingerprint).data["signs"] is False


def test_one_waits_at_a_time(db, now, purpose):
    prepare_authority(purpose, actor=SETUP, now=now)
    with pytest.raises(AlreadyPrepared):
        prepare_authority(purpose, actor=SETUP, now=now)


def test_prepared_by_two_at_once_one_waits(stint_db, now, purpose):
    first, second = at_once(*[lambda: prepare_authority(purpose, actor=SETUP, now=now)] * 2)
    assert {type(first), type(second)} == {SigningKey, AlreadyPrepared}
    assert SigningKey.objects.filter(purpose=purpose).count() == 1
