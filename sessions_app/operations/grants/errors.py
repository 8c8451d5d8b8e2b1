"""Errors that keep a grant from being used or changed."""

from __future__ import annotations

from broker.kernel.errors import Conflict


class GrantIsOver(Conflict):
    """The grant is not active (anymore)."""

    code = "grant_is_over"
