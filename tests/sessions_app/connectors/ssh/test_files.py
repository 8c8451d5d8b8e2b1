"""The helper on targets, run by the shells that targets have as sh, against folders that are hostile."""

import contextlib
import hashlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from sessions_app.connectors.ssh.files import (
    HELPER_SCRIPT,
    Helper,
    clean_command,
    helper_of,
    leftovers,
    parse_entries,
    parse_said,
    temporary_name,
)
from sessions_app.connectors.ssh.wrapper import force_command
from sessions_app.policy.commands.ssh.transfers import Transfer
from tests.support.waits import eventually

pytestmark = pytest.mark.processes

MARK = f"files{os.getpid():011d}"
DATA = b"data"


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path.resolve() / "a folder with 'quotes'"
    (folder / "below").mkdir(parents=True)
    (folder / "file").write_bytes(DATA)
    (folder / "link").symlink_to("file")
    (folder / "turn").symlink_to("below")
    (folder / "below" / "file").write_bytes(DATA)
    os.mkfifo(folder / "fifo")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def started_by(shell: str, helper: Helper) -> list[str]:
    return [shell, "-c", HELPER_SCRIPT, "stint", *helper.words]


def ran(shell: str, transfer: Transfer, sent: bytes = b"", *, digest: str | None = "", limit: str = ""):
    """Return a helper's output. An upload is committed with its own digest, another one, or not at all."""
    helper = helper_of(transfer, grant_mark=MARK, run_id=7)
    if digest is not None and transfer.direction == "put":
        sent += helper.commit(digest or hashlib.sha256(sent).hexdigest())
    argv = started_by(shell, helper)
    if limit:
        argv = ["sh", "-c", f'{limit} exec "$@"', "limited", *argv]
    return subprocess.run(argv, input=sent, capture_output=True, timeout=30, check=False).stdout


def put(folder: Path, name: str, **more) -> Transfer:
    return Transfer("put", f"{folder}/{name}", **{"most": 100, "mode": "0600", **more})


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("link", "elsewhere"),
        ("turn/file", "elsewhere"),
        ("below", "special"),
        ("fifo", "special"),
        ("none", "missing"),
        ("none/file", "folder"),
        ("é" * 100, "missing"),
    ],
)
def test_only_a_regular_file_at_exactly_this_path_is_read(sh, folder, name, word):
    assert parse_said(ran(sh, Transfer("get", f"{folder}/{name}", 100)).strip()).word == word


def test_a_file_is_read_if_it_is_not_too_large(sh, folder):
    first, _, content = ran(sh, Transfer("get", f"{folder}/file", 4)).partition(b"\n")
    assert (parse_said(first).size, content) == (4, DATA)
    assert ran(sh, Transfer("get", f"{folder}/file", 3)) == b"no large\n"


def test_a_folder_is_listed_and_nothing_below_it(sh, folder):
    found, complete = parse_entries(ran(sh, Transfer("list", str(folder))).removeprefix(b"ok\n"))
    assert complete
    assert sorted(entry.name for entry in found) == ["below", "fifo", "file", "link", "turn"]
    assert ran(sh, Transfer("list", f"{folder}/turn")) == b"no elsewhere\n"


@pytest.mark.parametrize(("most", "complete"), [(450, True), (449, False)])
def test_a_large_folder_is_listed_in_parts_up_to_a_number_of_entries(sh, tmp_path, most, complete):
    folder = tmp_path.resolve()
    for number in range(450):
        (folder / f"{'.' * (number % 3)}{number}").touch()
    argv = started_by(sh, Helper(("list", str(folder), str(most))))
    listed = subprocess.run(argv, capture_output=True, check=True).stdout
    found = parse_entries(listed.removeprefix(b"ok\n"))
    assert found is not None
    assert found[1] is complete
    assert len({entry.name for entry in found[0]}) == len(found[0]) == most


@pytest.mark.parametrize("replace", [False, True])
def test_a_file_is_written_whole_with_its_mode(sh, folder, replace):
    said = ran(sh, put(folder, "new", mode="0640", replace=replace), DATA)
    assert said == f"ok\ndone 4 {hashlib.sha256(DATA).hexdigest()}\n".encode()
    assert (folder / "new").read_bytes() == DATA
    assert (folder / "new").stat().st_mode & 0o7777 == 0o640
    assert (folder / "new").stat().st_nlink == 1


@pytest.mark.parametrize(
    ("name", "more", "word"),
    [
        ("file", {}, "exists"),
        ("link", {}, "exists"),
        ("link", {"replace": True}, "elsewhere"),
        ("turn/new", {}, "elsewhere"),
        ("below", {"replace": True}, "special"),
        ("fifo", {"replace": True}, "special"),
        ("new", {"most": 3}, "large"),
        ("new", {"sha256": "0" * 64}, "digest"),
        ("none/new", {}, "folder"),
    ],
)
def test_what_is_not_allowed_to_be_written_leaves_nothing(sh, folder, name, more, word):
    before = names(folder), names(folder / "below")
    said = ran(sh, put(folder, name, **more), DATA)
    assert said.splitlines()[-1] == f"no {word}".encode()
    assert (names(folder), names(folder / "below")) == before
    assert (folder / "file").read_bytes() == DATA


@pytest.mark.parametrize(
    ("digest", "limit", "word"),
    [
        (None, "", "incomplete"),
        ("0" * 64, "", "digest"),
        # A full disk, as far as a program can tell.
        ("", "trap '' XFSZ; ulimit -f 0;", "write"),
    ],
)
def test_what_does_not_arrive_whole_leaves_nothing(sh, folder, digest, limit, word):
    said = ran(sh, put(folder, "new", most=10_000_000), bytes(1_000_000), digest=digest, limit=limit)
    assert said.splitlines()[-1] == f"no {word}".encode()
    assert not [name for name in names(folder) if name == "new" or name.startswith(".")]


@pytest.mark.parametrize("sent", [0, 3_000_000])
def test_an_end_of_the_connection_removes_what_is_unfinished(sh, folder, sent):
    helper = helper_of(put(folder, "new", most=10_000_000), grant_mark=MARK, run_id=8)
    line = force_command(
        helper.words,
        contain="group",
        account="root",
        grant_mark=MARK,
        run_id=8,
        seconds=30,
        script=HELPER_SCRIPT,
    )
    login = subprocess.Popen([sh, "-c", line], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    temporary = folder / temporary_name(MARK, 8)
    assert login.stdout.readline() == b"ok\n"
    login.stdin.write(bytes(sent))
    eventually(lambda: temporary.stat().st_size * 2 >= sent)
    # What sshd's end does, by the death signal.
    login.send_signal(signal.SIGTERM)
    login.wait(20)
    eventually(lambda: not temporary.exists())
    assert "new" not in names(folder)


def test_a_signal_that_only_the_helper_itself_gets_removes_what_is_unfinished(sh, folder):
    """Its children can lose a signal that arrives while they start."""
    helper = helper_of(put(folder, "new", most=10_000_000), grant_mark=MARK, run_id=8)
    running = subprocess.Popen(started_by(sh, helper), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    temporary = folder / temporary_name(MARK, 8)
    assert running.stdout.readline() == b"ok\n"
    running.stdin.write(bytes(300_000))
    eventually(lambda: temporary.stat().st_size > 0)
    running.terminate()
    assert running.wait(20) == 143
    assert not temporary.exists()
    running.communicate()
    assert "new" not in names(folder)


def read_back(path: Path) -> int:
    """How many bytes of a file have been read through descriptor 5 of a process."""
    for one in Path("/proc").glob("[0-9]*/fd/5"):
        with contextlib.suppress(OSError):
            if one.readlink() == path:
                return int((one.parent.parent / "fdinfo" / "5").read_text().split()[1])
    return 0


def test_an_upload_is_read_back_for_its_digest_while_it_arrives(sh, folder):
    helper = helper_of(put(folder, "new", most=10_000_000), grant_mark=MARK, run_id=9)
    data = os.urandom(4 * 1024 * 1024)
    running = subprocess.Popen(started_by(sh, helper), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert running.stdout.readline() == b"ok\n"
    running.stdin.write(data)
    running.stdin.flush()
    eventually(lambda: read_back(folder / temporary_name(MARK, 9)) >= len(data) / 2)
    said = running.communicate(helper.commit(hashlib.sha256(data).hexdigest()))[0]
    assert said.decode() == f"done {len(data)} {hashlib.sha256(data).hexdigest()}\n"
    assert (folder / "new").read_bytes() == data


def test_the_digest_is_that_of_the_file_and_not_of_the_input(sh, folder):
    helper = helper_of(put(folder, "new", most=10_000_000), grant_mark=MARK, run_id=9)
    temporary, data = folder / temporary_name(MARK, 9), bytes(300_000)
    running = subprocess.Popen(started_by(sh, helper), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert running.stdout.readline() == b"ok\n"
    running.stdin.write(data)
    running.stdin.flush()
    eventually(lambda: temporary.stat().st_size > 0)
    with temporary.open("r+b") as file:
        file.write(b"other")
    assert running.communicate(helper.commit(hashlib.sha256(data).hexdigest()))[0] == b"no digest\n"
    assert "new" not in names(folder)


def test_a_parent_that_is_replaced_meanwhile_leads_nowhere(sh, folder, tmp_path):
    """The helper stays in the folder that it has checked."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    helper = helper_of(put(folder / "below", "new"), grant_mark=MARK, run_id=9)
    running = subprocess.Popen(started_by(sh, helper), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert running.stdout.readline() == b"ok\n"
    (folder / "below").rename(folder / "moved")
    (folder / "below").symlink_to(elsewhere)
    running.communicate(DATA + helper.commit(hashlib.sha256(DATA).hexdigest()))
    assert names(elsewhere) == []
    assert names(folder / "moved") == ["file", "new"]


def test_a_file_that_shrinks_while_it_is_read_is_not_taken_for_whole(sh, folder):
    size = 5_000_000
    (folder / "file").write_bytes(bytes(size))
    helper = helper_of(Transfer("get", f"{folder}/file", size), grant_mark=MARK, run_id=9)
    running = subprocess.Popen(started_by(sh, helper), stdout=subprocess.PIPE)
    assert parse_said(running.stdout.readline().strip()).size == size
    os.truncate(folder / "file", 0)
    time.sleep(0.1)
    assert len(running.communicate()[0]) < size


def test_what_a_cut_upload_left_is_removed_and_nothing_else(sh, folder):
    name = temporary_name(MARK, 5)
    (folder / name).write_bytes(b"half")
    (folder / "below" / name).write_bytes(b"half")
    paths = leftovers([(5, ["put", f"{folder}/new", "size=4"]), (5, ["put", f"{folder}/turn/new"])], MARK)
    done = subprocess.run([sh, "-c", clean_command(paths)], capture_output=True, check=True)
    assert done.stdout == b"done\n"
    assert name not in names(folder)
    assert name in names(folder / "below")


@pytest.mark.parametrize("said", [b"", b"ok 1", b"no", b"no such file", b"done 1 x", b"ok -1 1", b"\xff"])
def test_anything_else_that_a_target_says_is_no_answer(said):
    assert parse_said(said) is None


@pytest.mark.parametrize(
    "records", [b"", b"81a4 1 1 ./a\0", b"x\0end\0", b"81a4 1 1 ./a/b\0end\0", b"end\0x"]
)
def test_anything_else_is_no_listing(records):
    assert parse_entries(records) is None
