"""The outcomes of allowed requests in the record."""

import pytest

from broker.kernel.errors import StintError, Unavailable
from sessions_app.gateways.core.heads import HeadRefused
from sessions_app.gateways.core.outcomes import Report, failed_by


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (StintError("It was moved.", hint="Ask again."), "It was moved."),
        (Unavailable("The database did not respond."), "The database did not respond."),
        (HeadRefused(400, "The body can't be read"), "The body can't be read"),
        (ValueError("a secret of the target"), "the gateway failed (ValueError)"),
    ],
)
@pytest.mark.parametrize(("sent", "state"), [(True, "cut"), (False, "failed")])
def test_an_end_by_an_error_has_its_own_reason(error, reason, sent, state):
    assert failed_by(error, sent=sent) == Report(state, reason)
