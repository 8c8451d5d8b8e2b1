"""What a holder does so that a sweep does not find a process, and what the sweep says then."""

import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessions_app.connectors.marks import GRANT_MARK, Mark
from sessions_app.connectors.ssh.sweep import Swept, parse_sweep, sweep_command
from tests.support.waits import eventually

pytestmark = pytest.mark.processes

# An account of no one else on this machine, nor of another process of the tests.
SOMEONE = 60_000 + os.getpid() % 4_000
# Forks and exits again and again, each time in a session of its own, and writes down now and then that it
# did.
HOPPER = """
use POSIX; my $until = time + 30; my $hops = 0;
while (time < $until) {
    POSIX::_exit(0) if fork; POSIX::setsid();
    if ($hops++ % 50 == 0) { open(my $file, ">", $ARGV[0]); print $file $$; close $file; }
    select undef, undef, undef, 0.0003;
}
"""
# Gets what is left without a parent below it, as a service manager or a container's init does.
SUBREAPER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
first = os.spawnvp(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
while os.wait()[0] != first: pass
"""
# Each says when it has begun to be what it is about.
SLEEP = ["sh", "-c", "echo on; exec sleep 600"]
READY = "$| = 1; print qq(on\\n); sleep 600"
WITHOUT_A_MARK = {
    "an environment that can't be read": ["perl", "-e", f"syscall(157, 4, 0, 0, 0, 0); {READY}"],
    "an environment that it has overwritten": ["perl", "-e", f'$0 = "x" x 60000; {READY}'],
    "an environment that it was given": ["env", "-i", *SLEEP],
}
# Seconds in which all of these tests were begun.
LONG = 3600


def as_someone(*words: str) -> list[str]:
    return ["setpriv", f"--reuid={SOMEONE}", f"--regid={SOMEONE}", "--clear-groups", "--", *words]


def a_mark() -> Mark:
    return Mark(GRANT_MARK, secrets.token_hex(16))


def swept(*marks: Mark, root: bool = False, **more) -> Swept:
    line = ["sh", "-c", sweep_command(*marks, **more)]
    done = subprocess.run(line if root else as_someone(*line), capture_output=True, check=True)
    found = parse_sweep(done.stdout.decode())
    assert found is not None, done.stderr
    return found


@contextlib.contextmanager
def running(mark: Mark, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    marked = {**os.environ, mark.name: mark.value}
    words = tuple(as_someone("setsid", *words))
    with subprocess.Popen(words, env=marked, stdout=subprocess.PIPE) as process:
        try:
            # By now it has cleared, overwritten or hidden what it was started with.
            assert process.stdout.readline() == b"on\n"
            yield process
        finally:
            process.kill()


def moves(file: Path) -> bool:
    before = file.read_bytes()
    time.sleep(0.3)
    return file.read_bytes() != before


@pytest.mark.parametrize("time_of", ["first", "second", "third"])
def test_a_process_that_is_never_the_same_for_a_millisecond_is_killed_and_not_taken_for_gone(
    tmp_path, time_of
):
    mark, file = a_mark(), tmp_path / time_of
    marked = {**os.environ, mark.name: mark.value}
    subprocess.run(["perl", "-e", HOPPER, str(file)], env=marked, check=True)
    eventually(lambda: file.exists() and moves(file))
    eventually(lambda: swept(mark, root=True).gone, within=20)
    assert not moves(file)


def test_a_process_whose_orphans_go_to_a_subreaper_is_killed_as_well(tmp_path):
    mark, file = a_mark(), tmp_path / "hops"
    start = 'STINT_GRANT="$1" perl -e "$2" "$3" >&- 2>&-; '
    wait = 'until hops=$(cat "$3") && [ "$hops" ]; do sleep 0.1; done; echo "$hops"; '
    line = f"{start}{wait}({sweep_command(mark)}); "
    words = [sys.executable, "-c", SUBREAPER, "sh", "-c", line, "sh", mark.value, HOPPER, str(file)]
    hopped, answer = subprocess.run(words, capture_output=True, check=True).stdout.splitlines()
    assert hopped
    assert (found := parse_sweep(f"{answer.decode()}\n")) is not None
    assert found.gone
    assert not moves(file)


@pytest.mark.parametrize("how", WITHOUT_A_MARK)
def test_what_has_no_mark_is_named_and_not_taken_for_gone(how):
    mark = a_mark()
    with running(mark, *WITHOUT_A_MARK[how]) as process:
        found = swept(mark, used_for=LONG)
        assert not found.gone
        assert [line.split()[0] for line in found.named] == [str(process.pid)]
        assert process.poll() is None
    assert swept(mark, used_for=LONG).gone


def test_what_began_before_the_grant_or_is_another_grants_is_not_in_question():
    mark, other = a_mark(), a_mark()
    with running(other, *SLEEP) as theirs, running(other, "env", "-i", *SLEEP):
        time.sleep(1.5)
        assert swept(mark, used_for=1, others=[other]).gone
        assert swept(mark, used_for=LONG, others=[other]).unknown == 1
        assert swept(mark, used_for=LONG).unknown == 2
        assert theirs.poll() is None


def test_a_name_with_brackets_and_line_breaks_hides_nothing():
    mark = a_mark()
    with running(mark, "perl", "-e", r'$0 = "a) Z 1\n) b" . "x" x 60000; ' + READY) as odd:
        assert swept(mark, used_for=LONG).named == (f"{odd.pid} a? Z 1 ? bxxxxx",)


def test_what_a_stopped_sweep_says_is_no_answer():
    assert parse_sweep("found=1 left=0 rounds=2 forgers=0 fleeting=0 unknown=1\n12 a\n13 b") is None
