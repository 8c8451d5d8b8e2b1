"""An object store with the Amazon S3 API, using boto3.

boto3 gets the credentials, the region and the address of the store from the environment: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL_S3, or the machine's role.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.exceptions import S3UploadFailedError

from sessions_app.storage.base import StoredObject, StoreError, Stream

# In seconds. An unresponsive store must not block queued work.
_CONNECT_S, _READ_S = 3, 20
_NOT_FOUND = ("404", "NoSuchKey", "NotFound")
_TRANSFER = TransferConfig(multipart_threshold=64 * 2**20, multipart_chunksize=64 * 2**20, use_threads=False)


class S3:
    """The objects of a bucket whose keys begin with ``prefix``, which is empty or ends with a slash."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket, self._prefix = bucket, prefix
        # A separate session, because creating clients with the default session is not thread-safe.
        with _asked():
            self._client: Any = boto3.session.Session().client(
                "s3",
                config=Config(
                    connect_timeout=_CONNECT_S,
                    read_timeout=_READ_S,
                    retries={"total_max_attempts": 2, "mode": "standard"},
                    # Objects are authenticated anyway, and stores other than Amazon's don't support the newer
                    # checksums.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )

    def put(self, name: str, source: BinaryIO) -> None:
        """See ObjectStore."""
        with _asked():
            self._client.upload_fileobj(source, self._bucket, self._prefix + name, Config=_TRANSFER)

    def size(self, name: str) -> int | None:
        """See ObjectStore."""
        with _asked():
            try:
                found = self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in _NOT_FOUND:
                    return None
                raise
            return int(found["ContentLength"])

    def read(self, name: str, start: int) -> Stream:
        """See ObjectStore."""
        with _asked():
            found = self._client.get_object(
                Bucket=self._bucket, Key=self._prefix + name, Range=f"bytes={start}-"
            )
            return _Body(found["Body"])

    def delete(self, name: str) -> None:
        """See ObjectStore."""
        with _asked():
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def objects(self, folder: str) -> Iterator[StoredObject]:
        """See ObjectStore."""
        pages = self._client.get_paginator("list_objects_v2")
        with _asked():
            for page in pages.paginate(Bucket=self._bucket, Prefix=f"{self._prefix}{folder}/"):
                for one in page.get("Contents", ()):
                    yield StoredObject(one["Key"].removeprefix(self._prefix), one["LastModified"])

    def check(self) -> None:
        """See ObjectStore."""
        with _asked():
            self._client.head_bucket(Bucket=self._bucket)


class _Body:
    """The body of a response. Errors during reading are converted to store errors."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, size: int) -> bytes:
        """See Stream."""
        with _asked():
            data: bytes = self._body.read(size)
            return data

    def close(self) -> None:
        """See Stream."""
        self._body.close()


@contextmanager
def _asked() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError, S3UploadFailedError) as error:
        raise StoreError(str(error)) from error
