"""Files through the gateway, by the real sftp and scp, from and to a real target."""

import hashlib
import os
import stat
import subprocess
from pathlib import Path

import pytest

from sessions_app.gateways.ssh import sftp_packets as wire
from tests.support.servers.files import client, scp, sftp, with_files
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


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


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
    assert names(folder / "new") == ["a1.bin"]


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


def uploaded(place, folder, tmp_path, there: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
    (tmp_path / "mine").write_bytes(data)
    return scp(place, str(tmp_path / "mine"), f"web-1@127.0.0.1:{folder}/{there}")


def test_an_existing_file_is_replaced_only_by_a_rule_that_says_so(place, grant, folder, tmp_path):
    assert uploaded(place, folder, tmp_path, "new/b1.bin", b"old").returncode == 0
    done = uploaded(place, folder, tmp_path, "new/b1.bin", b"new")
    assert done.returncode == 1
    assert b"a file with this name exists" in done.stderr
    assert (folder / "new" / "b1.bin").read_bytes() == b"old"
    for data in (b"old", b"new"):
        assert uploaded(place, folder, tmp_path, "again/b1", data).returncode == 0
    assert (folder / "again" / "b1").read_bytes() == b"new"


def test_a_file_that_is_too_large_is_not_written(place, grant, folder, tmp_path):
    done = uploaded(place, folder, tmp_path, "small/a.bin", bytes(1001))
    assert done.returncode == 1
    assert b"it is larger than the rule allows" in done.stderr
    assert uploaded(place, folder, tmp_path, "small/b.bin", bytes(1000)).returncode == 0
    assert names(folder / "small") == ["b.bin"]


def test_only_the_content_that_the_rule_names_is_uploaded(place, grant, folder, tmp_path):
    done = uploaded(place, folder, tmp_path, "pinned/file", b"another")
    assert done.returncode == 1
    assert b"not allowed: the file has the SHA-256" in done.stderr
    assert run_of(grant, "refused").line.startswith(f"put {folder}/pinned/file size=7 sha256=")
    assert place.logins(grant) == 0
    assert uploaded(place, folder, tmp_path, "pinned/file", PINNED).returncode == 0
    assert (folder / "pinned" / "file").read_bytes() == PINNED


def test_a_held_upload_reaches_the_target_once_a_second_person_has_seen_its_text_and_digest(
    place, grant, folder, tmp_path
):
    from broker.kernel import clock
    from sessions_app.operations.sessions.decide_hold import decide_hold
    from sessions_app.queries.grants.held_files import readable_uploads

    for name, allow in (("yes", True), ("no", False)):
        (tmp_path / "mine").write_bytes(b"held")
        sending = subprocess.Popen(
            client(place, "scp", str(tmp_path / "mine"), f"web-1@127.0.0.1:{folder}/held/{name}"),
            stderr=subprocess.PIPE,
        )
        run = run_of(grant, "held")
        digest = hashlib.sha256(b"held").hexdigest()
        assert run.line == f"put {folder}/held/{name} size=4 sha256={digest}"
        assert names(folder / "held") == (["yes"] if name == "no" else [])
        shown = readable_uploads(place.world.bob, grant, [run], clock.now())[run.pk]
        assert (shown.name, shown.size, shown.sha256, shown.text) == (name, 4, digest, "held")
        decide_hold(run_id=run.pk, actor=place.world.bob, allow=allow, now=clock.now())
        _, said = sending.communicate(timeout=30)
        assert (sending.returncode == 0) is allow, said
        assert (b"Bob allowed it once" if allow else b"Bob denied it") in said
    assert (folder / "held" / "yes").read_bytes() == b"held"
    assert names(folder / "held") == ["yes"]


def test_a_client_that_leaves_in_the_middle_leaves_nothing_on_the_target(place, grant, folder, tmp_path):
    slow = ["-l", "8000"]  # kbit/s
    (tmp_path / "mine").write_bytes(bytes(20_000_000))
    sending = subprocess.Popen(
        client(place, "scp", *slow, str(tmp_path / "mine"), f"web-1@127.0.0.1:{folder}/new/left.bin"),
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: any(one.startswith(".stint-") for one in names(folder / "new")))
    sending.kill()
    sending.wait()
    assert run_of(grant, "cut").reason == "the holder disconnected"
    eventually(lambda: not [one for one in names(folder / "new") if "left" in one or one.startswith(".")])


def test_an_upload_that_a_killed_gateway_left_is_removed_by_the_end_of_the_grant(place, grant, folder):
    from broker.kernel import clock
    from sessions_app.connectors.ssh.files import temporary_name
    from tests.support.world.acts import enter, revoke, run

    now = clock.now()
    tried = run(*enter(grant, now=now), f"put {folder}/again/lost", now=now)
    (folder / "again" / temporary_name(grant.mark, tried.run_id)).write_bytes(b"half")
    revoke(grant)
    eventually(lambda: grant.refresh_from_db() or grant.state == "ended", within=30)
    assert not [one for one in names(folder / "again") if one.startswith(".")]


@pytest.mark.parametrize(
    "old", ["scp -f {path}", "scp -t {path}", "rsync --server --sender -logDtpre.i . {path}"]
)
def test_old_protocols_are_refused_with_the_line_that_does_the_same(place, grant, folder, old):
    done = place.ssh(old.format(path=f"{folder}/logs/access.log"))
    assert done.returncode == 255
    way = "put" if "-t " in old else "get"
    assert f"use sftp instead, as in {way} {folder}/logs/access.log".encode() in done.stderr


def test_files_are_neither_sent_nor_received_by_a_command(place, grant, folder):
    done = place.ssh(f"get {folder}/logs/access.log")
    assert done.returncode == 255
    assert b"use sftp or scp to transfer files" in done.stderr


def raw(place, *requests: bytes, wait: bytes = b"") -> bytes:
    """Send packets over the subsystem, and return all replies."""
    talk = subprocess.Popen(
        place.command("sftp", options=("-s",)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        talk.stdin.write(wire.packet(wire.INIT, (3).to_bytes(4, "big")) + b"".join(requests))
        talk.stdin.flush()
        replies = b""
        while wait and wait not in replies:
            part = os.read(talk.stdout.fileno(), 65_536)
            if not part:
                break
            replies += part
        talk.stdin.close()
        return replies + talk.stdout.read()
    finally:
        talk.kill()
        talk.wait()


def opening(number: int, path: str, flags: int) -> bytes:
    said = wire.string(path.encode()), flags.to_bytes(4, "big"), bytes(4)
    return wire.reply(wire.OPEN, number, *said)


@pytest.mark.parametrize(
    "packet",
    [
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        wire.reply(wire.READ, 1, wire.string(b"9"), bytes(12)),
        wire.reply(wire.CLOSE, 1, wire.string(b"")),
        wire.reply(wire.OPEN, 1, wire.string(b"/" + b"a" * 200_000), bytes(8)),
        wire.reply(wire.OPEN, 1, wire.string(b"/\xff\xfe"), b"\0\0\0\1", bytes(4)),
        wire.reply(wire.OPEN, 1, wire.string(b"/a\0b"), b"\0\0\0\1", bytes(4)),
        wire.reply(wire.OPEN, 1),
        wire.reply(99, 1),
    ],
)
def test_a_client_that_breaks_the_protocol_reaches_nothing(place, grant, folder, packet):
    replies = raw(place, packet)
    assert replies.startswith(wire.version())
    assert wire.HANDLE not in replies[len(wire.version()) + 4 :][:1]
    assert place.logins(grant) == 0
    assert sftp(place, f"ls {folder}/logs").returncode == 0


def test_an_upload_out_of_order_is_not_published(place, grant, folder):
    skipped = wire.reply(wire.WRITE, 2, wire.string(b"1"), (5).to_bytes(8, "big"), wire.string(b"x"))
    done = wire.status(2, wire.FAILURE, "Files can only be read and written from start to end. Begin again.")
    replies = raw(place, opening(1, f"{folder}/again/c1", wire.WANTS_WRITE), skipped, wait=done)
    assert done in replies
    run_of(grant, "cut")
    assert not (folder / "again" / "c1").exists()


def test_more_files_than_a_channel_can_have_open_are_refused(place, grant, folder):
    (folder / "logs" / "large").write_bytes(bytes(3_000_000))
    opened = [opening(number, f"{folder}/logs/large", wire.WANTS_READ) for number in range(1, 10)]
    refused = wire.status(9, wire.FAILURE, "At most 8 files can be open at once.")
    assert refused in raw(place, *opened, wait=refused)
    eventually(lambda: not grant.runs.exclude(state__in=["cut", "done"]).exists())
    assert grant.runs.count() == 8
