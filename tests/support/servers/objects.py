"""A server with the S3 API (moto) on loopback, and a bucket in it."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from broker.demo.ports import free_port
from tests.support.waits import eventually

BUCKET = "recordings-of-stint"


@dataclass
class Objects:
    """The server. Clients find it through the environment."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def client(self):
        """Return a client other than Stint's."""
        return boto3.session.Session().client("s3")

    def everything(self) -> list[str]:
        """Return the keys of all objects in the bucket."""
        return [one["Key"] for one in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", ())]


@contextlib.contextmanager
def objects_served(patch: pytest.MonkeyPatch) -> Iterator[Objects]:
    """Serve until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    patch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    patch.setenv("AWS_ACCESS_KEY_ID", "key")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        served = Objects(port, process)
        eventually(lambda: _made(served))
        yield served
    finally:
        process.terminate()
        process.wait(10)


def _made(served: Objects) -> bool:
    with contextlib.suppress(EndpointConnectionError):
        served.client.create_bucket(Bucket=BUCKET)
        return True
    return False
