"""The wrappers, run by the shells that accounts on targets have."""

import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from sessions_app.connectors.marks import GRANT_MARK, CannotWrap, Mark, run_mark
from sessions_app.connectors.ssh.sweep import count_command, parse_sweep, sweep_command
from sessions_app.connectors.ssh.wrapper import force_command
from tests.support.pace import allow
from tests.support.servers.gateway import STAYS_ALIVE, new_tag, on_target, write_act
from tests.support.waits import PATIENCE, eventually

pytestmark = pytest.mark.processes

# Of this process alone: others run these tests on this machine, and a sweep kills all that has its mark.
GRANT = f"mark-of-grant-{os.getpid()}"
SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh", "fish") if shutil.which(shell)]
HARD = [
    "",
    " ",
    "'",
    '"',
    "\\",
    "\\'\" (touch F) #",
    "$HOME",
    "`id`",
    "a;b",
    "*",
    "~",
    "=ls",
    "é€",
    "-n",
    "{a,b}",
    "!x",
    "a\tb",
]


def wrapped(*argv: str, contain: str = "group", seconds: float = 30.0, run_id: int | None = None) -> str:
    # A run of its own: one that dies sweeps for a moment after it seems to be gone.
    run_id = run_id or new_tag()
    return force_command(
        argv, contain=contain, account="root", grant_mark=GRANT, run_id=run_id, seconds=seconds
    )


def test_all_shells_that_targets_may_have_are_tried():
    assert set(SHELLS) == {"sh", "bash", "dash", "zsh", "fish"}


@pytest.mark.parametrize("contain", ["group", "pidns"])
@pytest.mark.parametrize("shell", SHELLS)
def test_every_word_arrives_as_it_was_approved(shell, contain):
    line = wrapped("printf", "%s\\0", *HARD, contain=contain)
    done = subprocess.run([shell, "-c", line], capture_output=True, check=True)
    assert done.stdout.split(b"\0")[:-1] == [word.encode() for word in HARD]
    assert done.stderr == b""


@pytest.mark.parametrize("contain", ["group", "pidns"])
def test_exit_status_input_and_marks_pass(sh, contain):
    done = subprocess.run(
        [
            sh,
            "-c",
            wrapped(
                "sh", "-c", "wc -c; env | grep -E STINT_GRANT\\|STINT_RUN; exit 3", contain=contain, run_id=7
            ),
        ],
        input=b"x" * 200_000,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 3
    assert sorted(done.stdout.split()) == [
        b"200000",
        f"STINT_GRANT={GRANT}".encode(),
        f"STINT_RUN={GRANT}-000000000007".encode(),
    ]


@pytest.fixture
def staying(tmp_path):
    """Wraps a command that does what it can to stay alive; gives the line and its tag."""
    write_act(tmp_path)

    def staying(kind: str, **more) -> tuple[str, int]:
        tag = new_tag()
        return wrapped(str(tmp_path / "test"), kind, str(tag), **more), tag

    return staying


@pytest.mark.parametrize("kind", STAYS_ALIVE)
@pytest.mark.parametrize("contain", ["group", "pidns"])
def test_the_targets_own_clock_ends_all_of_it(staying, contain, kind):
    line, tag = staying(kind, contain=contain, seconds=0.6)
    assert_ends_in_time("sh", line, tag)


def assert_ends_in_time(shell: str, line: str, tag: int) -> None:
    began = time.monotonic()
    with subprocess.Popen(
        [shell, "-c", line], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        assert process.wait(PATIENCE) in (137, -signal.SIGKILL)
    assert 0.5 < time.monotonic() - began < allow(5)
    eventually(lambda: not on_target(tag), within=5)


# One that ignores TERM, and one that leaves its process group.
@pytest.mark.parametrize("kind", ["stubborn", "daemon"])
def test_every_sh_ends_all_of_it_in_time_and_with_its_connection(sh, staying, kind):
    assert_ends_in_time(sh, *staying(kind, seconds=0.6))
    assert_ends_with_its_parent(sh, *staying(kind))


@pytest.mark.parametrize("kind", STAYS_ALIVE)
@pytest.mark.parametrize("contain", ["group", "pidns"])
def test_it_dies_with_the_process_that_started_it(staying, contain, kind):
    """As a command does with sshd's process for its connection."""
    assert_ends_with_its_parent("sh", *staying(kind, contain=contain))


def assert_ends_with_its_parent(shell: str, line: str, tag: int) -> None:
    line = shlex.join([shell, "-c", line])
    # The shell that starts the line is killed; the line is not its last word, so that it stays the parent.
    parent = subprocess.Popen(
        ["bash", "-c", f"({line}) ; true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    eventually(lambda: on_target(tag))
    parent.kill()
    parent.wait()
    eventually(lambda: not on_target(tag), within=5)


def test_the_scans_of_commands_that_end_together_wait_for_each_other_but_not_for_ever():
    tag = new_tag()
    line = wrapped("sh", "-c", f"setsid -f sleep {tag}; sleep {tag}")
    parent = subprocess.Popen(
        ["bash", "-c", f"({line}) ; true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    eventually(lambda: len(on_target(tag)) == 2)
    with open("/dev/null", "rb") as null:
        fcntl.flock(null, fcntl.LOCK_EX)
        parent.kill()
        parent.wait()
        eventually(lambda: len(on_target(tag)) == 1 and _wait_to_scan())
        eventually(lambda: not on_target(tag), within=10)


def _wait_to_scan() -> bool:
    words = b"flock\0-w\0001\0000\0"
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if file.read_bytes() == words:
                return True
    return False


@pytest.mark.parametrize("contain", ["group", "pidns"])
def test_nothing_starts_when_the_connection_is_gone_already(sh, contain, tmp_path):
    """The parent is process 1 by then, or who adopts orphans in its place."""
    made = tmp_path / "made"
    line = wrapped("touch", str(made), contain=contain)
    guard = line.replace('[ "$PPID" != 1 ]', "[ 1 != 1 ]")
    assert guard != line
    done = subprocess.run([sh, "-c", guard], capture_output=True, check=False)
    assert done.returncode == 125
    assert not made.exists()


def test_a_command_that_ends_by_itself_may_leave_a_daemon_until_the_grant_ends():
    tag = new_tag()
    subprocess.run(
        ["sh", "-c", wrapped("setsid", "-f", "sleep", str(tag))],
        check=True,
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert len(on_target(tag)) == 1
    swept = subprocess.run(
        ["sh", "-c", sweep_command(Mark(GRANT_MARK, GRANT))], capture_output=True, check=True
    )
    found = parse_sweep(swept.stdout.decode())
    assert (found.found, found.left) == (1, 0)
    eventually(lambda: not on_target(tag), within=5)


def test_the_commands_that_are_named_are_swept_and_those_beside_them_live_on():
    tags = {run_id: new_tag() for run_id in (1, 2, 12)}
    for run_id, tag in tags.items():
        line = wrapped("setsid", "-f", "sleep", str(tag), run_id=run_id)
        subprocess.run(
            ["sh", "-c", line],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    named = sweep_command(run_mark(GRANT, 1), run_mark(GRANT, 2))
    swept = subprocess.run(["sh", "-c", named], capture_output=True, check=True)
    assert parse_sweep(swept.stdout.decode()).found == 2
    assert [len(on_target(tag)) for tag in tags.values()] == [0, 0, 1]
    everything = sweep_command(Mark(GRANT_MARK, GRANT))
    subprocess.run(["sh", "-c", everything], capture_output=True, check=True)
    eventually(lambda: not on_target(tags[12]))


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("command", [sweep_command, count_command])
def test_a_look_that_can_not_see_says_nothing(shell, command, tmp_path):
    """Neither where there is no grep on the PATH, nor where /proc is not that of this machine."""
    line = command(Mark(GRANT_MARK, f"blind-{GRANT}"))
    for name in ("env", "timeout", "sh", "sleep", "unshare", "mount", "true"):
        (tmp_path / name).symlink_to(shutil.which(name))
    path = str(shutil.which(shell))
    blind = subprocess.run([path, "-c", line], capture_output=True, check=False, env={"PATH": str(tmp_path)})
    assert parse_sweep(blind.stdout.decode()) is None
    empty = tmp_path / "empty"
    empty.mkdir()
    script = f'mount --bind {empty} /proc && exec {path} -c "$1"'
    nowhere = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", line], capture_output=True, check=False
    )
    assert b"mount" not in nowhere.stderr
    assert parse_sweep(nowhere.stdout.decode()) is None
    seeing = subprocess.run([path, "-c", line], capture_output=True, check=True)
    assert parse_sweep(seeing.stdout.decode()).found == 0


@pytest.mark.parametrize("shell", SHELLS)
def test_a_sweep_finds_all_and_only_what_has_the_mark(shell):
    mark = run_mark(f"another-{GRANT}", 9)
    processes = [
        subprocess.Popen(["sleep", "600"], env={**os.environ, "STINT_RUN": value})
        for value in (mark.value, mark.value, f"{mark.value}0", f"x{mark.value}")
    ]
    try:
        eventually(
            lambda: (
                b"left=2"
                in subprocess.run([shell, "-c", count_command(mark)], capture_output=True, check=True).stdout
            )
        )
        swept = subprocess.run([shell, "-c", sweep_command(mark)], capture_output=True, check=True)
        assert parse_sweep(swept.stdout.decode()).left == 0
        assert [process.wait(allow(5)) for process in processes[:2]] == [-9, -9]
        assert [process.poll() for process in processes[2:]] == [None, None]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.0004, float("inf"), float("nan")])
def test_without_time_left_there_is_no_command(seconds):
    """`timeout 0` would mean for ever."""
    with pytest.raises(CannotWrap, match="No time is left"):
        wrapped("true", seconds=seconds)


@pytest.mark.parametrize(
    "argv", [(), ("",), ("internal-sftp",), ("/usr/lib/internal-sftp",), ("a\nb",), ("a\0",), ("a\r",)]
)
def test_words_that_can_not_be_handed_over_are_refused(argv):
    with pytest.raises(ValueError, match="."):
        wrapped(*argv)


def test_a_command_that_no_certificate_can_hold_is_refused():
    with pytest.raises(CannotWrap, match="too long"):
        wrapped("echo", "x" * 130_000)


@pytest.mark.parametrize(
    "text", ["", "found=1 left=0", "found=1 left=0 rounds=2\nmore", "found=-1 left=0 rounds=1", "hello"]
)
def test_what_is_not_exactly_a_summary_proves_nothing(text):
    assert parse_sweep(text) is None


@pytest.mark.parametrize("value", ["", "short", "has space", "x" * 65, "a;b;c;d;e", "../../../x"])
def test_a_mark_has_plain_characters_alone(value):
    with pytest.raises(CannotWrap):
        Mark(GRANT_MARK, value)
