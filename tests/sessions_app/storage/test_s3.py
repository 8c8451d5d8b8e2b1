"""The API of S3, of a server that is not Stint's (moto)."""

import io

import pytest

from sessions_app.storage.base import StoreError
from sessions_app.storage.s3 import S3
from tests.sessions_app.storage.contract import *  # noqa: F403
from tests.support.servers.objects import BUCKET, objects_served


@pytest.fixture(scope="module")
def served(processes):
    with pytest.MonkeyPatch.context() as patch, objects_served(patch) as served:
        yield served


@pytest.fixture
def store(served):
    for key in served.everything():
        served.client.delete_object(Bucket=BUCKET, Key=key)
    return S3(BUCKET, "prod/")


def test_everything_is_below_the_prefix(store, served):
    store.put("recordings/a", io.BytesIO(b"x"))
    assert served.everything() == ["prod/recordings/a"]


def test_a_large_object_goes_in_parts(store):
    content = bytes(65 * 2**20)
    store.put("recordings/a", io.BytesIO(content))
    assert store.size("recordings/a") == len(content)


def test_a_bucket_that_is_not_there_is_an_error_of_the_store(served):
    store = S3("another-bucket", "")
    for act in (
        store.check,
        lambda: store.put("a", io.BytesIO()),
        lambda: store.read("a", 0),
        lambda: list(store.objects("a")),
    ):
        with pytest.raises(StoreError):
            act()


def test_a_server_that_does_not_answer_is_an_error_of_the_store(store, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    gone = S3(BUCKET, "")
    for act in (
        gone.check,
        lambda: gone.size("a"),
        lambda: gone.put("a", io.BytesIO(b"x")),
        lambda: gone.delete("a"),
    ):
        with pytest.raises(StoreError):
            act()
