"""State folders that the servers' account can reach, and the servers' programs from the wheels."""

import sys
from pathlib import Path

import pytest

from broker.embedded.state import temporary_state_dir


@pytest.fixture
def state():
    with temporary_state_dir("stint-test-") as path:
        yield path


@pytest.fixture
def wheel():
    """Give a function that returns where a wheel's package with servers lies."""

    def find(package: str) -> Path:
        folder = Path(sys.prefix) / "servers" / package
        assert folder.is_dir(), f"{package} is not installed: run .ci/bootstrap"
        return folder

    return find
