"""Associates objects with the lifetime of a grant, for traces."""

from __future__ import annotations

from broker.kernel.trace_ids import Life
from sessions_app.models import AccessRequest, Grant


def life_of_grant(*, grant_id: int, **_: object) -> Life:
    """Return the trace lifetime of a grant."""
    found = Grant.objects.filter(pk=grant_id).values_list("request_id", "ref").first()
    return Life(*found) if found else Life(0)


def life_of_request(*, request_id: int, **_: object) -> Life:
    """Return the trace lifetime that a request begins, or that of the grant that it extends."""
    columns = ("extends__request_id", "extends__ref", "grant__ref")
    found = AccessRequest.objects.filter(pk=request_id).values_list(*columns).first()
    extended, extended_ref, ref = found or (None, None, None)
    return Life(extended, extended_ref or "") if extended else Life(request_id, ref or "")
