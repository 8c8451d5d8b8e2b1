"""A proof counts once."""

import datetime as dt

from sessions_app.models import ProofUsed
from sessions_app.operations.grants.use_proof import use_proof
from tests.support.world.acts import at_once


def use(now, jti="j", jkt="k", lasts=60):
    return use_proof(jkt=jkt, jti=jti, expires_at=now + dt.timedelta(seconds=lasts), now=now)


def test_the_same_proof_of_the_same_key_counts_once(db, now):
    assert use(now)
    assert not use(now)
    assert use(now, jti="other")
    assert use(now, jkt="other")


def test_what_is_too_old_to_be_used_is_forgotten(db, now):
    for number in range(5):
        use(now, jti=str(number))
    use(now + dt.timedelta(seconds=61), jti="later")
    assert ProofUsed.objects.count() == 1


def test_of_many_at_once_one_is_the_first(live_world):
    assert at_once(*[lambda: use(live_world.now)] * 6).count(True) == 1
