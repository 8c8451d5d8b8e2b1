"""The shells that run Stint's scripts on targets."""

import os
import shutil

import pytest


@pytest.fixture(params=["dash", "bash", "busybox"])
def sh(request, processes, tmp_path_factory, monkeypatch) -> str:
    """Make a shell the first `sh` on the PATH, as it is on targets whose `sh` it is. Returns its path."""
    folder = tmp_path_factory.mktemp("shell")
    (folder / "sh").symlink_to(shutil.which(request.param))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return str(folder / "sh")
