"""Errors that prevent a grant from being used or changed."""

from __future__ import annotations

from broker.kernel.errors import Conflict


class GrantIsOver(Conflict):
    """The grant is not active: it has not started, or has ended. Request access again."""

    code = "grant_is_over"
