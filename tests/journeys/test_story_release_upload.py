"""A pipeline uploads the release whose digest its own run names, and nothing else.

Real OpenSSH, and a system that answers about its pipeline runs.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from broker.kernel import clock
from sessions_app.models import Grant, Sweeper
from sessions_app.operations.requests.request_access import request_access
from tests.support.servers.files import scp
from tests.support.servers.outside import Outside, outside
from tests.support.waits import eventually
from tests.support.world.acts import last

BUILT = b"release 42"
SET = """
name: upload-release
kind: ssh
summary: Upload the release of a pipeline
risk: medium
parameters:
  release: {{pattern: "r[0-9]{{1,5}}", from: workflow.release}}
  digest: {{from: workflow.sha256}}
commands:
  - put: {folder}/{{release}}.tar.gz
    sha256: "{{digest}}"
examples:
  allow: [put {folder}/r42.tar.gz]
  refuse: [put {folder}/latest.tar.gz, get {folder}/r42.tar.gz]
accept:
  writable_path commands[0].put: for a test
"""
POLICY = """
name: upload
summary: Pipelines upload their own release
clusters: [web]
command_sets: [upload-release]
requesters: {identities: [deployer]}
approvals: none
max_duration: 1h
reason: optional
workflow: {kinds: [pipeline], sources: [builds]}
"""


@pytest.fixture(scope="module")
def folder(place) -> Path:
    folder = (place.folder / "releases").resolve()
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def builds(place, folder) -> Iterator[Outside]:
    """Set up the system of the pipelines, and the policy that depends on it."""
    with outside() as system:
        source = {
            "name": "builds",
            "provider": "standard",
            "clusters": ["web"],
            "parameters": {"url": f"{system.url}/runs/{{id}}", "kind": "pipeline", "open": ["running"]},
        }
        files = {
            **place.catalog(),
            "command-sets/upload-release.yaml": SET.format(folder=folder),
            "policies/upload.yaml": POLICY,
            "workflow-sources/builds.yaml": yaml.safe_dump(source),
        }
        place.world.apply(files, now=clock.now())
        yield system


def upload_for(place, builds: Outside, folder: Path, number: int, **facts: str):
    """Return access for a run that is in progress, and a function that uploads content as a release."""
    builds.pages[f"/runs/{number}"] = {"id": str(number), "status": "running", "facts": facts}
    now = clock.now()
    Sweeper.objects.update_or_create(name="test", defaults={"seen_at": now})
    ask = place.world.ask(command_set="upload-release", workflow=f"builds:{number}", reason="", parameters={})
    grant = Grant.objects.get(request=request_access(requester=place.world.deployer, ask=ask, now=now))
    eventually(lambda: grant.refresh_from_db() or grant.state == "active")

    def upload(content: bytes, release: str = "r42"):
        (place.folder / "built").write_bytes(content)
        there = f"{grant.ref}.web-1@127.0.0.1:{folder}/{release}.tar.gz"
        return scp(place, str(place.folder / "built"), there, who="deployer")

    return grant, upload


def test_a_pipeline_uploads_the_release_whose_digest_its_run_names_and_no_other(place, builds, folder):
    digest = hashlib.sha256(BUILT).hexdigest()
    grant, upload = upload_for(place, builds, folder, 77, release="r42", sha256=digest)
    assert grant.parameters == {"release": "r42", "digest": digest}
    for refused, why in (
        (upload(b"another"), b"not allowed: the file has the SHA-256"),
        (upload(BUILT, release="r43"), b"Nearest: put %b/r42.tar.gz" % bytes(folder)),
    ):
        assert refused.returncode == 1
        assert why in refused.stderr
    assert list(folder.iterdir()) == []
    done = upload(BUILT)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (folder / "r42.tar.gz").read_bytes() == BUILT
    eventually(lambda: grant.runs.filter(state="done").exists())
    assert last("command.finished", grant.ref).data["exchanged"]["sha256"] == digest
