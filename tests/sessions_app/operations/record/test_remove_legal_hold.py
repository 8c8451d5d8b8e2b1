"""A hold ends once, with a reason."""

import pytest

from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.operations.record.add_legal_hold import add_legal_hold
from sessions_app.operations.record.remove_legal_hold import remove_legal_hold
from sessions_app.operations.record.store_archive import ARCHIVER
from tests.support.world import acts


def test_it_is_removed_once_and_recorded_with_its_reason(world, now):
    hold = add_legal_hold(actor=ARCHIVER, identity="alice", reason="case 7", now=now)
    with pytest.raises(InvalidInput):
        remove_legal_hold(actor=ARCHIVER, number=hold.pk, reason=" ", now=now)
    remove_legal_hold(actor=ARCHIVER, number=hold.pk, reason="settled", now=now)
    assert acts.last("legal_hold.removed", str(hold.pk)).data == {"reason": "settled"}
    with pytest.raises(NotFound):
        remove_legal_hold(actor=ARCHIVER, number=hold.pk, reason="settled", now=now)
