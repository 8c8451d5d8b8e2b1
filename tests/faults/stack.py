"""The production stack: two of each process, nginx, PostgreSQL with a standby, Valkey, mail, a webhook, and
targets.
"""

import contextlib
import datetime as dt
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from aiosmtpd.controller import Controller

from broker.demo.catalog import READ_ORDERS
from broker.demo.ports import free_port
from broker.demo.sshd import SshTarget
from broker.embedded.binaries import find_valkey
from tests.environment import ROOT
from tests.faults.lives import APPROVER, PROBER
from tests.faults.processes import Processes, manage, settings
from tests.faults.ways import Way, ways
from tests.support.servers.endpoints import policies
from tests.support.servers.gateway import ACT, Place
from tests.support.servers.http_place import COMMAND_SET, HEADER, cluster
from tests.support.servers.http_target import Target, http_target
from tests.support.servers.kubernetes.cluster import Cluster
from tests.support.servers.kubernetes.real import some_cluster
from tests.support.servers.kubernetes_place import SET, policy
from tests.support.servers.kubernetes_place import set_up as set_up_cluster
from tests.support.servers.mail_server import MailServer
from tests.support.servers.mcp_desk import Desk, desk
from tests.support.servers.postgres_pair import Pair, postgres_pair
from tests.support.servers.postgres_server import PostgresServer, majors, self_signed
from tests.support.servers.postgres_shop import BROKER, Shop, set_up
from tests.support.servers.receiver import Receiver, receiver
from tests.support.waits import eventually
from tests.support.world.mcp_site import files
from tests.support.world.world import World

_FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
# The processes of the second node, whose clock can be moved.
_NODES = ("1", "2")
_STATE_MIB = 64


@dataclass
class Stack:
    """The running stack. ``ways`` are the connections between its parts, each of which can be broken.

    The connections to the database are `database-N`, for node N; a node's processes are `web-N`, `worker-N`
    and `gateway-N`.
    """

    folder: Path
    pair: Pair
    env: dict[str, str]
    urls: dict[str, str]
    processes: Processes
    targets: dict[str, SshTarget]
    ways: dict[str, list[Way]]
    mail: MailServer
    hook: Receiver
    http: Target | None = None
    shop: Shop | None = None
    desk: Desk | None = None
    cluster: Cluster | None = None
    valkey: subprocess.Popen[bytes] | None = None
    place: Place | None = None
    tokens: dict[str, str] = field(default_factory=dict)
    valkey_port: int = 0

    @property
    def runs(self) -> Path:
        """Return the file to which each command on a target appends its kind and tag when it starts."""
        return self.folder / "runs"

    @property
    def clock(self) -> Path:
        """Return the file with the clock offset of the second node."""
        return self.folder / "clock"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def keep(self, folder: Path) -> None:
        """Copy the logs of all processes and a dump of the database to a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for log in self.folder.rglob("*.log"):
            shutil.copy(log, folder / log.name)
        dump = [
            str(self.pair.primary.binaries.folder / "pg_dump"),
            "--file",
            str(folder / "stint.sql"),
            self.pair.url("stint_owner"),
        ]
        subprocess.run(dump, check=True)

    def start_valkey(self) -> None:
        """Start the queue, empty."""
        words = [
            "--port",
            str(self.valkey_port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--loglevel",
            "warning",
        ]
        self.valkey = subprocess.Popen([str(find_valkey()), *words], cwd="/", stdout=subprocess.DEVNULL)
        eventually(lambda: _listens(self.valkey_port))

    def stop_valkey(self) -> None:
        """Kill the queue."""
        if self.valkey is not None:
            self.valkey.kill()
            self.valkey.wait()


@contextlib.contextmanager
def stack(folder: Path, *, people: int) -> Iterator[Stack]:
    """Yield a running stack in an empty folder, in its own namespaces."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with contextlib.ExitStack() as all_of:
        pair = all_of.enter_context(postgres_pair(folder / "postgres"))
        made = _made(folder, pair, all_of)
        all_of.callback(made.stop_valkey)
        made.start_valkey()
        _set_up_django(made)
        _migrate(made)
        made.http = all_of.enter_context(http_target())
        made.shop = all_of.enter_context(_shop(folder))
        made.desk = all_of.enter_context(desk())
        _add_programs(made)
        all_of.callback(os.environ.update, PATH=os.environ["PATH"])
        # Pods have the path of this process.
        os.environ["PATH"] = f"{folder}/programs:{os.environ['PATH']}"
        (folder / "cluster").mkdir()
        made.cluster = all_of.enter_context(some_cluster(folder / "cluster"))
        _fill(made, people)
        all_of.callback(made.processes.stop)
        _serve(made)
        yield made


@contextlib.contextmanager
def _shop(folder: Path) -> Iterator[Shop]:
    """Run a database as a target."""
    (folder / "shop").mkdir(mode=0o711)
    with PostgresServer(folder / "shop", majors()[0]) as server:
        yield set_up(server)


def _made(folder: Path, pair: Pair, all_of: contextlib.ExitStack) -> Stack:
    hook = all_of.enter_context(receiver())
    mail = MailServer()
    controller = Controller(mail, hostname="127.0.0.1", port=free_port())
    controller.start()
    all_of.callback(controller.stop)
    valkey_port = free_port()
    behind = {f"database-{node}": [server.port for server in pair.servers] for node in _NODES}
    behind |= {"queue": [valkey_port], "mail": [controller.port], "webhook": [hook.port]}
    ports = {name: [free_port() for _ in to] for name, to in behind.items()}
    passed = {at: one for name, to in behind.items() for at, one in zip(ports[name], to, strict=True)}
    opened = all_of.enter_context(ways(passed))
    (folder / "state").mkdir(mode=0o700)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_STATE_MIB}m,mode=700", "tmpfs", str(folder / "state")],
        check=True,
    )
    given, weights = settings(folder)
    env = given | {
        "REDIS_URL": f"redis://127.0.0.1:{ports['queue'][0]}/0",
        "STINT_STATE_DIR": str(folder / "state"),
        "STINT_SSH_HOST": "127.0.0.1",
        "STINT_GATEWAY_HOST": "127.0.0.1",
        "STINT_SMTP_HOST": "127.0.0.1",
        "STINT_SMTP_PORT": str(ports["mail"][0]),
        "STINT_SMTP_TLS": "0",
        "STINT_WEBHOOK_NETWORKS": "127.0.0.0/8",
        "STINT_API_PER_MINUTE": "6000",
    }
    urls = {f"database-{node}": pair.url(ports=tuple(ports[f"database-{node}"])) for node in _NODES}
    urls["webhook"] = f"http://127.0.0.1:{ports['webhook'][0]}/stint"
    by_name = {name: [opened[at] for at in ats] for name, ats in ports.items()}
    processes = Processes(folder, weights)
    return Stack(folder, pair, env, urls, processes, {}, by_name, mail, hook, valkey_port=valkey_port)


def _set_up_django(made: Stack) -> None:
    """Let this process use the same database, with the same key."""
    import django

    os.environ.update(
        made.env,
        DATABASE_URL=made.pair.url(),
        DJANGO_SETTINGS_MODULE="broker.settings",
        STINT_LOG_LEVEL="WARNING",
    )
    django.setup()


def _migrate(made: Stack) -> None:
    env = {**made.env, "DATABASE_URL": made.pair.url(), "DATABASE_OWNER_URL": made.pair.url("stint_owner")}
    subprocess.run(manage("migrate", "--skip-checks", "--verbosity", "0"), check=True, env=env, cwd=ROOT)


def _add_programs(made: Stack) -> None:
    """Write the programs that run on targets into a folder. They log each start."""
    programs = made.folder / "programs"
    programs.mkdir()
    logged = f'echo "$kind $tag" >> {made.runs}\ncase $kind in'
    (programs / "test").write_text(ACT.replace("case $kind in", logged, 1))
    (programs / "test").chmod(0o755)
    made.runs.touch()
    # Pods run as another account.
    made.runs.chmod(0o666)


def _fill(made: Stack, people: int) -> None:
    """Add people, targets, policies and tokens."""
    from broker.kernel import clock
    from sessions_app.operations.targets.ensure_authority import ensure_authority
    from sessions_app.queries.gateways.keys import SSH_USER_CA
    from tests.support.world.world import make_world

    now = clock.now()
    keys = [ensure_authority(SSH_USER_CA, now=now).public_key]
    made.targets = {
        name: SshTarget(keys, ["web"], programs=made.folder / "programs") for name in ("web-1", "web-2")
    }
    for target in made.targets.values():
        target.start()
    world = make_world(now)
    made.place = Place(world, made.folder, made.env, made.targets, port=2222, name="gateway-1")
    _people(made, world, now, people)


def _people(made: Stack, world: World, now: dt.datetime, count: int) -> None:
    from accounts.operations.create_identity import create_identity
    from accounts.operations.create_token import create_token
    from tests.support.servers.receiver import webhook_file
    from tests.support.world.world import SETUP

    names = [*(f"holder-{number}" for number in range(1, count + 1)), PROBER]
    for name in names:
        person = create_identity(
            username=name, name=name.title(), email=f"{name}@example.com", actor=SETUP, now=now
        )
        setattr(world, name, person)
    hooks = {
        path: text.replace(made.hook.url, made.urls["webhook"])
        for path, text in webhook_file(made.hook).items()
    }
    members = {
        "groups/operators.yaml": f"name: operators\nmembers: [alice, robot, deployer, {', '.join(names)}]\n"
    }
    world.catalog.update({**members, **made.place.catalog(), **hooks, **_others(made)})
    world.apply(now=now)
    set_up_cluster(
        world,
        made.cluster,
        {
            "command-sets/run-shop.yaml": SET,
            "policies/prod-work.yaml": policy("prod-work", command_sets=["run-shop"]),
        },
        now,
    )
    for name in [*names, APPROVER]:
        _, made.tokens[name] = create_token(
            identity_id=getattr(world, name).pk,
            label="faults",
            scopes=["read", "request", "decide", "end"],
            lifetime=dt.timedelta(days=1),
            actor=SETUP,
            now=now,
        )
        made.place.key(name)


def _others(made: Stack) -> dict[str, str]:
    """Return the catalog entries other than hosts: an application and a database."""
    assert made.http
    assert made.shop
    assert made.desk
    connection = {
        "user": BROKER,
        "password": made.shop.broker_password,
        "database": "shop",
        **(
            {"sslmode": "verify-full", "sslrootcert": made.shop.server.authority}
            if made.shop.server.authority
            else {"sslmode": "prefer"}
        ),
    }
    database = {
        "name": "shop",
        "kind": "postgres",
        "summary": "A shop",
        "environment": "production",
        "risk": "medium",
        "connection": connection,
        "targets": [{"name": "shop", "address": "127.0.0.1", "port": made.shop.server.port}],
    }
    return {
        "clusters/prices.yaml": cluster(made.http, inject=HEADER),
        "command-sets/price-work.yaml": COMMAND_SET,
        **policies("prices", "price-work"),
        "clusters/shop.yaml": yaml.safe_dump(database),
        "command-sets/read-orders.yaml": READ_ORDERS,
        **policies("shop", "read-orders"),
        **files(made.desk.port),
    }


def _serve(made: Stack) -> None:
    certificate, key = made.folder / "fullchain.pem", made.folder / "privkey.pem"
    for path, text in zip((key, certificate), self_signed("127.0.0.1", "stint.example.com"), strict=True):
        path.write_text(text)
    made.clock.write_text("+0\n")
    for node in _NODES:
        env = {**made.env, "DATABASE_URL": made.urls[f"database-{node}"]}
        if node == "2":
            env |= _moved(made.clock)
        at = 2 * int(node) + 7998
        made.processes.add(f"web-{node}", manage("serve", "web", "--port", str(at)), env)
        made.processes.add(f"streams-{node}", manage("serve", "streams", "--port", str(at + 1)), env)
        made.processes.add(f"worker-{node}", manage("serve", "worker"), env)
        port = 8442 + int(node)
        own = {"STINT_GATEWAY_PUBLIC_URL": f"https://localhost:{port}"}
        database = str(5432 + int(node))
        ports = ["--ssh-port", str(2221 + int(node)), "--postgres-port", database, "--port", str(port)]
        made.processes.add(
            f"gateway-{node}", manage("gateway", "--name", f"gateway-{node}", *ports), env | own
        )
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    assert nginx, "nginx is missing: .ci/bootstrap test installs it"
    made.processes.add(
        "nginx", [nginx, "-p", str(made.folder), "-c", str(made.folder / "nginx.conf")], made.env
    )
    eventually(lambda: all(map(_listens, (443, 8000, 8001, 8002, 8003, 2222, 2223))), within=120)
    eventually(lambda: _sweeps(("worker", "gateway:gateway-1", "gateway:gateway-2")), within=120)


def _moved(file: Path) -> dict[str, str]:
    """Return the environment in which a process reads its clock offset from a file. Its monotonic clock is
    unchanged.
    """
    assert _FAKETIME.exists(), "libfaketime is missing: .ci/bootstrap test installs it"
    return {
        "LD_PRELOAD": str(_FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        # Otherwise, waits with a timeout return early, and the threads of a Python process take the
        # interpreter's lock from each other without pause, at several times the CPU.
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _sweeps(names: tuple[str, ...]) -> bool:
    from sessions_app.models import Sweeper

    return set(names) <= set(Sweeper.objects.values_list("name", flat=True))
