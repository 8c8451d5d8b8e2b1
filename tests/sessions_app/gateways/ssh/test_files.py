"""Files through the gateway, by the real sftp and scp, from and to a real target."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from tests.support.servers.files import scp, sftp, with_files
from tests.support.waits import eventually
from tests.support.world.acts import last

PINNED = b"release 42"


@pytest.fixture(scope="module")
def folder(place, django_db_blocker) -> Path:
    """The folder on the target that the rules name."""
    from broker.kernel import clock

    folder = (place.folder / "files").resolve()
    folder.mkdir()
    with django_db_blocker.unblock():
        place.world.apply(with_files(place, folder, hashlib.sha256(PINNED).hexdigest()), now=clock.now())
    (folder / "logs" / "access.log").write_bytes(b"one\ntwo\n")
    (folder / "secret").write_bytes(b"secret")
    return folder


@pytest.fixture
def grant(place, folder):
    return place.grant()


def run_of(grant, state: str = "done"):
    runs = grant.runs.order_by("-pk")
    eventually(lambda: runs.exists() and runs[0].state == state)
    return runs[0]


def test_a_download_is_a_run_with_its_size_and_digest_and_without_a_recording(place, grant, folder, tmp_path):
    done = scp(place, f"web-1@127.0.0.1:{folder}/logs/access.log", str(tmp_path / "got"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "got").read_bytes() == b"one\ntwo\n"
    run = run_of(grant)
    assert (run.line, run.exit_status, run.recording) == (f"get {folder}/logs/access.log", 0, "")
    assert last("command.finished", grant.ref).data["exchanged"] == {
        "direction": "get",
        "path": f"{folder}/logs/access.log",
        "bytes": 8,
        "sha256": hashlib.sha256(b"one\ntwo\n").hexdigest(),
    }


def test_an_upload_is_published_whole_with_the_mode_of_its_rule(place, grant, folder, tmp_path):
    data = os.urandom(5_000_000)
    (tmp_path / "mine").write_bytes(data)
    done = scp(place, str(tmp_path / "mine"), f"web-1@127.0.0.1:{folder}/new/a1.bin")
    assert (done.returncode, done.stderr) == (0, b"")
    there = folder / "new" / "a1.bin"
    assert there.read_bytes() == data
    assert stat.S_IMODE(there.stat().st_mode) == 0o640
    run_of(grant)
    assert last("command.finished", grant.ref).data["exchanged"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert os.listdir(folder / "new") == ["a1.bin"]


def test_sftp_shows_what_rules_name_and_the_folders_above_and_nothing_else(place, grant, folder, tmp_path):
    (folder / "logs" / "with\nbreak").write_bytes(b"")
    done = sftp(
        place, f"ls -1 {folder}\nls -l {folder}/logs\nls -1 /\nget {folder}/logs/access.log {tmp_path}/x"
    )
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    above = [line for line in lines if line.startswith(f"{folder}/") and " " not in line]
    assert [line.rpartition("/")[2] for line in above] == ["again", "held", "logs", "new", "pinned", "small"]
    assert [line.split()[0:2] for line in lines if line.startswith("-r")] == [["-rw-r--r--", "8"]]
    assert f"/{folder.parts[1]}" in lines
    assert (tmp_path / "x").read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize(
    "batch",
    [
        "get {folder}/secret {tmp}/x",
        "get {folder}/logs/../secret {tmp}/x",
        "get /etc/passwd {tmp}/x",
        "put {tmp}/mine {folder}/new/A.bin",
        "put {tmp}/mine {folder}/secret",
        "put -p {tmp}/mine {folder}/logs/access.log",
        "ls {folder}/new",
        "rm {folder}/logs/access.log",
        "rename {folder}/logs/access.log {folder}/logs/b",
        "mkdir {folder}/logs/b",
        "ln -s /etc/passwd {folder}/logs/b",
        "reput {tmp}/mine {folder}/new/b.bin",
    ],
)
def test_everything_else_is_refused_recorded_and_told_with_the_nearest(place, grant, folder, tmp_path, batch):
    (tmp_path / "mine").write_bytes(b"mine")
    done = sftp(place, batch.format(folder=folder, tmp=tmp_path))
    assert done.returncode == 1
    if "reput" not in batch:
        assert b"stint: not allowed: " in done.stderr
        assert b"Nearest: " in done.stderr
        assert run_of(grant, "refused").reason
        assert grant.runs.count() == 1
    assert place.logins(grant) == 0
    assert not (tmp_path / "x").exists()
    assert (folder / "logs" / "access.log").read_bytes() == b"one\ntwo\n"
