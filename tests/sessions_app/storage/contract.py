"""What every object store does. A module that has a fixture ``store`` imports all of it."""

import datetime as dt
import io

from sessions_app.storage.sealed import CHUNK, encrypt, new_key, opened

__all__ = [
    "test_an_encrypted_object_is_read_from_any_byte_on",
    "test_an_object_is_gone_once_deleted_and_deleting_it_again_is_no_error",
    "test_an_object_is_replaced_and_listed_with_its_time",
]


def test_an_encrypted_object_is_read_from_any_byte_on(store):
    plain, key, sealed = bytes(range(256)) * 1024, new_key(), io.BytesIO()
    name = f"recordings/{encrypt(io.BytesIO(plain), key, sealed)}"
    sealed.seek(0)
    store.put(name, sealed)
    with opened(store, name, key) as file:
        assert file.read() == plain
        file.seek(CHUNK + 3)
        assert file.read(100) == plain[CHUNK + 3 : CHUNK + 103]


def test_an_object_is_replaced_and_listed_with_its_time(store):
    for content in (b"first", b"second one"):
        store.put("recordings/a", io.BytesIO(content))
    store.put("archives/b", io.BytesIO(b"x"))
    assert store.size("recordings/a") == 10
    (one,) = store.objects("recordings")
    assert one.name == "recordings/a"
    assert abs(dt.datetime.now(dt.UTC) - one.changed_at) < dt.timedelta(hours=1)
    store.check()


def test_an_object_is_gone_once_deleted_and_deleting_it_again_is_no_error(store):
    store.put("recordings/a", io.BytesIO(b"x"))
    for _ in range(2):
        store.delete("recordings/a")
    assert store.size("recordings/a") is None
    assert opened(store, "recordings/a", new_key()) is None
    assert list(store.objects("recordings")) == []
