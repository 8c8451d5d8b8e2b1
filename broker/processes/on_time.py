"""What a worker gets, judged by the database's clock."""

from __future__ import annotations

from typing import Literal

from celery.worker.request import Request
from celery.worker.state import revoked

from broker.celery import now


class OnTime(Request):
    """A message that lapses by the database's clock, in place of the worker's own."""

    def maybe_expire(self) -> Literal[True] | None:
        """Throw the message away if its time is over."""
        if self.expires and now() > self.expires:
            revoked.add(self.id)
            return True
        return None
