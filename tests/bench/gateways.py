"""The HTTP gateway compared with nginx as a plain reverse proxy of the same upstream: small requests, and a
long response.
"""

import contextlib
import http.client
import importlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from broker.demo.ports import free_port
from tests.bench.database import database
from tests.bench.place import environment
from tests.bench.report import Report, median, percentile
from tests.environment import ROOT
from tests.support.servers.http_place import Place, gateway_before
from tests.support.servers.http_target import Target
from tests.support.servers.nginx import nginx
from tests.support.servers.postgres_server import self_signed
from tests.support.waits import eventually

SECONDS, ROUNDS, ONE_BY_ONE = 3, 3, 300
LONG = 1_000_000_000
PATH, LONG_PATH = "/prices/S-42", "/download/S-42"


def run(report: Report) -> None:
    """Measure."""
    importlib.import_module("sessions_app.operations.targets.connect")  # registers the cluster kinds
    with tempfile.TemporaryDirectory(prefix="stint-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        _fill(folder)
        files = f"root {folder}/site; default_type application/json;"
        with nginx(files) as upstream, database() as (database_name, world):
            plain = f"""ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
                location / {{ proxy_pass http://upstream; proxy_http_version 1.1;
                              proxy_set_header Connection "";
                              proxy_buffering on; proxy_max_temp_file_size 0; }}"""
            pool = f"upstream upstream {{ server 127.0.0.1:{upstream.port}; keepalive 16; }}"
            target, env = Target(port=upstream.port), environment(database_name, folder)
            with (
                nginx(plain, http=pool, tls=True) as proxy,
                gateway_before(target, world, env, folder) as place,
            ):
                with _view(folder, {**env, "BENCH_UPSTREAM": str(upstream.port)}) as view:
                    _small(report, place, upstream.port, proxy.port, view)
                _long(report, place, proxy.port)


def _fill(folder: Path) -> None:
    """Write the upstream's responses, and a certificate for nginx."""
    for path, size in ((PATH, 200), (LONG_PATH, LONG)):
        file = folder / f"site{path}"
        file.parent.mkdir(parents=True)
        with file.open("wb") as out:
            out.truncate(size)
    key, certificate = self_signed("127.0.0.1")
    (folder / "key.pem").write_text(key)
    (folder / "certificate.pem").write_text(certificate)


@contextlib.contextmanager
def _view(folder: Path, env: dict[str, str]) -> Iterator[int]:
    """Serve a Django view that does the same, and yield its port."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "granian",
        "tests.bench.proxy_app:application",
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
        "--ssl-certificate",
        f"{folder}/certificate.pem",
        "--ssl-keyfile",
        f"{folder}/key.pem",
    ]
    with (folder / "view.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        eventually(lambda: _listens(port), within=30)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    """Whether a process listens on a port."""
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


def _small(report: Report, place: Place, upstream: int, proxy: int, view: int) -> None:
    token = place.token(place.grant())
    gateway, beside = f"{place.base}/http/prices{PATH}", f"https://127.0.0.1:{proxy}{PATH}"
    django = f"https://127.0.0.1:{view}/http/prices{PATH}"
    rates: dict[str, list[float]] = {gateway: [], beside: [], django: []}
    for number in range(ROUNDS + 1):
        for url, found in rates.items():
            rate = _rate(url, token)
            if number:
                found.append(rate)
    ours, theirs = median(rates[gateway]), median(rates[beside])
    report.note(f"small requests a second: {ours:,.0f} through the gateway, {theirs:,.0f} through nginx")
    report.figure("requests a second through the gateway over nginx", ours / theirs, "x", least=0.1)
    theirs = median(rates[django])
    report.note(f"small requests a second through a Django view: {theirs:,.0f}")
    report.figure("requests a second through the gateway over a Django view", ours / theirs, "x", least=3)
    direct = _p50(lambda: http.client.HTTPConnection("127.0.0.1", upstream), PATH, token)
    through = _p50(
        lambda: http.client.HTTPSConnection("localhost", place.port, context=place.context()),
        f"/http/prices{PATH}",
        token,
    )
    report.figure(
        "small GET through the gateway, p50, beyond direct", (through - direct) * 1000, "ms", most=3
    )


def _long(report: Report, place: Place, proxy: int) -> None:
    token = place.token(place.grant())
    times: dict[str, list[float]] = {"gateway": [], "nginx": []}
    before = _memory(place)
    most = before
    for _ in range(ROUNDS):
        ours = _timed(place.port, place.context(), f"/http/prices{LONG_PATH}", token)
        most = max(most, _memory(place))
        times["gateway"].append(ours)
        times["nginx"].append(_timed(proxy, ssl._create_unverified_context(), LONG_PATH, token))
    ours, theirs = median(times["gateway"]), median(times["nginx"])
    report.note(
        f"1 GB: {LONG / ours / 1e6:,.0f} MB/s through the gateway, {LONG / theirs / 1e6:,.0f} MB/s through"
        " nginx"
    )
    report.figure("1 GB through the gateway over nginx, in speed", theirs / ours, "x", least=0.5)
    report.figure("memory that 1 GB takes at the gateway", (most - before) / 1e6, "MB", most=20)


def _rate(url: str, token: str) -> float:
    said = subprocess.run(
        ["wrk", "-t1", "-c8", f"-d{SECONDS}s", "-H", f"Authorization: Bearer {token}", url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "Non-2xx" not in said, said
    found = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    assert found, said
    return float(found[1])


def _p50(connect: Callable[[], http.client.HTTPConnection], path: str, token: str) -> float:
    line, took = connect(), []
    for _ in range(ONE_BY_ONE):
        began = time.perf_counter()
        line.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = line.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
        took.append(time.perf_counter() - began)
    line.close()
    return percentile(took[20:], 50)


def _timed(port: int, context: ssl.SSLContext, path: str, token: str) -> float:
    line = http.client.HTTPSConnection("localhost", port, context=context)
    began = time.perf_counter()
    line.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    answer, room, size = line.getresponse(), bytearray(1024 * 1024), 0
    while read := answer.readinto(room):
        size += read
    assert size == LONG, (answer.status, size)
    line.close()
    return time.perf_counter() - began


def _memory(place: Place) -> int:
    """Return the peak resident memory of the gateway, in bytes."""
    assert place.gateway is not None
    status = Path(f"/proc/{place.gateway.pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]  # each process has it
