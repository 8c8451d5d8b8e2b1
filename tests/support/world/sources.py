"""An external source of workflows whose answers tests choose."""

import contextlib
import json
from collections.abc import Iterator

from sessions_app.workflows import registry
from sessions_app.workflows.base import Standing, Status, hex_digest
from sessions_app.workflows.fake import FakeAdapter, fake_type

SOURCE = """
name: pager
provider: fake
clusters: [web]
webhook_secrets: [first-secret-of-the-pager]
"""


# A source whose address does not respond.
DESK = """
name: desk
provider: standard
parameters: {url: "http://127.0.0.1:1/tickets/{id}", token: desk-token-of-stint}
webhook_secrets: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw]
clusters: [web]
"""


@contextlib.contextmanager
def speaking_for(provider: str = "fake", kind: str = "incident") -> Iterator[FakeAdapter]:
    """Let sources of the provider answer through the adapter."""
    adapter = FakeAdapter()
    before = registry.find(provider)
    registry.register(fake_type(adapter, provider, kind))
    yield adapter
    if before is None:
        registry.unregister(provider)
    else:
        registry.register(before)


def is_open(**more) -> Status:
    """Return a source's answer for an open workflow, which Bob opened and nobody changed since."""
    said = {
        "title": "Checkout is slow",
        "severity": "P1",
        "opened_by": ("bob@example.com",),
        "changed_by": (),
    }
    return Status(**{"standing": Standing.OPEN, **said, **more})


def is_closed() -> Status:
    """Return a source's answer for a closed workflow."""
    return Status(standing=Standing.CLOSED, reason="It is resolved.")


def delivery(outside_id: str, *, closed: bool = True, **more) -> bytes:
    """Return a delivery of the source to its webhook."""
    return json.dumps({"id": outside_id, "closed": closed, **more}).encode()


def signed(body: bytes, secret: str = "first-secret-of-the-pager") -> dict[str, str]:
    """Return the headers that authenticate a delivery of the source."""
    return {"signature": hex_digest(secret, body)}
