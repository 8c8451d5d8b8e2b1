"""`stint run`: whatever becomes of the command, its grant is ended."""

import datetime as dt
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from broker.cli.errors import NotSignedIn
from broker.cli.heartbeat import Heartbeat
from broker.cli.shell import Shell
from tests.support.servers.gateway import new_tag, tagged
from tests.support.waits import eventually

RUN = ("run", "--cluster", "web", "--set", "look-at-web", "-m", "Nightly")


@pytest.fixture
def run(laptops):
    """Run a command with a grant that needs nobody; gives what came of it."""

    def go(*words: str) -> subprocess.CompletedProcess[str]:
        return laptops["alice"](*RUN, "--", *words)

    return go


@pytest.fixture
def going(laptops):
    """A command that is seen to run, with its tag."""
    started = []

    def go(*, script: str = "exec sleep {tag}") -> tuple[subprocess.Popen[str], int]:
        tag = new_tag()
        process = laptops["alice"].start(*RUN, "--", "sh", "-c", script.format(tag=tag))
        started.append((process, tag))
        eventually(lambda: sleeping(tag) or process.poll() is not None, within=60)
        assert process.poll() is None, process.communicate()
        return process, tag

    yield go
    for process, tag in started:
        process.kill()
        for pid in sleeping(tag):
            os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=60)


def sleeping(tag: int) -> list[int]:
    """The processes that sleep for so long."""
    return [pid for pid in tagged(tag) if b"sleep\0" in open(f"/proc/{pid}/cmdline", "rb").read()[:6]]


def last_grant():
    from sessions_app.models import Grant

    return Grant.objects.latest("pk")


def is_over() -> bool:
    return last_grant().state in ("revoking", "ended")


def test_the_exit_status_is_passed_on_and_the_grant_is_over(run):
    for status in (0, 7):
        done = run("sh", "-c", f"echo out; echo err >&2; exit {status}")
        assert (done.returncode, done.stdout) == (status, "out\n"), done.stderr
        assert "err\n" in done.stderr
        assert is_over()
        assert last_grant().end_reason == "released"
        assert last_grant().end_note == f"The command exited with status {status}."


def test_a_command_that_is_killed_ends_it_as_well(going):
    process, tag = going()
    (pid,) = sleeping(tag)
    os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGKILL
    assert is_over()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda one: one.name)
def test_signals_go_to_the_command_and_its_end_ends_the_grant(going, number):
    process, tag = going()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert not sleeping(tag)
    assert is_over()


def test_when_the_grant_is_over_the_command_is_stopped(going, laptops):
    process, tag = going()
    assert laptops["admin"]("end", last_grant().ref, "-m", "Enough", "--no-wait").returncode == 0
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "has ended (Enough), so the command was stopped." in err
    assert not sleeping(tag)


def test_a_command_that_is_not_there_is_not_asked_for(laptops):
    from sessions_app.models import Grant

    before = Grant.objects.count()
    assert laptops["alice"].fails(*RUN, "--", "no-such-program")[0] == 2
    assert laptops["alice"].fails(*RUN)[0] == 2
    assert laptops["alice"].fails("run", "--", "true")[0] == 2
    assert Grant.objects.count() == before


def test_a_command_that_cannot_be_started_leaves_no_grant(run, laptops):
    broken = laptops["alice"].home / "broken"
    broken.write_text("#!/nowhere\n")
    broken.chmod(0o755)
    done = run(str(broken))
    assert done.returncode == 2, done.stderr
    assert is_over()


def test_the_callers_own_token_stays_with_the_caller(run, laptops):
    done = run("env")
    shown = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert laptops["alice"].env["STINT_TOKEN"] not in done.stdout
    assert shown["STINT_GRANT"] == last_grant().ref
    assert not Path(shown["STINT_SSH_CONFIG"]).exists(), "what was handed over is gone"


def test_a_given_grant_is_used_and_ended(laptops):
    alice = laptops["alice"]
    grant = alice.json("request", "web", "look-at-web", "-m", "Look", "--wait", "--yes")
    assert alice("run", "--grant", grant["ref"], "--", "true").returncode == 0
    assert last_grant().ref == grant["ref"]
    assert is_over()
    status, said = alice.fails("run", "--grant", grant["ref"], "--", "true")
    assert status == 5
    assert f"{grant['ref']} has ended" in said


def test_a_runtime_folder_that_is_not_there_is_no_reason_to_leave_a_grant_behind(laptops):
    alice = laptops["alice"]
    gone = replace(alice, env={**alice.env, "XDG_RUNTIME_DIR": "/nowhere"})
    done = gone(*RUN, "--", "true")
    assert done.returncode == 0, done.stderr
    assert is_over()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_whoever_stops_it_while_it_waits_leaves_no_request_that_is_approved_later(laptops, how):
    from sessions_app.models import AccessRequest

    ask = ("run", "--cluster", "web", "--set", "restart-web", "-m", "Nightly", "-p", "unit=nginx")
    process = laptops["alice"].start(*ask, "--", "true")
    eventually(lambda: AccessRequest.objects.filter(state="pending").exists(), within=60, every=0.1)
    request = AccessRequest.objects.get(state="pending")
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    request.refresh_from_db()
    assert request.state == "withdrawn"


def test_a_machine_whose_clock_is_an_hour_behind_sends_as_often_as_the_grant_wants():
    class Wire:
        """Says what a Stint says whose clock is right."""

        heartbeats = 0

        def post(self, _path):
            self.heartbeats += 1
            hour = dt.timedelta(hours=1)
            return {"heartbeat_due_at": (dt.datetime.now(dt.UTC) + hour).isoformat()}

    shell = Shell({})
    shell._wire = Wire()
    heartbeat = Heartbeat(shell, {"ref": "GR-7F3K", "heartbeat_seconds": 1}, lambda: None)
    assert heartbeat.start()
    eventually(lambda: shell.wire.heartbeats >= 3)
    heartbeat.stop()


@pytest.fixture
def with_heartbeat(laptops):
    """The policy requires a heartbeat, until the test is over."""
    from broker.kernel import clock

    terms = laptops.world.catalog["policies/look.yaml"]
    laptops.world.apply({"policies/look.yaml": f"{terms}heartbeat: 5s\n"}, now=clock.now())
    yield
    laptops.world.apply(now=clock.now())


def test_it_keeps_a_heartbeat_and_when_it_is_killed_the_grant_ends_without_it(with_heartbeat, going):
    from broker.kernel import clock
    from sessions_app.models import Grant

    process, _ = going()
    grant = last_grant()
    first = grant.heartbeat_due_at
    eventually(lambda: last_grant().heartbeat_due_at > first, within=60, every=0.3)
    process.kill()
    process.wait(60)
    assert not is_over()
    # As if the time for three heartbeats had passed: nobody is there to send one.
    Grant.objects.filter(pk=grant.pk).update(heartbeat_due_at=clock.now())
    eventually(is_over, within=60, every=0.3)
    assert last_grant().end_reason != "released"


@pytest.fixture
def short(laptops):
    """Alice's machine with a token of its own in a file; ``renew`` revokes it, and writes another one if
    wanted.
    """
    from accounts.models import APIToken
    from accounts.operations.create_token import create_token
    from broker.kernel import clock

    alice = laptops["alice"]

    class Short:
        file = alice.home / "token"
        env = {key: value for key, value in alice.env.items() if key != "STINT_TOKEN"}
        terminal = replace(alice, env={**env, "STINT_TOKEN_FILE": str(file)})

        def write(self, **more):
            self.token, text = create_token(
                identity_id=laptops.world.alice.pk,
                label="job",
                scopes=("read", "request", "end"),
                lifetime=dt.timedelta(hours=1),
                actor=laptops.world.alice,
                now=clock.now(),
                **more,
            )
            self.file.write_text(text)

        def expire(self):
            APIToken.objects.filter(pk=self.token.pk).update(expires_at=clock.now())

        def start(self):
            tag = new_tag()
            process = self.terminal.start(*RUN, "--", "sleep", str(tag))
            eventually(lambda: sleeping(tag) or process.poll() is not None, within=60)
            assert process.poll() is None, process.communicate()
            return process, tag

    found = Short()
    yield found
    found.file.unlink()


def goes_on_and_is_ended(process, tag):
    """Heartbeats go on for as long as the command runs, and ended with it."""
    first = last_grant().heartbeat_due_at
    eventually(
        lambda: last_grant().heartbeat_due_at > first or process.poll() is not None, within=60, every=0.3
    )
    assert process.poll() is None, process.communicate()
    (pid,) = sleeping(tag)
    os.kill(pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT, said
    assert "could not be ended" not in said
    assert is_over()
    assert last_grant().end_reason == "released"


def test_a_run_whose_own_token_is_over_keeps_its_grant_alive_and_ends_it(with_heartbeat, laptops, short):
    from broker.kernel import clock

    ticket = laptops.world.workflow("ticket", laptops.world.alice, now=clock.now())
    short.write(workflow=ticket.ref)
    process, tag = short.start()
    short.expire()
    goes_on_and_is_ended(process, tag)


def test_a_run_goes_on_with_the_token_that_its_file_holds_by_then(with_heartbeat, short):
    short.write()
    process, tag = short.start()
    short.expire()
    short.write()
    goes_on_and_is_ended(process, tag)


@pytest.mark.timing
def test_a_token_that_is_not_good_any_more_is_no_end_of_a_grant_before_its_time():
    class Wire:
        """Takes one heartbeat, and then no token."""

        heartbeats = 0

        def post(self, _path):
            self.heartbeats += 1
            if self.heartbeats > 1:
                raise NotSignedIn("Your token is not valid.")
            return {"heartbeat_due_at": (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=3)).isoformat()}

    def heartbeat_of(**grant):
        shell = Shell({})
        shell._wire = Wire()
        now = dt.datetime.now(dt.UTC)
        heartbeat = Heartbeat(
            shell,
            {"ref": "GR-7F3K", "expires_at": (now + grant.pop("lasts")).isoformat(), **grant},
            lambda: None,
        )
        heartbeat.start()
        eventually(lambda: heartbeat.over or shell.wire.heartbeats > 2, within=30)
        heartbeat.stop()
        return heartbeat

    hour = dt.timedelta(hours=1)
    assert not heartbeat_of(lasts=hour).over
    assert heartbeat_of(lasts=dt.timedelta(0)).over
    assert heartbeat_of(heartbeat_seconds=0.1, lasts=hour).over
