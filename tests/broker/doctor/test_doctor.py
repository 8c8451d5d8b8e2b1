"""The doctor says of each part what is wrong, why it matters and what to do, on real servers."""

import contextlib
import datetime as dt
import json
import re
import subprocess
import sys

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from broker.audit.models import AuditReading, AuditVerification
from broker.doctor import servers
from broker.doctor.examine import PARTS, examine
from broker.doctor.finding import Finding, Level
from broker.embedded.state import temporary_state_dir
from broker.embedded.valkey import EmbeddedValkey
from broker.kernel import clock, x509
from broker.kernel.database import conninfo
from sessions_app.models import GatewayNode, Sweeper
from tests.environment import ROOT
from tests.support.servers.answering import answering
from tests.support.servers.mail_server import mail_server
from tests.support.servers.postgres_server import self_signed
from tests.support.world.acts import awake


def found(part: str, level: Level | None = None) -> list[Finding]:
    """What is found in a part; of one level alone, if that is given."""
    return [one for one in examine((part,)) if level in (None, one.level)]


def said(part: str, level: Level) -> str:
    """The same, as one text."""
    return "\n".join(f"{one.said} | {one.why} | {one.fix}" for one in found(part, level))


@pytest.fixture
def state(settings, tmp_path):
    settings.STATE_DIR, settings.RECORDINGS_DIR = tmp_path, tmp_path / "recordings"
    settings.CHECKPOINTS_FILE = tmp_path / "checkpoints.txt"
    return tmp_path


@pytest.fixture
def doctor(processes, stint_db, state):
    """Runs the command in a process of its own, as an operator does, with changes to its environment."""

    def run(*words: str, **changes: str) -> subprocess.CompletedProcess[str]:
        env = {**stint_db.env, "STINT_STATE_DIR": str(state), **changes}
        command = [sys.executable, "manage.py", "doctor", *words]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    return run


def test_where_nothing_is_wrong_it_says_what_it_saw(world, state):
    assert not found("folders", Level.WRONG)
    database = [one.said for one in found("database", Level.OK)]
    assert any(one.startswith("PostgreSQL ") for one in database)
    assert "all migrations are applied" in database
    awake(clock.now())
    seen = "\n".join(one.said for one in found("processes", Level.OK))
    assert re.search(r"^test is running; last seen \d s ago$", seen, re.MULTILINE)


def test_whatever_is_not_right_comes_with_what_to_do(live_world, state):
    for part in PARTS:
        for one in found(part):
            assert one.said
            assert bool(one.fix) is (one.level is not Level.OK), one


def test_a_setting_that_is_risky_is_found_as_by_check(world, settings):
    settings.SECRET_KEY = "short"
    assert "STINT_SECRET_KEY is shorter than 32 characters." in said("settings", Level.WRONG)


def test_folders_that_others_can_open_or_this_account_can_not_write_to_are_found(world, state, settings):
    (state / "secret_key").write_text("x")
    (state / "secret_key").chmod(0o640)
    assert f"other accounts on this machine can open {state}/secret_key" in said("folders", Level.WRONG)
    assert f"Run `chmod go= {state}/secret_key`." in said("folders", Level.WRONG)
    no = state / "secret_key" / "no"
    settings.RECORDINGS_DIR, settings.CHECKPOINTS_FILE = no, no / "checkpoints.txt"
    assert f"the recordings folder {no} is not writable" in said("folders", Level.WRONG)
    assert f"the checkpoints file {no}/checkpoints.txt is not writable" in said("folders", Level.WRONG)


def test_little_room_for_recordings_is_said_as_administrators_are_told(world, state, settings):
    settings.RECORDINGS_BYTES = 0
    assert "| Keep recordings for a shorter time, or increase STINT_RECORDINGS_MIB." in said(
        "folders", Level.WARNING
    )


def test_a_database_that_is_not_migrated_says_how_to_migrate_it(stint_db, owner_connection):
    owner_connection.execute("DELETE FROM django_migrations WHERE app = 'sessions_app'")
    assert "not applied, the first one is sessions_app." in said("database", Level.WRONG)
    assert "`manage.py migrate`" in said("database", Level.WRONG)


def test_a_database_that_could_lose_entries_is_found(world):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = 'off'")
    assert "synchronous_commit is off | A crash can lose entries" in said("database", Level.WRONG)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = 'on'")
    assert "synchronous_commit" not in said("database", Level.WRONG)


@pytest.mark.parametrize(
    ("waits_for", "streams", "level"),
    [
        ("FIRST 1 (db_2)", False, Level.WRONG),
        ("", True, Level.WARNING),
        ("FIRST 1 (db_2)", True, Level.OK),
        ("", False, None),
    ],
)
def test_commits_that_wait_for_no_standby_or_for_one_that_is_gone_are_found(waits_for, streams, level):
    assert [one.level for one in servers._standby(waits_for=waits_for, streams=streams)] == (
        [level] if level else []
    )


def test_too_little_room_for_the_connections_of_the_processes_that_are_there_is_found(db, monkeypatch):
    names = ["stint web 1@a", "stint web 2@a", "stint web 2@a listen", "stint gateway edge", "psql"]
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(psycopg.connect(conninfo(), application_name=name))
        counted = "processes (1 worker, 1 gateway, 2 web, 1 streams) may need 145"
        assert counted in "".join(one.said for one in found("database", Level.OK))
        monkeypatch.setitem(servers.MOST, "web", 50_000)
        assert "Run `ALTER SYSTEM SET max_connections = 100155" in said("database", Level.WARNING)


def test_a_database_that_is_gone_is_said_once_and_the_rest_is_examined(doctor):
    made = doctor("database", "processes", "folders", DATABASE_URL="postgresql://stint_app@127.0.0.1:1/stint")
    assert made.stdout.count("did not respond: connection failed") == 1
    assert "Fix: Start PostgreSQL, and check DATABASE_URL." in made.stdout
    assert "ok   folders" in made.stdout
    assert (made.returncode, made.stderr) == (1, "CommandError: 1 problem, 0 warnings.\n")


def test_a_queue_is_asked_as_the_worker_asks_it(doctor):
    with temporary_state_dir("stint-vk-") as folder, EmbeddedValkey(folder) as valkey:
        url = valkey.celery_url()
        made = doctor("queue", REDIS_URL=url)
        assert made.stdout.startswith("ok   queue      Valkey ")
        assert (made.returncode, "0 messages waiting" in made.stdout) == (0, True), made.stderr
    made = doctor("queue", REDIS_URL=url)
    assert made.stdout.startswith("FAIL queue      did not respond: ")
    assert made.returncode == 1


def test_a_queue_that_forgets_or_grows_is_found():
    worst = list(servers._queue("allkeys-lru", {"notify": 2000, "revoke": 3}))
    assert [one.said for one in worst] == [
        "maxmemory-policy is allkeys-lru",
        "2,000 messages waiting in notify",
    ]


def test_mail_is_tried_without_sending_any(world, settings):
    assert "no mail server is set" in said("mail", Level.WARNING)
    with mail_server(settings) as server:
        assert "accepts connections from this node" in said("mail", Level.OK)
        assert server.took == []
    assert ": [Errno 111] Connection refused" in said("mail", Level.WRONG)


def site(status, **more):
    """A site on a port of loopback that answers everything with one status."""
    return answering(lambda asked: (status, {}, b""), **more)


def test_pages_that_are_not_reached_or_answered_by_something_else_are_found(world, settings):
    with site(200) as port:
        settings.PUBLIC_URL = f"http://127.0.0.1:{port}"
        assert not found("pages", Level.WRONG)
        settings.PUBLIC_URL = f"https://127.0.0.1:{port}"
        assert "can't be reached from this node" in said("pages", Level.WRONG)
    assert "Connection refused" in said("pages", Level.WRONG)
    with site(404) as port:
        settings.PUBLIC_URL = f"http://127.0.0.1:{port}"
        assert f"http://127.0.0.1:{port}/healthz returns 404" in said("pages", Level.WRONG)


def test_a_certificate_that_nobody_knows_or_that_ends_soon_is_found(world, settings, tmp_path, monkeypatch):
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"

    def use(certificate: str, key: str) -> tuple[str, str]:
        files[0].write_text(certificate)
        files[1].write_text(key)
        return str(files[0]), str(files[1])

    key, certificate = self_signed("127.0.0.1")
    with site(200, certificate=use(certificate, key)) as port:
        settings.PUBLIC_URL = f"https://127.0.0.1:{port}"
        assert "can't be reached from this node: self-signed certificate" in said("pages", Level.WRONG)
        monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
        assert [one.level for one in found("pages")] == [Level.OK, Level.OK]
    authority = x509.make_authority("Test", now=dt.datetime.now(dt.UTC))
    short = x509.issue(authority, ["127.0.0.1"], now=dt.datetime.now(dt.UTC))
    with site(200, certificate=use(short.certificate.decode(), short.key.decode())) as port:
        (tmp_path / "ca.pem").write_bytes(authority.certificate)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        settings.PUBLIC_URL = f"https://127.0.0.1:{port}"
        assert "the certificate is valid for 6 more days" in said("pages", Level.WARNING)


def test_processes_that_are_silent_are_found(world):
    Sweeper.objects.all().delete()
    now = clock.now()
    for number, seconds in ((1, 1), (2, 60)):
        GatewayNode.objects.create(name=f"gateway-{number}", seen_at=now - dt.timedelta(seconds=seconds))
    assert "no process that ends access has run yet" in said("processes", Level.WRONG)
    assert "| Start the worker or a gateway." in said("processes", Level.WRONG)
    warnings = said("processes", Level.WARNING)
    assert re.search(r"gateway-2 was last seen 6\d s ago", warnings)
    assert "gateway-1" in "".join(one.said for one in found("processes", Level.OK))
    GatewayNode.objects.all().delete()
    assert "none seen within a day" in said("processes", Level.WARNING)


def test_a_record_that_is_broken_or_not_verified_is_found(world):
    assert "not verified within the last hour" in said("processes", Level.WARNING)
    AuditVerification.objects.create(
        log="main",
        at=clock.now(),
        ok=False,
        entries=3,
        first_bad_seq=4,
        problem="hash",
        detail="it was changed",
        head_hash=b"x",
    )
    assert "broken at entry 4: it was changed" in said("processes", Level.WRONG)
    AuditVerification.objects.update(ok=True)
    assert re.search(
        r"3 entries, verified \d s ago", "".join(one.said for one in found("processes", Level.OK))
    )
    assert "never fully verified" in said("processes", Level.WARNING)
    AuditVerification.objects.update(whole_at=clock.now() - dt.timedelta(days=3))
    AuditReading.objects.create(log="main", began_at=clock.now(), seq=12_345)
    assert "a full verification is at entry 12,345" in said("processes", Level.WARNING)
    AuditVerification.objects.update(whole_at=clock.now() - dt.timedelta(hours=30))
    assert "fully verified at" in "".join(one.said for one in found("processes", Level.OK))


def test_every_target_is_asked_and_the_look_is_recorded(live_world):
    from tests.support.world.acts import last

    targets = found("targets")
    assert {one.said.partition(":")[0] for one in targets} >= {"web web-1", "web web-2"}
    assert all(one.fix for one in targets if one.level is Level.WRONG)
    assert last("cluster.checked", "web").actor == "system:doctor"


def test_the_command_tells_in_lines_or_as_json_and_fails_if_something_is_wrong(
    world, state, capsys, settings
):
    with pytest.raises(CommandError, match="Unknown part: tea. Choose from settings, folders"):
        call_command("doctor", "tea")
    call_command("doctor", "mail")
    assert capsys.readouterr().out.splitlines()[-1] == "No problems, 1 warning."
    (state / "file").touch(mode=0o600)
    settings.RECORDINGS_DIR = state / "file" / "recordings"
    with pytest.raises(CommandError, match="1 problem, 0 warnings"):
        call_command("doctor", "folders", "--json")
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["level"] for one in told].count("wrong") == 1
