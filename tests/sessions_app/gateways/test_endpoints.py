"""Which endpoints a gateway process serves, and what it imports for them."""

import subprocess
import sys

import pytest

from sessions_app.gateways.core.options import WebOptions
from sessions_app.gateways.endpoints import NAMES, Addresses, UnknownProtocol, endpoints, named

ADDRESSES = Addresses(
    ssh_host="127.0.0.1",
    ssh_port=2222,
    postgres=WebOptions(host="127.0.0.1", port=5433, url="https://localhost:8443"),
    web=WebOptions(host="127.0.0.1", port=8443, url="https://localhost:8443"),
)


def test_entry_points_are_named_once_and_in_the_order_in_which_they_are_asked_for():
    assert named("ssh, ssh,") == ["ssh"]
    assert named(",".join(NAMES)) == list(NAMES)


@pytest.mark.parametrize("text", ["", " , ", "telnet", "ssh,telnet", "SSH"])
def test_an_unknown_protocol_is_refused_with_the_known_ones(text):
    with pytest.raises(UnknownProtocol, match="Choose from ssh"):
        named(text)


@pytest.mark.parametrize("name", ["ssh", "postgres"])
def test_what_is_no_web_gateway_is_an_endpoint_of_its_own(name):
    assert [endpoint.name for endpoint in endpoints([name], ADDRESSES)] == [name]
    assert list(endpoints([], ADDRESSES)) == []


@pytest.mark.processes
def test_the_names_are_known_without_any_library_of_a_protocol():
    code = (
        "import sys, sessions_app.gateways.endpoints; print(sorted({'asyncssh', 'aiohttp', 'django'} &"
        " set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
