"""Where holders reach an API behind Stint's own gateway."""

import pytest

from sessions_app.models import Cluster
from sessions_app.queries.gateways.addresses import http_address


@pytest.mark.parametrize(
    ("connection", "target", "address"),
    [
        ({"proxy": "stint"}, "", "https://gateway.example.com:8443/http/stock-api"),
        ({"proxy": "stint"}, "stock-2", "https://gateway.example.com:8443/http/stock-2"),
        ({"proxy": "stint", "public_host": "stock.example.com"}, "", "https://stock.example.com:8443"),
        ({"proxy": "nginx"}, "", ""),
    ],
)
def test_an_api_behind_our_own_gateway_has_a_path_or_a_host_there(settings, connection, target, address):
    settings.GATEWAY_PUBLIC_URL = "https://gateway.example.com:8443"
    assert http_address(Cluster(name="stock-api", kind="http", connection=connection), target) == address
