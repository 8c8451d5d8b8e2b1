"""The gateway's application, with the token of a grant added to each request: the suites send none."""

import os
from typing import Any

from broker.asgi import application as gateway

TOKEN = f"Bearer {os.environ['CONFORMANCE_TOKEN']}".encode()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Pass a request on with the token."""
    if scope["type"] == "http":
        scope = {**scope, "headers": [*scope["headers"], (b"authorization", TOKEN)]}
    await gateway(scope, receive, send)
