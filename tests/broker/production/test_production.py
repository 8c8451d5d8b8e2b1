"""The files that run Stint in production: systemd accepts and sandboxes the units, nginx passes on what it
should, and the settings are read alike by systemd and by a shell.
"""

import re
import shlex
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from broker.demo.ports import free_port
from broker.production import main as production
from broker.production.settings_file import UnsafeValueError, settings_file
from broker.variables import GROUPS
from tests.support.servers.nginx import application, nginx
from tests.support.servers.postgres_server import self_signed

pytestmark = pytest.mark.processes

URL = "https://stint.example.com"
UNITS = ["stint-web@8000", "stint-streams@8001", "stint-worker@1", "stint-gateway@edge", "stint-migrate"]
SECRETS = {"stint.env", "owner.env", "secret_key", "database.sql"}


def write(folder: Path, *words: str) -> int:
    return production.main([str(folder), "--url", URL, "--account", "daemon", "--name", "edge", *words])


@pytest.fixture
def written(tmp_path):
    assert write(tmp_path) == 0
    return tmp_path


@pytest.fixture
def verified(tmp_path):
    """The files, with programs at the places that the units name."""
    assert write(tmp_path, "--prefix", "/opt/stint") == 0
    for program in ("opt/stint/current/.venv/bin/python", "usr/bin/kill"):
        (tmp_path / program).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    shutil.copytree("/usr/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    return tmp_path


def analyze(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", *words, f"--root={root}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_finds_nothing_wrong_with_the_units(verified):
    assert analyze(verified, "verify", "stint.target", *(f"{unit}.service" for unit in UNITS)) == ""


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_exposes_little(verified, unit):
    said = analyze(verified, "security", "--offline=true", f"{unit}.service")
    found = re.search(r"Overall exposure level for .*: ([0-9.]+)", said)
    assert found, said
    assert float(found[1]) <= 2.0, said


@pytest.mark.parametrize("unit", UNITS[:4])
def test_one_more_of_a_kind_starts_with_the_others_at_boot(written, unit):
    subprocess.run(
        ["systemctl", f"--root={written}", "enable", f"{unit}.service"], check=True, capture_output=True
    )
    assert (written / f"etc/systemd/system/stint.target.wants/{unit}.service").is_symlink()


def test_only_migrations_get_the_role_that_owns_the_schema(written):
    etc = written / "etc"
    assert "stint_owner" not in (etc / "stint/stint.env").read_text()
    reads = {
        path.name
        for path in (etc / "systemd/system").rglob("*")
        if path.is_file() and "owner.env" in path.read_text()
    }
    assert reads == {"stint-migrate.service"}


def test_secrets_are_read_by_root_alone_and_the_key_by_the_account(written):
    modes = {path.name: path.stat().st_mode & 0o777 for path in (written / "etc/stint").iterdir()}
    assert modes == {"stint.env": 0o600, "owner.env": 0o600, "database.sql": 0o600, "secret_key": 0o640}


def test_two_installations_share_no_secret(tmp_path):
    texts = []
    for name in ("one", "two"):
        write(tmp_path / name)
        texts.append(
            "".join((tmp_path / name / "etc/stint" / secret).read_text() for secret in sorted(SECRETS))
        )
    words = [
        {word for word in re.findall(r"[\w-]{32,}", text) if not word.startswith("STINT_")} for text in texts
    ]
    assert words[0]
    assert not words[0] & words[1]


def test_what_is_there_is_kept_and_named(written, capsys):
    site = written / "etc/nginx/conf.d/stint.conf"
    site.write_text("changed\n")
    before = {name: (written / "etc/stint" / name).read_text() for name in SECRETS}
    capsys.readouterr()
    write(written)
    assert f"kept      {site}" in capsys.readouterr().out
    assert site.read_text() == "changed\n"
    write(written, "--replace")
    assert f"replaced  {site}" in capsys.readouterr().out
    assert "upstream" in site.read_text()
    assert {name: (written / "etc/stint" / name).read_text() for name in SECRETS} == before


def test_a_used_file_with_passwords_does_not_come_back_with_others(written):
    (written / "etc/stint/database.sql").unlink()
    write(written, "--replace")
    assert not (written / "etc/stint/database.sql").exists()


WRONG = [
    (["--url", "http://stint.example.com"], "not the https URL"),
    (["--url", "https://stint.example.com/path"], "not the https URL"),
    (["--prefix", "opt"], "not a valid path"),
    (["--certificate", "/etc/a b;}"], "not a valid path"),
    (["--account", "Root; x"], "not a valid name"),
    (["--account", "no-such-account"], "The account no-such-account does not exist"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_a_wrong_word_is_refused_with_a_reason(tmp_path, capsys, words, said):
    try:
        status = write(tmp_path, *words)
    except SystemExit as stopped:
        status = stopped.code
    assert status
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_folder_that_can_not_be_written_is_named(tmp_path, capsys):
    (tmp_path / "etc").write_text("a file")
    assert write(tmp_path) == 1
    assert "can't be written" in capsys.readouterr().err


# --- Settings ---


def test_every_setting_has_a_line_that_says_what_it_means(written):
    lines = (written / "etc/stint/stint.env").read_text().splitlines()
    said = {
        _setting(line.lstrip("#").partition("=")[0]): at
        for at, line in enumerate(lines)
        if re.match(r"#?[A-Z_]+=", line)
    }
    known = {variable.name for group in GROUPS for variable in group.variables}
    assert known - said.keys() == {"DATABASE_OWNER_URL"}
    for name, at in said.items():
        above = next(line for line in reversed(lines[:at]) if not re.match(r"#?[A-Z_]+=", line))
        assert above.startswith("# "), name


def _setting(name: str) -> str:
    return name.removesuffix("_FILE") if name != "STINT_CHECKPOINTS_FILE" else name


def test_a_shell_reads_the_settings_as_systemd_does(written):
    file = written / "etc/stint/stint.env"
    by_shell = subprocess.run(
        ["env", "-i", "sh", "-c", f"set -a; . {file}; env"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    by_systemd = dict(word.split("=", 1) for word in shlex.split(file.read_text(), comments=True))
    assert by_systemd["STINT_PUBLIC_URL"] == URL
    assert by_systemd.items() <= dict(line.split("=", 1) for line in by_shell).items()


@pytest.mark.parametrize("value", ["a'b", 'a"b', "a$b", "a\\b", "a\nb", "a`b"])
def test_a_value_that_they_would_read_differently_is_refused(value):
    with pytest.raises(UnsafeValueError, match="Choose another value"):
        settings_file({"STINT_PUBLIC_URL": value})


# --- nginx ---


@pytest.fixture
def site(processes, written, tmp_path):
    """The site as it is written, at free ports, before two applications: pages and streams."""
    key, certificate = self_signed("127.0.0.1", "stint.example.com")
    (tmp_path / "key.pem").write_text(key)
    (tmp_path / "chain.pem").write_text(certificate)
    tls, plain = free_port(), free_port()
    text = (written / "etc/nginx/conf.d/stint.conf").read_text()
    with application() as pages, application() as streams:
        places = {
            "127.0.0.1:8000": pages.url.removeprefix("http://"),
            "127.0.0.1:8001": streams.url.removeprefix("http://"),
            "listen 443": f"listen {tls}",
            "listen 80": f"listen {plain}",
            "/etc/stint/tls/fullchain.pem": f"{tmp_path}/chain.pem",
            "/etc/stint/tls/privkey.pem": f"{tmp_path}/key.pem",
            "/var/log/nginx": str(tmp_path),
        }
        for there, here in places.items():
            assert there in text
            text = text.replace(there, here)
        # The second process of each kind is down, and nobody notices.
        text = re.sub(r"    listen \[::\].*\n", "", text)
        with nginx("return 204;", http=text) as server:
            server.tls, server.plain, server.authority = tls, plain, certificate
            server.pages, server.streams = pages, streams
            yield server


def ask(site, path: str, **headers: str) -> int:
    context = ssl.create_default_context(cadata=site.authority)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(
        f"https://127.0.0.1:{site.tls}{path}", headers={"Host": "stint.example.com", **named}
    )
    try:
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


STREAMS = ["/streams/changes", "/mcp", "/mcp/desk", "/.well-known/oauth-protected-resource/mcp"]
PAGES = [
    "/",
    "/requests/",
    "/streams",
    "/mcpx",
    "/.well-known/oauth-authorization-server",
    "/healthz",
    "/static/stint.css",
]


@pytest.mark.parametrize(
    ("path", "streams"), [*((path, True) for path in STREAMS), *((path, False) for path in PAGES)]
)
def test_each_path_goes_to_the_process_that_serves_it(site, path, streams):
    for _ in range(4):
        assert ask(site, path) == 200
    served, other = (site.streams, site.pages) if streams else (site.pages, site.streams)
    assert (len(served.heads), len(other.heads)) == (4, 0)


def test_nobody_outside_reads_the_metrics(site):
    assert ask(site, "/metrics") == 404
    assert not site.pages.heads


FORGED = {"X_Forwarded_For": "192.0.2.1", "X_Forwarded_Proto": "http"}


def said_to(process) -> dict[str, str]:
    head = process.heads[0].decode().lower()
    return dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)


def test_what_a_client_says_of_itself_is_replaced(site):
    assert ask(site, "/", **FORGED) == 200
    said = said_to(site.pages)
    assert (said["host"], said["x-forwarded-for"], said["x-forwarded-proto"]) == (
        "stint.example.com",
        "127.0.0.1",
        "https",
    )


def test_a_proxy_that_asks_for_decisions_is_heard_in_full(site):
    """Stint refuses requests with headers by which an application would take another path, so they must reach
    it.
    """
    asked = {
        "X_Forwarded_Method": "GET",
        "X_Forwarded_Uri": "/tickets/T-42",
        "X_Original_URI": "/tickets/T-43",
    }
    assert ask(site, "/authz/traefik", **FORGED, **asked) == 200
    said = said_to(site.pages)
    assert (said["x-forwarded-for"], said["x-forwarded-proto"]) == ("192.0.2.1", "https")
    assert {
        name.lower().replace("_", "-"): value.lower() for name, value in asked.items()
    }.items() <= said.items()


def test_plain_http_leads_to_https(site):
    request = urllib.request.Request(
        f"http://127.0.0.1:{site.plain}/requests/?a=b", headers={"Host": "stint.example.com"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.build_opener(Stays).open(request, timeout=30)
    assert (refused.value.code, refused.value.headers["Location"]) == (308, f"{URL}/requests/?a=b")


class Stays(urllib.request.HTTPRedirectHandler):
    """Follows no redirect."""

    def redirect_request(self, *_args: object, **_words: object) -> None:
        return None
