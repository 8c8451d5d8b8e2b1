"""A source that keeps its workflows in memory, for the contract tests of all adapters."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sessions_app.workflows.base import (
    AdapterType,
    Delivery,
    DeliveryRefused,
    Hint,
    InTrouble,
    NotAnId,
    OddAnswer,
    SourceError,
    SourceParameters,
    Standing,
    Status,
    body_key,
    hex_digest,
    same,
)


@dataclass
class FakeAdapter:
    """A fake adapter. ``workflows`` maps ids to statuses, which have the same id unless they state another.

    Queries about ids in ``odd`` get no usable response, and queries about ids in ``in_trouble`` fail. While
    ``down``, it does not respond.
    """

    workflows: dict[str, Status] = field(default_factory=dict)
    odd: set[str] = field(default_factory=set)
    in_trouble: set[str] = field(default_factory=set)
    down: bool = False
    asked: list[str] = field(default_factory=list)

    def status(self, outside_id: str) -> Status:
        """Record the query, and return the stored status."""
        if not outside_id.isascii() or not outside_id.replace("-", "").isalnum():
            raise NotAnId("An id has letters, digits and hyphens.")
        self.asked.append(outside_id)
        if self.down:
            raise SourceError("The source does not respond.")
        if outside_id in self.odd:
            raise OddAnswer("It responded with status 422: check the address.")
        if outside_id in self.in_trouble:
            raise InTrouble("it responded with status 500.")
        found = self.workflows.get(
            outside_id, Status(standing=Standing.UNKNOWN, reason="Workflow not found.")
        )
        return replace(found, outside_id=found.outside_id or outside_id)

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: dt.datetime
    ) -> Delivery:
        """Compare the header ``signature`` with HMAC-SHA256 of the body."""
        given = headers.get("signature", "")
        if not any(same(hex_digest(secret, body), given) for secret in secrets):
            raise DeliveryRefused("The signature does not match any secret of this source.")
        return Delivery(key=body_key(body), event="fake")

    def parse(self, body: bytes) -> list[Hint]:
        """Parse `{"id": …, "closed": …}`."""
        said = json.loads(body)
        return [Hint(outside_id=said["id"], closed=bool(said["closed"]))]


def fake_type(adapter: FakeAdapter, provider: str = "fake", kind: str = "incident") -> AdapterType:
    """Return a type whose sources all use this adapter."""
    return AdapterType(
        provider=provider, title="Fake", kind=kind, make=lambda _: adapter, parameters=SourceParameters
    )
