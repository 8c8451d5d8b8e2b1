"""One command through the gateway, from its holder's side."""

import hashlib
import json
import subprocess
import time

import pytest

from tests.support.waits import eventually
from tests.support.world.acts import intact, last


@pytest.fixture
def grant(place):
    """The only grant of alice, ended after the test, so that tests don't see each other's."""
    made = place.grant()
    yield made
    end(made)


def end(grant):
    from broker.kernel import clock
    from sessions_app.models import EndReason
    from sessions_app.operations.grants.end_grant import end_grant

    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=clock.now())
    return grant


def run_of(grant):
    from sessions_app.models import CommandRun

    over = CommandRun.objects.filter(grant=grant).exclude(state__in=["allowed", "running", "held"])
    eventually(over.exists)
    return CommandRun.objects.filter(grant=grant).latest("pk")


def test_exit_status_and_both_streams_come_back(place, grant):
    assert place.ssh("test status 7").returncode == 7
    both = place.ssh("test both 0")
    assert (both.stdout, both.stderr) == (b"out\n", b"err\n")


def test_a_command_that_dies_by_a_signal_says_so_as_shells_do(place, grant):
    done = place.ssh("test signal 0")
    assert (done.returncode, done.stderr) == (128 + 15, b"")
    assert (run_of(grant).state, run_of(grant).exit_status) == ("done", 128 + 15)


def test_input_reaches_the_command_whole(place, grant):
    done = place.ssh("test count 0", stdin=b"x" * 3_000_000)
    assert (done.stdout.strip(), done.stderr) == (b"3000000", b"")


def test_output_comes_whole_to_a_reader_that_is_slow(place, grant):
    with subprocess.Popen(
        place.command("test big 9000000"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as client:
        time.sleep(1.5)
        assert len(client.stdout.read()) == 9_000_000
    assert client.returncode == 0


def test_a_command_finds_no_signal_ignored(place, grant):
    assert place.ssh("test ignored 0").stdout.split() == [b"SigIgn:", b"0000000000000000"]


def test_a_run_is_written_down_with_its_end_and_the_digest_of_its_recording(place, grant):
    place.ssh("echo", "restart", "nginx")
    run = run_of(grant)
    assert (run.state, run.exit_status, run.output_bytes) == ("done", 0, 14)
    file = place.folder / "state" / "recordings" / run.recording
    assert hashlib.sha256(file.read_bytes()).hexdigest() == run.recording_digest
    header, *lines = map(json.loads, file.read_text().splitlines())
    assert header["version"] == 2
    assert "".join(text for _, kind, text in lines if kind == "o") == "restart nginx\r\n"
    assert last("command.finished", grant.ref).data["recording_sha256"] == run.recording_digest
    assert intact()


def test_recordings_are_for_their_owner_alone(place, grant):
    place.ssh("true")
    file = place.folder / "state" / "recordings" / run_of(grant).recording
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0


def test_the_session_is_closed_when_the_holder_has_left(place, grant):
    from sessions_app.models import Session

    place.ssh("true")
    eventually(lambda: not Session.objects.filter(grant=grant, closed_at__isnull=True).exists())
    session = Session.objects.get(grant=grant)
    assert session.client_address == "127.0.0.1"
    assert session.proof.startswith("SHA256:")


def test_the_targets_own_log_leads_to_the_run(place, grant):
    place.ssh("true")
    run = run_of(grant)
    # The last word is the command's request ID, which its entry has too.
    id_ = last("command.allowed", grant.ref).data["request_id"]
    assert f"{grant.ref}/{run.pk} alice {id_}" in place.targets["web-1"].log
    assert f"serial {run.pk}" in place.targets["web-1"].log


@pytest.mark.parametrize(
    "line",
    [
        "echo restart sshd",
        "id",
        "sh -c id",
        "echo restart nginx; id",
        "echo restart nginx\nid",
        "echo restart `id`",
        "echo restart $IFS",
        "echo restart nginx && id",
        "echo restart nginx | tee /x",
        "echo restart nginx > /x",
        "",
        "echo restart ngin\u200bx",
        "echo restart \u202enginx",
    ],
)
def test_everything_else_is_refused_and_nothing_reaches_the_target(place, grant, line):
    done = place.ssh(line) if line else place.ssh("''")
    assert done.returncode == 255
    assert b"not allowed" in done.stderr
    assert place.logins(grant) == 0
    assert run_of(grant).state == "refused"


def test_a_line_of_bytes_that_are_no_text_runs_nothing(place, grant):
    command = [word.encode() for word in place.command()] + [b"echo restart \xff\xfe"]
    assert subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL).returncode != 0


def test_without_a_grant_one_is_told_where_to_ask(place):
    done = place.ssh("true")
    assert done.returncode == 255
    assert b"You have no active access to web-1. Request it: " in done.stderr
    assert b"/requests/new/?target=web-1" in done.stderr


def test_anothers_grant_opens_nothing(place, grant):
    done = place.ssh("true", user=f"{grant.ref}.web-1", who="bob")
    assert b"You have no active access to web-1" in done.stderr
    assert done.stdout == b""


def test_a_key_of_nobody_is_not_let_in(place, grant):
    done = place.ssh("true", who="stranger")
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


def test_two_grants_that_both_fit_must_be_told_apart(place, grant):
    other = place.grant()
    try:
        done = place.ssh("true")
        assert done.returncode == 255
        assert f"{grant.ref}.web-1".encode() in done.stderr
        assert f"{other.ref}.web-1".encode() in done.stderr
        named = place.ssh("echo restart nginx", user=f"{other.ref}.web-1")
        assert named.stdout == b"restart nginx\n"
        assert place.ssh("true", user=f"{other.ref.lower()}.web-1").returncode == 0
    finally:
        end(other)
    assert run_of(other).grant == other


def test_of_two_grants_the_one_that_allows_the_line_is_taken(place, grant):
    other = place.grant(parameters={"unit": "haproxy"})
    try:
        assert place.ssh("echo restart haproxy").stdout == b"restart haproxy\n"
        assert place.ssh("echo restart nginx").stdout == b"restart nginx\n"
    finally:
        end(other)
    assert run_of(other).line == "echo restart haproxy"


def test_a_target_that_shows_another_key_is_not_talked_to(place):
    from broker.kernel import clock

    files = place.catalog()
    key = place.targets["web-2"].host_key
    other = place.key("nobody").with_suffix(".pub").read_text().split()
    files["clusters/web.yaml"] = files["clusters/web.yaml"].replace(key, " ".join(other[:2]))
    place.world.apply(files, now=clock.now())
    grant = place.grant()
    try:
        done = place.ssh("true", user="web-2")
        assert done.returncode == 255
        assert b"does not present the host key" in done.stderr
        assert run_of(grant).state == "failed"
    finally:
        end(grant)
        place.world.apply(place.catalog(), now=clock.now())


def test_a_target_that_is_down_says_so(place, grant):
    place.targets["web-2"].kill()
    try:
        done = place.ssh("true", user="web-2")
        assert done.returncode == 255
        assert b"web-2" in done.stderr
        assert b"refused" in done.stderr
    finally:
        place.targets["web-2"].start()
    assert place.ssh("true", user="web-2").returncode == 0


def test_a_key_that_was_removed_opens_nothing(place, grant):
    from accounts.models import SSHPublicKey
    from accounts.operations.remove_ssh_key import remove_ssh_key
    from broker.kernel import clock

    place.key("dora")
    key = SSHPublicKey.objects.get(identity=place.world.dora)
    assert b"no active access" in place.ssh("true", who="dora").stderr
    remove_ssh_key(key_id=key.pk, actor=place.world.dora, now=clock.now())
    assert b"Permission denied" in place.ssh("true", who="dora").stderr
