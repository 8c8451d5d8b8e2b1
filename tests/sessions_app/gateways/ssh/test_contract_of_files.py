"""Transfers over SFTP pass the contract of gateways."""

from collections.abc import Iterator

import pytest

from tests.sessions_app.gateways.contract import *  # noqa: F403  # the contract is these tests
from tests.support.servers.files_endpoint import FilesEndpoint, files_endpoint

pytestmark = pytest.mark.timing


@pytest.fixture(scope="module")
def endpoint(processes, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[FilesEndpoint]:
    with files_endpoint(django_db_blocker, tmp_path_factory) as endpoint:
        yield endpoint
