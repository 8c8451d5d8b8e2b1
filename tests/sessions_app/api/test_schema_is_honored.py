"""The API against its own description: schemathesis, a live server, a token of an operator and one of an
administrator.
"""

import contextlib
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.demo.ports import free_port
from sessions_app.api.schema import openapi
from tests.environment import ROOT
from tests.sessions_app.api.conftest import token_for
from tests.support.breadth import FULL
from tests.support.pace import allow
from tests.support.waits import PATIENCE, eventually

pytestmark = pytest.mark.slow

# What no schema can say, such as which names there are, is refused with 400; so valid data may well be
# refused.
UNSAYABLE = "positive_data_acceptance"
# They would take away the token that the run calls with.
SUICIDAL = ("deleteMyToken", "deleteIdentityToken")
# Each part is tried by whoever gets furthest in it.
PARTS = {
    "alice": (
        "me",
        "requests",
        "grants",
        "runs",
        "holds",
        "clusters",
        "policies",
        "search",
        "workflows",
        "ssh-gateway",
        "web-gateway",
    ),
    "admin": (
        "identities",
        "catalog",
        "command-sets",
        "proposals",
        "record",
        "webhooks",
        "history",
        "permissions",
    ),
}
# Alice's run goes on beside it.
HURTS_ALICE = ("postIdentityDisable",)


@dataclass(frozen=True)
class Server:
    """Where the web process answers, and what it said."""

    url: str
    log: Path


@pytest.fixture
def server(processes, live_world, stint_db, tmp_path):
    """The web process as it is run in production, on a database of its own."""
    port = free_port()
    env = {**stint_db.env, "STINT_API_PER_MINUTE": "1000000", "STINT_API_STRANGERS_PER_MINUTE": "1000000"}
    log = tmp_path / "web.log"
    command = [
        sys.executable,
        "-m",
        "granian",
        "--interface",
        "wsgi",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        "--blocking-threads",
        "4",
        "--no-ws",
        "--log-level",
        "warning",
        "broker.wsgi:application",
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(f"{url}/readyz", process, log)
        yield Server(url, log)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _wait(url: str, process: subprocess.Popen, log: Path) -> None:
    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return True
        return False

    eventually(answers, within=30, every=0.1)


def _run(url: str, token: str, folder: Path, parts: tuple[str, ...]) -> subprocess.Popen:
    folder.mkdir()
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{url}/api/schema/",
        "--header",
        f"Authorization: Bearer {token}",
        "--checks",
        "all",
        "--exclude-checks",
        UNSAYABLE,
        "--phases",
        "examples,coverage,fuzzing",
        "--max-examples",
        "3" if FULL else "1",
        "--generation-deterministic",
        "--no-shrink",
        "--continue-on-failure",
        "--warnings",
        "off",
        "--no-color",
        *(word for part in parts for word in ("--include-tag", part)),
        *(word for operation in SUICIDAL + HURTS_ALICE for word in ("--exclude-operation-id", operation)),
    ]
    with (folder / "out").open("wb") as out:
        return subprocess.Popen(command, cwd=folder, stdout=out, stderr=out)


def test_every_answer_is_one_that_the_schema_promises(server, live_world, tmp_path):
    live_world.request()
    live_world.grant()
    processes = {
        name: _run(server.url, token_for(getattr(live_world, name), live_world.now), tmp_path / name, parts)
        for name, parts in PARTS.items()
    }
    status = {name: process.wait(allow(300)) for name, process in processes.items()}
    said = "".join((tmp_path / name / "out").read_text() for name, code in status.items() if code)
    assert not any(status.values()), "\n".join(line[:300] for line in said.splitlines())
    assert "Traceback" not in server.log.read_text()


def test_no_part_is_left_out(db):
    tags = {said["tags"][0] for methods in openapi()["paths"].values() for said in methods.values()}
    assert tags == {part for parts in PARTS.values() for part in parts}
