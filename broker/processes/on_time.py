"""Worker messages that expire by the database's clock."""

from __future__ import annotations

from typing import Literal

from celery.worker.request import Request
from celery.worker.state import revoked

from broker.celery import now


class OnTime(Request):
    """A message that expires by the database's clock instead of the worker's."""

    def maybe_expire(self) -> Literal[True] | None:
        """Drop the message if it has expired."""
        if self.expires and now() > self.expires:
            revoked.add(self.id)
            return True
        return None
