"""`manage.py demo --once`: the story is judged step by step, and nothing of it is left on the machine."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.embedded.state import temporary_state_dir
from tests.environment import ROOT
from tests.support.pace import allow
from tests.support.waits import PATIENCE

pytestmark = pytest.mark.processes

STEPS = [
    "Priya requests",
    "Two people approve",
    "The grant starts automatically",
    "An allowed command runs",
    "A command outside the set is refused",
    "An injection is refused",
    "A running command is terminated at the deadline",
    "The target confirms the end",
    "The next login is refused",
    "Priya can read one table",
    "psql is disconnected during a query",
    "At Stint's PostgreSQL gateway, one update is refused; another waits",
    "In the API behind nginx, Priya can read one ticket",
    "The ticket is done",
    "Through Stint's own gateway, Priya reads a price",
    "She follows its changes; the stream is closed",
    "A pipeline gets access to a Kubernetes cluster",
    "kubectl sets the image of that release; another image is refused",
    "The pipeline is done: its kubectl exec is disconnected",
    "An agent requests one ticket through MCP",
    "It reads and closes that ticket",
    "The ticket is closed in Stint",
    "An incident is open: Priya is on call",
    "The incident is closed while a command runs",
    "The record is verified",
]


class Demo:
    """A demo that runs in a temporary folder of its own, with a word in its environment that no other process
    has.
    """

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary
        self.mark = uuid.uuid4().hex
        self.folder: Path | None = None
        self.lines: list[str] = []
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--once"],
            cwd=ROOT,
            env={
                **os.environ,
                "DEMO_MARK": self.mark,
                "TMPDIR": str(temporary),
                # A proxy that nobody runs: what asks this machine's own ports may not go by it.
                "http_proxy": "http://127.0.0.1:9",
                "no_proxy": "",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, words: str, within: float = 60) -> None:
        last = time.monotonic() + allow(within)
        while words not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < last, self.said
            time.sleep(0.02)

    def learn_folder(self) -> None:
        """Learn the state folder, from the environment of a process of this demo."""
        found = [
            re.search(rb"STINT_STATE_DIR=(/tmp/stint-demo-[^\0]+)", told)
            for _, told in _processes()
            if self.mark.encode() in told
        ]
        self.folder = Path(next(match[1] for match in found if match).decode())

    def left(self) -> dict[int, bytes]:
        """The processes that have the mark or a folder of this demo among their words or in their
        environment.
        """
        marks = [
            self.mark.encode(),
            str(self.temporary).encode(),
            *([str(self.folder).encode()] if self.folder else []),
        ]
        return {pid: told for pid, told in _processes() if any(mark in told for mark in marks)}

    def status(self, within: float = 60) -> int:
        code = self.process.wait(allow(within))
        self._reader.join(5)
        return code

    def sshd(self) -> list[int]:
        return [
            pid
            for pid, told in _processes()
            if str(self.temporary).encode() + b"/stint-sshd-" in told and b"sshd_config" in told
        ]


def _processes() -> Iterator[tuple[int, bytes]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                yield int(entry.name), (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()


@contextlib.contextmanager
def demo() -> Iterator[Demo]:
    with temporary_state_dir("stint-of-demo-") as temporary:
        running = Demo(temporary)
        try:
            yield running
        finally:
            if running.process.poll() is None:
                running.process.send_signal(signal.SIGTERM)
                running.process.wait(PATIENCE)


@pytest.mark.smoke
def test_its_first_steps_bring_access_and_an_interrupt_leaves_nothing():
    with demo() as running:
        running.wait_for(STEPS[5], within=180)
        running.learn_folder()
        running.process.send_signal(signal.SIGINT)
        running.status()
        for begun in STEPS[:4]:
            assert begun in running.said
        assert "FAILED" not in running.said
        assert not running.left()
        assert not running.folder.exists()


@pytest.fixture(scope="module")
def both(processes):
    """Two at the same time, for each takes half a minute: one goes well, the other loses its targets,
    whichever is looked at first.
    """
    with demo() as good, demo() as bad:
        # They run by then, and the story, which waits for nobody, has not begun.
        bad.wait_for("Starting a simulated Kubernetes API")
        bad.learn_folder()
        targets = bad.sshd()
        assert len(targets) == 4
        for pid in targets:
            os.kill(pid, signal.SIGKILL)
        good.wait_for("Playing the steps")
        good.learn_folder()
        yield good, bad


def test_a_step_that_goes_wrong_ends_the_story_with_status_1(both):
    _, bad = both
    assert bad.status() == 1
    told = bad.said.partition(f" 4. {STEPS[3]}")[2].splitlines()
    assert told[1].startswith("    FAILED: exit "), bad.said
    assert STEPS[4] not in bad.said
    assert "A step failed" in bad.said
    assert not bad.left()
    assert not bad.folder.exists()
    assert list(bad.temporary.iterdir()) == []


def test_the_story_goes_as_it_should_and_leaves_nothing(both):
    good, _ = both
    assert good.status() == 0, good.said
    told = re.findall(r"^ ?(\d+)\. (.*)$", good.said, re.MULTILINE)
    assert [int(number) for number, _ in told] == list(range(1, len(STEPS) + 1))
    for (_, title), begin in zip(told, STEPS, strict=True):
        assert title.startswith(begin)
    # Each step says what was seen.
    for seen in (
        r"is waiting for 2 approvals",
        r"Mara approved [0-9a-f]{12}…, now approved",
        r"GR-\w+ is active until",
        r"restarted nginx: process \d+ -> \d+",
        r"not allowed: `nginx` is allowed, but `sshd` is not one of nginx",
        r"never passed to a shell",
        r"ended -?\d+ ms after the deadline",
        r"nothing of the grant is left",
        r"1 commands? run, |2 commands run, ",
        r"no active access",
        r"INC-\d+ is open on web-eu",
        r"ended -?\d+ ms after INC-\d+ was closed",
        r"permission denied for table cards",
        r"terminating connection",
        r"no role, session or owned object of the grant",
        r"Stint refused this statement: order must be `7`",
        r"waiting for approval at its COMMIT[^\n]*\n    UPDATE 1",
        r"on fire",
        r"403 Request refused by Stint",
        r"allowed GET /tickets/T-7; refused GET /tickets/T-8",
        r"read_ticket TKT-9999: Refused by GR-\w+",
        r"in the body: needs a number from 35 to 60",
        r"GR-\w+ has ended: ended by the holder",
        r"the stream was closed \d+ ms after",
        r"the Kubernetes API is simulated; kubectl is real",
        r"must be `registry.example/web:v1.4.2`, not `registry.example/web:v1.4.3`",
        r"deployment.apps/web image updated",
        r"GR-\w+ has ended: workflow closed",
        r"process \d+ in the container ended \d+ ms after",
        r"export_attachments: Refused",
        r"\(workflow closed\); tools/list returned 401",
        r"All steps passed",
    ):
        assert re.search(seen, good.said), f"{seen} was not seen in:\n{good.said}"
    assert not good.left()
    assert not good.folder.exists()
    assert list(good.temporary.iterdir()) == []


def test_the_readme_says_how_many_steps_there_are():
    assert f"plays the demo's {len(STEPS)} steps" in (ROOT / "README.md").read_text()


def test_without_kubectl_it_says_in_one_line_what_to_do_before_anything_starts(tmp_path):
    told = subprocess.run(
        [sys.executable, "manage.py", "demo", "--once"],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.splitlines() == ["stint: kubectl was not found. Install Debian's `kubernetes-client`."]


def test_without_root_it_says_in_one_line_what_to_do_before_anything_starts():
    code = "import os, sys; from broker.demo.main import main; os.seteuid(65534); sys.exit(main(['--once']))"
    begun = time.monotonic()
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.splitlines() == [
        "stint: The SSH targets are real sshd processes, which need root. Run this again as root."
    ]
    assert time.monotonic() - begun < allow(10)
