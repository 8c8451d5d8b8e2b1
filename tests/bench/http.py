"""The HTTP decision compared with other implementations, with 10 and 100,000 grants, through nginx, and while
grants end.
"""

import contextlib
import http.client
import importlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from broker.demo.ports import free_port
from tests.bench.database import database, owner
from tests.bench.report import Report, median
from tests.environment import POSTGRES, ROOT
from tests.support.servers.nginx import nginx
from tests.support.world.api_site import PROXY_KEY, add_site, grant_on_site, token_of

FEW, MANY = 10, 100_000
SECONDS, ROUNDS, KEYS = 3, 3, 5_000
# The server runs on one core and the client on the other, as in the reference measurement.
SERVER, CLIENT = "0", "1"

_SCRIPT = """
local keys = %d
math.randomseed(os.time())
request = function()
  wrk.headers["Authorization"] = string.format("Bearer sgt_%%043d", math.random(1, keys))
  return wrk.format("GET", nil)
end
"""
_LATE_MS = 50


def run(report: Report) -> None:
    """Measure."""
    importlib.import_module("sessions_app.operations.targets.connect")  # registers the cluster kinds
    with tempfile.TemporaryDirectory(prefix="stint-bench-") as name:
        folder = Path(name)
        few = _few(folder)
        with _many(folder) as (world, url):
            _beside_others(report, folder, url, few)
            _through_nginx(report, folder, url)
            _while_ending(report, world, url)


def _few(folder: Path) -> float:
    with _filled(FEW) as (_, name), _server(name, folder) as url:
        return median([_rate(folder, f"{url}/authz/nginx", keys=FEW) for _ in range(ROUNDS + 1)][1:])


def _warm(url: str) -> None:
    """Use each token once, which caches the fixed parts of its grant and records its first use."""
    with ThreadPoolExecutor(4) as pool:
        for path in ("/authz/nginx", "/bench/raw"):
            list(pool.map(lambda first, path=path: _use(url, path, range(first, KEYS + 1, 4)), range(1, 5)))


def _use(url: str, path: str, numbers: range) -> None:
    wire = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    for number in numbers:
        wire.request("GET", path, headers=_headers(f"sgt_{number:043d}"))
        wire.getresponse().read()
    wire.close()


@contextlib.contextmanager
def _many(folder: Path) -> Iterator[tuple[object, str]]:
    with _filled(MANY) as (world, name), _server(name, folder) as url:
        _warm(url)
        yield world, url


def _beside_others(report: Report, folder: Path, url: str, few: float) -> None:
    ways = {"stint": "/authz/nginx", "raw": "/bench/raw", "drf": "/bench/drf"}
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(ROUNDS + 1):
        for way, path in ways.items():
            rate = _rate(folder, url + path)
            if number:
                rates[way].append(rate)
    stint, raw, drf = (median(rates[way]) for way in ways)
    report.note(
        f"decisions a second on one core: {stint:,.0f}, a raw Django view {raw:,.0f}, with DRF {drf:,.0f}"
    )
    report.figure("decision over HTTP over a raw Django view", stint / raw, "x", least=3.5)
    report.figure("decision over HTTP over a DRF view", stint / drf, "x", least=12)
    # The same number of tokens in both, so that equally many entries are recorded.
    many = median([_rate(folder, f"{url}/authz/nginx", keys=FEW) for _ in range(ROUNDS)])
    report.figure(f"decision over {MANY:,} grants over {FEW}, in time", few / many, "x", most=1.2)


def _through_nginx(report: Report, folder: Path, url: str) -> None:
    port = free_port()
    static = f"server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }}"
    headers = f"""
        proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_http_version 1.1;
        proxy_set_header Connection ""; proxy_set_header Stintproxy "{PROXY_KEY}";
        proxy_set_header Stinttarget tickets-api;
        proxy_set_header Stintmethod $request_method; proxy_set_header Stinturi /tickets/T-42;"""
    host = url.removeprefix("http://")
    upstreams = f"""
        upstream stint {{ server {host}; keepalive 16; }}
        upstream static {{ server 127.0.0.1:{port}; keepalive 16; }} {static}"""
    server = f"""
        location = /_stint {{ internal; proxy_pass http://stint/authz/nginx; {headers} }}
        location = /_static {{ internal; proxy_pass http://static/; {headers} }}
        location = /stint.html {{ auth_request /_stint; return 200 page; }}
        location = /static.html {{ auth_request /_static; return 200 page; }}
        location /by-stint/ {{ auth_request /_stint; alias {folder}/; }}
        location /by-static/ {{ auth_request /_static; alias {folder}/; }}"""
    (folder / "page.html").write_text("a page")
    folder.chmod(0o755)
    with nginx(server, http=upstreams) as proxy:
        for pid in _workers(proxy.folder):
            subprocess.run(["taskset", "-p", "-c", SERVER, str(pid)], check=True, capture_output=True)
        by: dict[str, list[float]] = {"stint": [], "static": []}
        for _ in range(ROUNDS):
            for way, rates in by.items():
                rates.append(_rate(folder, f"{proxy.url}/by-{way}/page.html"))
    stint, static = median(by["stint"]), median(by["static"])
    report.note(
        f"a page behind nginx auth_request: {stint:,.0f} a second by Stint, {static:,.0f} by a static 204"
    )
    report.figure("page by Stint over page by a static 204", stint / static, "x", least=0.09)


def _workers(folder: Path) -> list[int]:
    master = int((folder / "nginx.pid").read_text())
    children = Path(f"/proc/{master}/task/{master}/children").read_text()
    return [master, *map(int, children.split())]


def _while_ending(report: Report, world: object, url: str) -> None:
    from broker.kernel import clock
    from sessions_app.models import EndReason
    from sessions_app.operations.grants.end_grant import end_grant

    late = []
    for number in range(10):
        grant = grant_on_site(world, ticket="T-42")
        token = token_of(grant, world)
        asked: list[tuple[float, int]] = []
        stop = threading.Event()
        threads = [threading.Thread(target=_ask_on, args=(url, token, asked, stop)) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=clock.now())
        committed = time.monotonic()
        time.sleep(0.3)
        stop.set()
        for thread in threads:
            thread.join()
        allowed = [at for at, status in asked if status == 200]
        assert allowed, "nothing was allowed before the end"
        assert any(status == 401 for _, status in asked), number
        late.append(max(0.0, (max(allowed) - committed) * 1000))
    report.figure("last allowed answer after an end is committed", max(late), "ms", most=_LATE_MS)


def _ask_on(url: str, token: str, asked: list[tuple[float, int]], stop: threading.Event) -> None:
    wire = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    while not stop.is_set():
        wire.request("GET", "/authz/nginx", headers=_headers(token))
        answer = wire.getresponse()
        answer.read()
        asked.append((time.monotonic(), answer.status))
    wire.close()


def _headers(token: str) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {token}",
        "Stintproxy": PROXY_KEY,
        "Stinttarget": "tickets-api",
        "Stintmethod": "GET",
        "Stinturi": "/tickets/T-42",
    }


def _rate(folder: Path, url: str, *, keys: int = KEYS, connections: int = 8) -> float:
    """Return responses per second; all are allowed."""
    script = folder / "ask.lua"
    script.write_text(_SCRIPT % keys)
    sent = [
        word
        for name, value in _headers("").items()
        if name != "Authorization"
        for word in ("-H", f"{name}: {value}")
    ]
    said = subprocess.run(
        [
            "taskset",
            "-c",
            CLIENT,
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{SECONDS}s",
            "-s",
            str(script),
            *sent,
            url,
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "Non-2xx" not in said, said
    found = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    assert found, said
    return float(found[1])


@contextlib.contextmanager
def _server(name: str, folder: Path) -> Iterator[str]:
    port = free_port()
    env = {**os.environ, "DATABASE_URL": POSTGRES.url("stint_app", name)}
    command = [
        "taskset",
        "-c",
        SERVER,
        sys.executable,
        "-m",
        "granian",
        "tests.bench.http_app:application",
        "--interface",
        "wsgi",
        "--workers",
        "1",
        "--blocking-threads",
        "4",
        "--no-ws",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--log-level",
        "warning",
    ]
    with (folder / "web.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        for _ in range(300):
            assert process.poll() is None, (folder / "web.log").read_text()
            with contextlib.suppress(OSError, http.client.HTTPException):
                wire = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
                wire.request("GET", "/readyz")
                if wire.getresponse().status == 200:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def _filled(count: int) -> Iterator[tuple[object, str]]:
    """Create this many live grants, each with a token: `sgt_` and its number in 43 digits."""
    with database() as (name, world):
        add_site(world)
        first = grant_on_site(world)
        owner(name, *_fill(first.pk, count))
        yield world, name


def _fill(like: int, count: int) -> tuple[str, ...]:
    tables = ("grant", "grant_targets", "grantcredential", "accessrequest")
    return (
        *(f"ALTER TABLE sessions_app_{table} DISABLE TRIGGER USER" for table in tables),
        f"""
        INSERT INTO accounts_identity (password, is_superuser, username, name, email, kind, is_active,
            time_zone, created_at)
        SELECT '!', false, 'p' || i, 'P' || i, 'p' || i || '@example.com', 'person', true, 'UTC', now()
          FROM generate_series(1, {max(1, count // 50)}) i
        """,
        f"""
        CREATE TEMPORARY TABLE made ON COMMIT PRESERVE ROWS AS
        SELECT i, (SELECT max(id) FROM sessions_app_accessrequest) + i AS request,
               (SELECT max(id) FROM sessions_app_grant) + i AS grant_id,
               (SELECT min(id) FROM accounts_identity WHERE username LIKE 'p%')
                 + i % {max(1, count // 50)} AS holder
          FROM generate_series(1, {count}) i
        """,
        _copy(
            "accessrequest",
            f"(SELECT request_id FROM sessions_app_grant WHERE id = {like})",
            id="m.request",
            number="1000000 + m.i",
            requester_id="m.holder",
        ),
        _copy(
            "grant",
            str(like),
            id="m.grant_id",
            request_id="m.request",
            holder_id="m.holder",
            ref="'B-' || m.i",
            mark="'mark-' || m.i",
            expires_at="now() + interval '1 day'",
        ),
        f"""
        INSERT INTO sessions_app_grant_targets (grant_id, target_id)
        SELECT m.grant_id, gt.target_id FROM made m, sessions_app_grant_targets gt WHERE gt.grant_id = {like}
        """,
        # These tokens are already in use: the first request with a token does more than decide.
        """
        INSERT INTO sessions_app_gatewaynode (name, version, host_key, started_at, seen_at, stopped_at)
        VALUES ('http', '', '', now(), now(), now())
        """,
        """
        INSERT INTO sessions_app_grantcredential (grant_id, digest, jkt, created_at)
        SELECT grant_id, encode(sha256(('sgt_' || lpad(i::text, 43, '0'))::bytea), 'hex'), '', now() FROM made
        """,
        """
        INSERT INTO sessions_app_session (grant_id, target_id, credential_id, gateway_id, client_address,
            proof, opened_at, closed_at, close_reason)
        SELECT m.grant_id, gt.target_id, k.id, (SELECT max(id) FROM sessions_app_gatewaynode), '', '', now(),
            now(), ''
          FROM made m JOIN sessions_app_grant_targets gt ON gt.grant_id = m.grant_id
          JOIN sessions_app_grantcredential k ON k.grant_id = m.grant_id
        """,
        *(
            f"SELECT setval(pg_get_serial_sequence('sessions_app_{table}', 'id'), (SELECT max(id) FROM"
            f" sessions_app_{table}))"
            for table in ("grant", "accessrequest")
        ),
        *(f"ALTER TABLE sessions_app_{table} ENABLE TRIGGER USER" for table in tables),
        *(f"VACUUM ANALYZE sessions_app_{table}" for table in tables),
        "ANALYZE accounts_identity",
        "ANALYZE sessions_app_session",
    )


def _copy(table: str, row: str, **changes: str) -> str:
    """Return SQL that copies a row once for each row of ``made``, with some columns changed."""
    from django.apps import apps

    fields = [field.column for field in apps.get_model("sessions_app", table)._meta.concrete_fields]
    wanted = ", ".join(changes.get(name, f"o.{name}") for name in fields)
    return (
        f"INSERT INTO sessions_app_{table} ({', '.join(fields)}) SELECT {wanted} FROM made m,"
        f" sessions_app_{table} o WHERE o.id = {row}"
    )
