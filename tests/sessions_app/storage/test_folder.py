"""Objects in a folder."""

import io

import pytest

from sessions_app.storage.base import StoreError
from sessions_app.storage.folder import Folder
from tests.sessions_app.storage.contract import *  # noqa: F403


@pytest.fixture
def store(tmp_path):
    return Folder(tmp_path)


def test_a_folder_that_is_not_mounted_is_no_empty_store(tmp_path):
    store = Folder(tmp_path / "unmounted")
    for act in (
        store.check,
        lambda: store.size("a"),
        lambda: store.put("a", io.BytesIO()),
        lambda: store.delete("a"),
        lambda: list(store.objects("a")),
    ):
        with pytest.raises(StoreError, match="does not exist"):
            act()
    assert not (tmp_path / "unmounted").exists()


def test_an_object_that_could_not_be_written_leaves_nothing(tmp_path):
    class Failing(io.RawIOBase):
        def read(self, size=-1):
            raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left"):
        Folder(tmp_path).put("recordings/a", Failing())
    assert list((tmp_path / "recordings").iterdir()) == []
