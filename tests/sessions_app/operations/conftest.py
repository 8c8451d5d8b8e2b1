"""The world by its rows, because so many tests here need one."""

from __future__ import annotations

import pytest

from tests.support.replay import world_again


@pytest.fixture
def world(db, now):
    """People and a small catalogue, gone after the test."""
    return world_again(now)
