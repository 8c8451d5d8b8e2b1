"""Authorize a holder who is signed in to the web interface, at a target of any kind whose gateway runs
commands from there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from sessions_app.operations.sessions.authorize_use import AnyUse, Proof, authorize_use
from sessions_app.operations.sessions.proofs import kubernetes, postgres
from sessions_app.operations.sessions.proofs.holder import ByHolder

_PROOFS: dict[str, Callable[[int, str, str, dt.datetime], Proof[Any]]] = {
    "ssh": ByHolder,
    "kubernetes": kubernetes.OfHolder,
    "postgres": postgres.OfHolder,
}


def uses_from_page(
    *, holder_id: int, kind: str, target: str, grant_ref: str, now: dt.datetime
) -> Sequence[AnyUse]:
    """Return the uses of a grant on a target that are currently authorized for its holder, like
    `authorize_use`.

    ``kind`` is the kind of the target's cluster.
    """
    proof = _PROOFS.get(kind)
    return [] if proof is None else authorize_use(by=proof(holder_id, target, grant_ref, now))
