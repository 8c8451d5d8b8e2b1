"""Files on a grant's page: like over SFTP, by a real gateway from and to a real target."""

import datetime as dt
import hashlib
import os
import signal
from pathlib import Path

import pytest

from broker.kernel import clock
from sessions_app.models import CommandOrder, CommandRun, FilePiece, OrderedFile
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.order_command import LineRefused
from sessions_app.operations.sessions.order_file import Content, Wanted, order_file
from sessions_app.operations.sessions.purge_files import purge_files
from sessions_app.operations.sessions.take_file import take_file
from sessions_app.queries.gateways.ordered_files import entries_of
from sessions_app.queries.grants.held_files import uploads_of
from tests.sessions_app.gateways.ssh.test_ending import revoke
from tests.support.servers.files import with_files
from tests.support.waits import eventually
from tests.support.world.acts import last

PINNED = b"release 42"
SECRET = b"Personal data\n"


@pytest.fixture(scope="module")
def folder(place, django_db_blocker) -> Path:
    """The folder on the target that the rules name."""
    folder = (place.folder / "files").resolve()
    folder.mkdir()
    with django_db_blocker.unblock():
        place.world.apply(with_files(place, folder, hashlib.sha256(PINNED).hexdigest()), now=clock.now())
    (folder / "logs" / "old").mkdir()
    (folder / "logs" / "access.log").write_bytes(SECRET)
    return folder


@pytest.fixture
def grant(place, folder):
    return place.grant()


def order(grant, direction: str, path: str, data: bytes | None = None) -> CommandOrder:
    content = Content(len(data), hashlib.sha256(data).hexdigest(), [data]) if data is not None else None
    return order_file(
        grant_id=grant.pk,
        actor=grant.holder,
        target="web-1",
        wanted=Wanted(direction=direction, path=path),
        content=content,
        client_address="203.0.113.7",
        now=clock.now(),
    )


def run_of(asked: CommandOrder, *states: str) -> CommandRun:
    def arrived() -> bool:
        asked.refresh_from_db()
        return asked.run is not None and asked.run.state in states

    eventually(arrived)
    return asked.run


def completed(asked: CommandOrder) -> OrderedFile:
    eventually(lambda: OrderedFile.objects.filter(order=asked, complete_at__isnull=False).exists())
    return OrderedFile.objects.get(order=asked)


def left() -> bool:
    return OrderedFile.objects.exists() or FilePiece.objects.exists()


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def test_a_download_is_recorded_as_over_sftp_and_comes_back_whole(place, grant, folder):
    data = os.urandom(3_000_000)
    (folder / "logs" / "big").write_bytes(data)
    asked = order(grant, "get", f"{folder}/logs/big")
    digest = hashlib.sha256(data).hexdigest()
    assert (completed(asked).size, completed(asked).sha256) == (len(data), digest)
    run = run_of(asked, "done")
    assert (run.line, run.exit_status, run.recording) == (f"get {folder}/logs/big", 0, "")
    assert last("command.finished", grant.ref).data["exchanged"] == {
        "direction": "get",
        "path": f"{folder}/logs/big",
        "bytes": len(data),
        "sha256": digest,
    }
    eventually(lambda: grant.sessions.get().closed_at)
    assert (grant.sessions.get().proof, grant.sessions.get().client_address) == ("page", "203.0.113.7")
    taken = take_file(order_id=asked.pk, actor=grant.holder, now=clock.now)
    assert b"".join(taken.content) == data
    assert not left()


def test_nothing_of_a_file_is_readable_between_gateway_and_page_or_in_the_gateways_log(place, grant, folder):
    completed(order(grant, "get", f"{folder}/logs/access.log"))
    assert all(b"Personal" not in bytes(piece.sealed) for piece in FilePiece.objects.all())
    for path in (place.folder / "gateway.log", *(place.folder / "state").rglob("*")):
        assert not path.is_file() or b"Personal data" not in path.read_bytes(), path


def test_a_listing_has_names_sizes_and_times(grant, folder):
    file = completed(order(grant, "list", f"{folder}/logs"))
    found = {one.name: one for one in entries_of(file, clock.now())}
    assert (found["access.log"].size, found["access.log"].is_folder) == (len(SECRET), False)
    assert found["old"].is_folder
    assert abs(found["old"].time - clock.now()) < dt.timedelta(hours=1)


def test_an_upload_is_published_whole_and_nothing_stays(grant, folder):
    data = os.urandom(2_500_000)
    asked = order(grant, "put", f"{folder}/new/a1.bin", data)
    assert run_of(asked, "done", "cut", "failed").exit_status == 0
    assert (folder / "new" / "a1.bin").read_bytes() == data
    assert last("command.finished", grant.ref).data["exchanged"]["sha256"] == hashlib.sha256(data).hexdigest()
    eventually(lambda: not left())


def test_an_existing_file_is_not_replaced_and_the_reason_is_recorded(grant, folder):
    (folder / "new" / "there.bin").write_bytes(b"old")
    run = run_of(order(grant, "put", f"{folder}/new/there.bin", b"new"), "done")
    assert run.exit_status == 1
    assert "a file with this name exists" in run.reason
    assert (folder / "new" / "there.bin").read_bytes() == b"old"
    eventually(lambda: not left())


def test_content_with_another_digest_is_refused_and_reaches_no_target(place, grant, folder):
    with pytest.raises(LineRefused, match="SHA-256"):
        order(grant, "put", f"{folder}/pinned/file", b"release 41")
    asked = CommandOrder.objects.filter(grant=grant).latest("pk")
    assert "SHA-256" in run_of(asked, "refused").reason
    assert place.logins(grant) == 0
    assert run_of(order(grant, "put", f"{folder}/pinned/file", PINNED), "done").exit_status == 0
    assert (folder / "pinned" / "file").read_bytes() == PINNED


def test_a_refused_path_is_recorded_and_reaches_no_target(place, grant, folder):
    with pytest.raises(LineRefused):
        order(grant, "get", f"{folder}/secret")
    run = run_of(CommandOrder.objects.filter(grant=grant).latest("pk"), "refused")
    assert run.line == f"get {folder}/secret"
    assert place.logins(grant) == 0


def test_a_missing_file_leaves_nothing(grant, folder):
    run = run_of(order(grant, "get", f"{folder}/logs/none"), "done")
    assert (run.exit_status, run.reason) == (1, "the file does not exist")
    eventually(lambda: not left())


def test_a_file_larger_than_pages_transfer_is_not_fetched(grant, folder):
    with (folder / "logs" / "huge").open("wb") as file:
        file.truncate(65 * 2**20)
    run = run_of(order(grant, "get", f"{folder}/logs/huge"), "cut")
    assert "larger than 64 MiB" in run.reason
    assert "stint cp" in run.reason
    eventually(lambda: not left())


def test_a_held_upload_waits_at_the_gateway_alone_and_shows_what_sftp_shows(place, grant, folder):
    asked = order(grant, "put", f"{folder}/held/a.conf", SECRET)
    run = run_of(asked, "held")
    upload = uploads_of([run])[run.pk]
    assert (upload.size, upload.sha256) == (len(SECRET), hashlib.sha256(SECRET).hexdigest())
    assert upload.text == SECRET.decode()
    assert not left()
    assert place.logins(grant) == 0
    decide_hold(run_id=run.pk, actor=place.world.bob, allow=True, now=clock.now())
    assert run_of(asked, "done").exit_status == 0
    assert (folder / "held" / "a.conf").read_bytes() == SECRET


def test_a_held_upload_that_is_denied_leaves_nothing(place, grant, folder):
    run = run_of(order(grant, "put", f"{folder}/held/b.conf", SECRET), "held")
    decide_hold(run_id=run.pk, actor=place.world.bob, allow=False, now=clock.now())
    eventually(lambda: grant.sessions.get().closed_at)
    assert not (folder / "held" / "b.conf").exists()
    assert not left()


def slow(folder: Path) -> Path:
    """Return a file that is so large that its transfer is seen under way."""
    path = folder / "logs" / "slow"
    with path.open("wb") as file:
        file.truncate(60 * 2**20)
    return path


def under_way(asked: CommandOrder) -> None:
    eventually(lambda: FilePiece.objects.filter(file__order=asked).exists(), within=20)


def test_the_end_of_the_grant_cuts_the_transfer_and_leaves_nothing(grant, folder):
    asked = order(grant, "get", str(slow(folder)))
    under_way(asked)
    revoke(grant)
    assert run_of(asked, "cut", "done").state == "cut"
    eventually(lambda: not left())


def test_of_an_upload_whose_grant_ends_nothing_is_published(grant, folder):
    asked = order(grant, "put", f"{folder}/new/late.bin", bytes(60 * 2**20))
    eventually(lambda: asked.refresh_from_db() or asked.run_id)
    revoke(grant)
    run_of(asked, "cut", "done", "failed")
    eventually(lambda: not left())
    eventually(lambda: not any(name.startswith(".") for name in names(folder / "new")))
    assert "late.bin" not in names(folder / "new") or asked.run.state == "done"


def test_of_a_gateway_that_broke_nothing_stays(place, grant, folder):
    asked = order(grant, "get", str(slow(folder)))
    under_way(asked)
    place.gateway.send_signal(signal.SIGKILL)
    place.gateway.wait()
    place.start()
    run_of(asked, "cut")
    assert OrderedFile.objects.get(order=asked).complete_at is None
    purge_files(now=clock.now() + dt.timedelta(seconds=11))
    assert not left()
