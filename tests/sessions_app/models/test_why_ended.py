"""Why a grant ended, in words."""

import pytest

from accounts.models import Identity
from sessions_app.models import EndReason, Grant
from sessions_app.models.grant import why_over

BOB = Identity(pk=2, username="bob", name="Bob")


@pytest.mark.parametrize(
    ("reason", "by", "why"),
    [
        ("revoked", BOB, "revoked by Bob"),
        ("released", BOB, "ended by Bob"),
        ("released", None, "ended by the holder"),
        ("identity_disabled", BOB, "holder disabled by Bob"),
        ("expired", None, "expired"),
        ("", None, ""),
    ],
)
def test_it_names_the_reason_and_who_ended_it(reason, by, why):
    assert Grant(end_reason=reason, ended_by=by).why_ended == why


def test_every_reason_ends_a_sentence_and_what_is_none_says_nothing():
    assert all(why_over(reason)[:1].islower() for reason in EndReason)
    assert why_over("unknown") == ""
