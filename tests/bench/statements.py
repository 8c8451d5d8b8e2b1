"""Statements through the PostgreSQL gateway compared with the server itself and with pgbouncer: how long a
read takes, how many run in a second, and how many changes are recorded one by one.

All connections to the server, the gateway and pgbouncer use TLS.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from broker.demo.database import SUPERUSER
from broker.demo.ports import free_port
from broker.embedded.state import temporary_state_dir
from tests.bench import transfers
from tests.bench.database import database
from tests.bench.place import environment
from tests.bench.report import Report, median, percentile
from tests.bench.yardstick import Yardstick
from tests.support.servers.postgres_place import Place, gateway_before
from tests.support.servers.postgres_server import PostgresServer, majors, self_signed
from tests.support.waits import eventually

SECONDS, ROUNDS = 3, 2
CLIENTS, GRANTS, ACCOUNTS, DECIDED = 8, 4, 100_000, 3_000
# Debian installs it where only root's PATH looks.
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
TABLES = f"""
CREATE TABLE app.pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
INSERT INTO app.pgbench_accounts SELECT n, 1, 0, '' FROM generate_series(1, {ACCOUNTS}) n;
ANALYZE app.pgbench_accounts;
"""
COMMANDS = f"""
  - select: {{tables: [app.pgbench_accounts], columns: [aid, abalance], where: required}}
    effect: read
  - sql: UPDATE app.pgbench_accounts SET abalance = {{n}} WHERE aid = {{aid}}
    where: {{n: {{int: [0, 1000000]}}, aid: {{int: [1, {ACCOUNTS}]}}}}
    effect: change
"""
# `pgbench -S`, whose own script looks for tables that no grant needs.
READ = "SELECT abalance FROM app.pgbench_accounts WHERE aid = :aid;\n"
WRITE = "UPDATE app.pgbench_accounts SET abalance = :n WHERE aid = :aid;\n"
SCRIPTS = {
    "read": f"\\set aid random(1, {ACCOUNTS})\n{READ}",
    "repeat": f"\\set aid random(1, 20)\n{READ}",
    "write": f"\\set aid random(1, {ACCOUNTS})\n\\set n random(0, 1000000)\n{WRITE}",
}


@dataclass(frozen=True)
class Ran:
    """The outcome of a pgbench run: transactions, those in a second, and the median time of one, in ms."""

    count: int
    rate: float
    p50: float


def run(report: Report) -> None:
    """Measure."""
    yardstick = Yardstick()
    _deciding(report, yardstick)
    assert PGBOUNCER, "pgbouncer is missing: run .ci/bootstrap bench"
    with (
        tempfile.TemporaryDirectory(prefix="stint-bench-") as name,
        database() as (database_name, world),
        temporary_state_dir("stint-bench-") as state,
        PostgresServer(state, majors()[0]) as server,
    ):
        folder = Path(name)
        folder.chmod(0o755)
        for script, text in SCRIPTS.items():
            (folder / f"{script}.sql").write_text(text)
        env = environment(database_name, folder)
        with (
            gateway_before(server, world, env, folder, tables=TABLES, commands=COMMANDS) as place,
            _pgbouncer(server, folder) as port,
        ):
            ways = {"direct": _direct(server, server.port), "pgbouncer": _direct(server, port)}
            _reads(report, place, ways, yardstick)
            _writes(report, place, yardstick)
    transfers.run(report)


def _deciding(report: Report, yardstick: Yardstick) -> None:
    from sessions_app.policy.commands.postgres.statements import Prepared, Runs, decide_text, prepare
    from tests.sessions_app.policy.commands.postgres.statement_sets import EVERY, compiled

    commands = compiled(*EVERY, values={})
    text = "UPDATE orders SET status = 'paid' WHERE id = 7"
    took, bound = [], []
    yardstick.sample()
    prepared = prepare(commands, "UPDATE orders SET status = $1 WHERE id = $2")
    assert isinstance(prepared, Prepared)
    for _ in range(DECIDED):
        began = time.perf_counter()
        decided = decide_text(commands, text)
        took.append((time.perf_counter() - began) * 1e6)
        began = time.perf_counter()
        runs = prepared.bind(["paid", "7"])
        bound.append((time.perf_counter() - began) * 1e6)
        assert isinstance(decided[0], Runs)
        assert isinstance(runs, Runs)
    report.note(f"decide the values of a prepared statement: median {median(bound):.0f} us")
    yardstick.sample()
    report.note(str(yardstick))
    report.figure("parse and match a statement, median", median(took), "us", most=100 * yardstick.slowness())


def _direct(server: PostgresServer, port: int) -> dict[str, str]:
    """Return the environment of pgbench for the server itself, or for pgbouncer in front of it."""
    return {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(port),
        "PGUSER": SUPERUSER,
        "PGPASSWORD": server.password,
        "PGDATABASE": "shop",
        "PGSSLMODE": "require",
        "PGGSSENCMODE": "disable",
    }


def _through(place: Place, grant: object) -> dict[str, str]:
    said = place.parameters(grant, dbname="shop")
    names = {"dbname": "database"}
    return {f"PG{names.get(name, name).upper()}": str(value) for name, value in said.items()}


def _reads(report: Report, place: Place, ways: Mapping[str, dict[str, str]], yardstick: Yardstick) -> None:
    grant = place.grant()
    every = {**ways, "gateway": _through(place, grant)}
    found: dict[tuple[str, str], list[Ran]] = {}
    done = 0
    for _ in range(ROUNDS):
        yardstick.sample()
        for script, clients in (("read", 1), ("repeat", CLIENTS)):
            for way, env in every.items():
                ran = _pgbench(place.folder, script, env, clients)
                found.setdefault((script, way), []).append(ran)
                done += ran.count if way == "gateway" else 0
    one = {way: median([ran.p50 for ran in found["read", way]]) for way in every}
    rate = {key: median([ran.rate for ran in rans]) for key, rans in found.items()}
    for script, clients in (("read", 1), ("repeat", CLIENTS)):
        rates = ", ".join(f"{way} {rate[script, way]:,.0f}" for way in every)
        report.note(f"reads a second with {clients} clients: {rates}")
    report.note(", ".join(f"read, p50: {way} {one[way]:.2f} ms" for way in every))
    report.figure(
        "read through the gateway, p50, beyond direct", one["gateway"] - one["direct"], "ms", most=1.5
    )
    report.figure(
        "reads a second of one client over direct",
        rate["read", "gateway"] / rate["read", "direct"],
        "x",
        least=0.25 / yardstick.slowness(),
    )
    report.figure("repeated reads a second", rate["repeat", "gateway"], "/s", least=2000)
    eventually(lambda: _recorded(grant) == done, within=30)
    report.note(f"all {done:,} reads are in the record")


def _recorded(grant: object) -> int:
    """Return how many statements of a grant are in the record."""
    from django.db.models import Sum
    from django.db.models.functions import Coalesce

    from sessions_app.models import CommandRun

    runs = CommandRun.objects.filter(grant=grant)
    return int(runs.aggregate(n=Sum(Coalesce("count__times", 1)))["n"] or 0)


def _writes(report: Report, place: Place, yardstick: Yardstick) -> None:
    """Change rows under several grants at once: the record has one statement of a grant at a time."""
    grants = [place.grant() for _ in range(GRANTS)]

    def run(grant: object) -> Ran:
        return _pgbench(place.folder, "write", _through(place, grant), CLIENTS // GRANTS)

    alone = run(grants[0])
    with ThreadPoolExecutor(GRANTS) as pool:
        rans = [list(pool.map(run, grants)) for _ in range(ROUNDS)]
    done = alone.count + sum(ran.count for each in rans for ran in each)
    eventually(lambda: _finished(grants) == done, within=30)
    report.note(f"changes a second under one grant: {alone.rate:,.0f}, p50 {alone.p50:.1f} ms")
    yardstick.sample()
    rate = median([sum(ran.rate for ran in each) for each in rans])
    name = f"changes a second under {GRANTS} grants, each with its own entry"
    report.figure(name, rate, "/s", least=300 / yardstick.slowness())


def _finished(grants: Sequence[object]) -> int:
    from sessions_app.models import CommandRun

    return CommandRun.objects.filter(grant__in=grants, state="done").count()


def _pgbench(folder: Path, script: str, env: dict[str, str], clients: int) -> Ran:
    """Run pgbench with prepared statements."""
    with tempfile.TemporaryDirectory(dir=folder) as logs:
        words = ["-n", "-M", "prepared", "-c", str(clients), "-T", str(SECONDS), "-l"]
        done = subprocess.run(
            ["pgbench", *words, "-f", str(folder / f"{script}.sql")],
            env={"PATH": os.environ["PATH"], "PGOPTIONS": "", **env},
            cwd=logs,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        count, rate = (
            re.search(text, done.stdout)
            for text in (r"actually processed: (\d+)", r"tps = ([0-9.]+) \(without")
        )
        assert count, done.stdout
        assert rate, done.stdout
        times = [
            int(line.split()[2]) / 1000
            for log in Path(logs).iterdir()
            for line in log.read_text().splitlines()
        ]
    return Ran(int(count[1]), float(rate[1]), percentile(times, 50))


@contextlib.contextmanager
def _pgbouncer(server: PostgresServer, folder: Path) -> Iterator[int]:
    """Run pgbouncer in front of a server, and yield its port."""
    port, (key, certificate) = free_port(), self_signed("127.0.0.1")
    there = folder / "pgbouncer"
    there.mkdir()
    for name, text in (
        ("key.pem", key),
        ("certificate.pem", certificate),
        ("users", f'"{SUPERUSER}" "{server.password}"\n'),
        ("pgbouncer.ini", _SETTINGS.format(port=port, server=server.port, folder=there)),
    ):
        (there / name).write_text(text)
    as_nobody = ["-u", "nobody"] if os.geteuid() == 0 else []
    with (there / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(PGBOUNCER), *as_nobody, str(there / "pgbouncer.ini")], stdout=log, stderr=log
        )
    try:
        eventually(lambda: "process up" in (there / "log").read_text(), within=20)
        yield port
    finally:
        process.terminate()
        process.wait(20)


_SETTINGS = """
[databases]
shop = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
max_prepared_statements = 100
client_tls_sslmode = require
client_tls_key_file = {folder}/key.pem
client_tls_cert_file = {folder}/certificate.pem
server_tls_sslmode = require
"""
