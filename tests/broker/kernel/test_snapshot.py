"""One snapshot for all that is read in a block."""

import pytest
from django.db import InternalError

from accounts.models import Identity
from broker.kernel.snapshot import one_snapshot
from tests.support.threads import in_thread


def invite(name: str) -> Identity:
    return Identity.objects.create(username=name)


def test_what_others_write_meanwhile_is_not_seen_until_the_block_is_over(live_world):
    with one_snapshot():
        before = Identity.objects.count()
        in_thread(lambda: invite("zoe"))
        assert Identity.objects.count() == before
    assert Identity.objects.count() == before + 1


def test_nothing_is_written_in_it(live_world):
    with pytest.raises(InternalError), one_snapshot():
        invite("zoe")


def test_nothing_is_written_in_it_within_a_transaction_that_goes_on_to_write(world):
    with pytest.raises(InternalError), one_snapshot():
        invite("zoe")
    assert invite("zoe").pk
