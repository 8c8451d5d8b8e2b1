"""The next certificate authority."""

from __future__ import annotations

import pytest

from sessions_app.operations.targets.ensure_ssh_ca import ensure_ssh_ca
from sessions_app.operations.targets.prepare_ssh_ca import AlreadyPrepared, prepare_ssh_ca
from sessions_app.queries.authority import active_ssh_ca, trusted_ssh_cas
from tests.support.acts import last
from tests.support.world import SETUP


def test_it_is_trusted_before_it_signs(db, now):
    first = ensure_ssh_ca(now=now)
    coming = prepare_ssh_ca(actor=SETUP, now=now)
    assert active_ssh_ca() == first
    assert trusted_ssh_cas() == [first, coming]
    assert last("ca.created", coming.fingerprint).data["signs"] is False


def test_one_waits_at_a_time(db, now):
    prepare_ssh_ca(actor=SETUP, now=now)
    with pytest.raises(AlreadyPrepared):
        prepare_ssh_ca(actor=SETUP, now=now)
