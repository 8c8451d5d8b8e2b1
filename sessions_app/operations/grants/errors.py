"""What keeps a grant from being used or changed."""

from __future__ import annotations

from broker.kernel.errors import Conflict


class GrantIsOver(Conflict):
    """The grant is not active (any more)."""

    code = "grant_is_over"
