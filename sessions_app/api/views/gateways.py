"""The gateways that holders connect to."""

from __future__ import annotations

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from broker.kernel import clock
from sessions_app.api.endpoint import Endpoint
from sessions_app.api.schema import described
from sessions_app.api.shapes.gateways import SshGatewayShape, WebGatewayShape
from sessions_app.queries.gateways.addresses import ssh_host_keys, web_gateway


class SshGateway(Endpoint):
    """The SSH gateway."""

    @described(SshGatewayShape)
    def get(self, request: Request) -> Response:
        """Get the address and host keys of the SSH gateway, so that no client has to trust on first use."""
        place = {"host": settings.SSH_PUBLIC_HOST, "port": settings.SSH_GATEWAY_PORT}
        return self.answer(SshGatewayShape, {**place, "host_keys": ssh_host_keys()})


class WebGateway(Endpoint):
    """The web gateways, which share one address."""

    @described(WebGatewayShape)
    def get(self, request: Request) -> Response:
        """Get the address and certificate authority of the web gateways, so that no client has to trust on
        first use.
        """
        return self.answer(WebGatewayShape, web_gateway(clock.now()))
