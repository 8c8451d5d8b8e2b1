"""Which doors a gateway process serves, and what is loaded for them."""

import subprocess
import sys

import pytest

from sessions_app.gateways.core.options import WebOptions
from sessions_app.gateways.doors import NAMES, Addresses, UnknownDoor, doors, named

ADDRESSES = Addresses(
    ssh_host="127.0.0.1",
    ssh_port=2222,
    web=WebOptions(host="127.0.0.1", port=8443, url="https://localhost:8443"),
)


def test_doors_are_named_once_and_in_the_order_in_which_they_are_asked_for():
    assert named("ssh, ssh,") == ["ssh"]
    assert named(",".join(NAMES)) == list(NAMES)


@pytest.mark.parametrize("text", ["", " , ", "telnet", "ssh,telnet", "SSH"])
def test_an_unknown_door_is_refused_with_the_known_ones(text):
    with pytest.raises(UnknownDoor, match="Choose from ssh"):
        named(text)


def test_ssh_is_a_door_of_its_own():
    assert [door.name for door in doors(["ssh"], ADDRESSES)] == ["ssh"]
    assert list(doors([], ADDRESSES)) == []


@pytest.mark.processes
def test_the_names_are_known_without_any_library_of_a_protocol():
    code = "import sys, sessions_app.gateways.doors; print(sorted({'asyncssh', 'aiohttp', 'django'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
