"""A folder of recordings."""

from pathlib import Path

import pytest


@pytest.fixture
def folder(settings, tmp_path) -> Path:
    settings.RECORDINGS_DIR = tmp_path / "recordings"
    settings.RECORDINGS_DIR.mkdir()
    return settings.RECORDINGS_DIR
