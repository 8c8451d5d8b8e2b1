"""psql, kubectl and programs get what a grant is used with, and nobody else sees it."""

import contextlib
import json
import signal
import socket
import stat
import subprocess
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.core.management import call_command

from broker.embedded.state import temporary_state_dir
from tests.sessions_app.operations.test_kubernetes_grants import POLICY as KUBE_POLICY
from tests.sessions_app.operations.test_kubernetes_grants import SET as KUBE_SET
from tests.support.servers import mariadb_server
from tests.support.servers.kubernetes.cluster import in_process
from tests.support.servers.kubernetes.server import ApiServer
from tests.support.servers.postgres_server import PostgresServer, majors
from tests.support.servers.postgres_shop import BROKER, set_up
from tests.support.servers.running import start
from tests.support.waits import PATIENCE, eventually
from tests.support.world.acts import policy

READ = """
name: read-orders
kind: postgres
summary: Read orders
risk: low
commands:
  - {grant: SELECT ON app.orders, effect: read}
examples: {allow: ["SELECT ON app.orders"], refuse: ["DELETE ON app.orders"]}
"""


def given(laptops, **ask):
    """An active grant of Alice's. No worker runs here, so the test asks for what one would try again."""
    from broker.kernel import clock
    from sessions_app.operations.grants.prepare_grant import prepare_grant

    grant = laptops.world.grant(now=clock.now(), **ask)

    def is_active() -> bool:
        prepare_grant(grant_id=grant.pk, now=clock.now)
        grant.refresh_from_db()
        # The gateway's own sweep may be starting it at this moment.
        assert grant.state in ("scheduled", "provisioning", "active"), grant.last_error
        return grant.state == "active"

    eventually(is_active, within=60, every=0.3)
    return grant


@pytest.fixture(scope="module")
def shop(laptops):
    """A real PostgreSQL with TLS in the catalog."""
    with shop_of(laptops, majors()[0]) as made:
        yield made


@contextlib.contextmanager
def shop_of(laptops, major: int):
    """A real PostgreSQL of this version in the catalog."""
    from broker.kernel import clock

    with temporary_state_dir("stint-cli-pg-") as state, PostgresServer(state, major) as server:
        shop = set_up(server)
        connection = {
            "user": BROKER,
            "password": shop.broker_password,
            "database": "shop",
            "sslmode": "prefer",
        }
        if server.authority:
            connection |= {"sslmode": "verify-full", "sslrootcert": server.authority}
        head = "name: shop-db\nkind: postgres\nsummary: Orders\nenvironment: production\nrisk: high\n"
        rows = f"targets:\n  - {{name: db-1, address: 127.0.0.1, port: {server.port}}}\n"
        terms = policy(laptops.world, name="db-work", clusters=["shop-db"], command_sets=["read-orders"])
        laptops.world.catalog.update(
            {
                "clusters/shop-db.yaml": f"{head}{rows}connection: {json.dumps(connection)}\n",
                "command-sets/read-orders.yaml": READ,
                "policies/db.yaml": terms.popitem()[1],
            }
        )
        laptops.world.apply(now=clock.now())
        yield shop


@pytest.fixture
def on_shop(laptops, shop):
    return given(laptops, cluster="shop-db", command_set="read-orders", parameters={})


def test_psql_is_the_grants_own_role_and_its_password_is_in_no_argument(laptops, on_shop):
    done = laptops["alice"](
        "psql",
        "shop-db",
        "--",
        "-At",
        "-c",
        "SELECT current_user, count(*) FROM app.orders",
        "-c",
        r"\! tr '\0' ' ' < /proc/$PPID/cmdline",
    )
    assert done.returncode == 0, done.stderr
    user, count = done.stdout.splitlines()[0].split("|")
    assert user.startswith("stint_")
    assert count == "2"
    assert user not in done.stdout.splitlines()[1], "not even the role is an argument"


def test_a_program_gets_the_database_by_its_environment(laptops, on_shop):
    words = ("run", "--grant", on_shop.ref, "-e", "URL=uri", "--", "sh", "-c")
    done = laptops["alice"](
        *words, 'psql -Atc "SELECT 1" && psql "$URL" -Atc "SELECT 2" && cat "$STINT_CREDENTIAL_FILE"'
    )
    assert done.stdout.splitlines()[:2] == ["1", "2"], done.stderr
    assert json.loads(done.stdout.splitlines()[2])["values"]["Username"].startswith("stint_")
    on_shop.refresh_from_db()
    assert on_shop.state in ("revoking", "ended")


def test_the_authority_that_a_uri_names_is_there_while_the_program_runs_and_not_after(laptops, on_shop):
    words = ("run", "--grant", on_shop.ref, "-e", "URL=uri", "--", "sh", "-c")
    encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    shown = 'printf "%s\n" "$URL" "$PGSSLROOTCERT"; cat "$STINT_CREDENTIAL_FILE"'
    done = laptops["alice"](*words, f'PGSSLROOTCERT= psql "$URL" -Atc "{encrypted}" && {shown}')
    assert done.returncode == 0, done.stderr
    answer, uri, authority, credential = done.stdout.splitlines()
    assert (answer, dict(parse_qsl(urlsplit(uri).query))) == (
        "t",
        {"sslmode": "verify-full", "sslrootcert": authority},
    )
    assert json.loads(credential)["values"]["URI"] == uri
    assert f"sslrootcert={authority}" in json.loads(credential)["command"]
    assert not Path(authority).exists()


def test_a_label_that_the_credential_does_not_have_ends_the_grant_again(laptops, on_shop):
    status, said = laptops["alice"].fails("run", "--grant", on_shop.ref, "-e", "X=Color", "--", "true")
    assert status == 2
    assert "The credential has no Color.\nUse one of: Username, Password," in said
    on_shop.refresh_from_db()
    assert on_shop.state in ("revoking", "ended")


@pytest.fixture(scope="module")
def stock(laptops):
    """A real MariaDB in the catalog."""
    from broker.kernel import clock

    with (
        temporary_state_dir("stint-cli-mdb-") as state,
        mariadb_server.MariaDBServer(state).running() as server,
    ):
        connection = {"password": server.broker_password, "ca": server.authority, "database": "shop"}
        head = "name: stock-db\nkind: mariadb\nsummary: Stock\nenvironment: production\nrisk: high\n"
        rows = f"targets:\n  - {{name: mdb-1, address: 127.0.0.1, port: {server.port}}}\n"
        terms = policy(laptops.world, name="stock-work", clusters=["stock-db"], command_sets=["read-stock"])
        read = READ.replace("postgres", "mariadb").replace("read-orders", "read-stock")
        laptops.world.catalog.update(
            {
                "clusters/stock-db.yaml": f"{head}{rows}connection: {json.dumps(connection)}\n",
                "command-sets/read-stock.yaml": read.replace("app.", "shop."),
                "policies/stock.yaml": terms.popitem()[1],
            }
        )
        laptops.world.apply(now=clock.now())
        yield server


def test_mariadb_is_the_grants_own_account_and_its_password_is_in_no_argument(laptops, stock):
    given(laptops, cluster="stock-db", command_set="read-stock", parameters={})
    asked = r"SELECT current_user(), count(*) FROM orders; \! tr '\0' '\n' < /proc/$PPID/cmdline"
    done = laptops["alice"]("mariadb", "stock-db", "--", "-BN", "-e", asked)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    (answer,) = (line for line in lines if "\t" in line)
    assert answer.startswith("stint_")
    assert answer.endswith("\t2")
    arguments = "\n".join(line for line in lines if line != answer)
    assert "--user=stint_" in arguments
    assert "password" not in arguments


def test_a_program_gets_the_mariadb_options_in_a_private_file(laptops, stock):
    grant = given(laptops, cluster="stock-db", command_set="read-stock", parameters={})
    command = (
        'stat -c %a "$STINT_MARIADB_CONFIG" && '
        'mariadb --defaults-file="$STINT_MARIADB_CONFIG" -BN -e "SELECT 1"'
    )
    done = laptops["alice"]("run", "--grant", grant.ref, "--", "sh", "-c", command)
    assert done.stdout.split() == ["600", "1"], done.stderr


@pytest.fixture(scope="module")
def prod(laptops, tmp_path_factory):
    """An API server of Kubernetes in the catalog."""
    import io

    from broker.kernel import clock

    with ApiServer(tmp_path_factory.mktemp("kube"), cache_seconds=0.2) as server:
        cluster = in_process(server)
        for name in ("web", "api"):
            cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        laptops.world.apply({"command-sets/scale-shop.yaml": KUBE_SET}, now=clock.now())
        with contextlib.redirect_stdout(io.StringIO()) as out:
            call_command("kubernetes_target_setup", "prod", "--command-set", "scale-shop", stdout=out)
        cluster.apply(out.getvalue())
        connection = {"ca": cluster.ca, "token": cluster.token_of("stint-system", "stint")}
        head = "name: prod\nkind: kubernetes\nsummary: One\nenvironment: production\nrisk: medium\n"
        rows = f"targets:\n  - {{name: prod-1, address: {cluster.address}, port: {cluster.port}}}\n"
        laptops.world.catalog.update(
            {
                "command-sets/scale-shop.yaml": KUBE_SET,
                "policies/kube.yaml": KUBE_POLICY,
                "clusters/prod.yaml": f"{head}{rows}connection: {json.dumps(connection)}\n",
            }
        )
        laptops.world.apply(now=clock.now())
        with web_gateway(laptops, "kubernetes"):
            yield cluster


@contextlib.contextmanager
def web_gateway(laptops, protocol: str):
    """A gateway for one protocol over HTTPS."""
    port = int(laptops.place.env["STINT_GATEWAY_PUBLIC_URL"].rpartition(":")[2])
    words = ("manage.py", "gateway", "--protocols", protocol, "--port", str(port), "--name", protocol)
    with (laptops.place.folder / "kubernetes.log").open("ab") as log:
        gateway = start(*words, env=laptops.place.env, stdout=log, stderr=log)
    try:
        eventually(lambda: answers(port), within=30)
        yield
    finally:
        gateway.send_signal(signal.SIGTERM)
        gateway.wait(PATIENCE)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture
def on_prod(laptops, prod):
    return given(laptops, cluster="prod", command_set="scale-shop", parameters={"ns": "web"})


def test_kubectl_asks_stint_by_a_file_that_holds_no_secret(laptops, on_prod):
    alice = laptops["alice"]
    done = alice("kubectl-config", "prod")
    file = alice.home / ".kube" / "stint-prod"
    assert done.stdout == f"export KUBECONFIG={file}\n", done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    config = json.loads(file.read_text())
    (user,) = config["users"]
    assert list(user["user"]) == ["exec"]
    assert alice.env["STINT_TOKEN"] not in file.read_text()
    env = {**alice.environment, "KUBECONFIG": str(file)}
    seen = subprocess.run(
        ["kubectl", "get", "pods", "-n", "web"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert seen.returncode == 0, seen.stderr
    assert "No resources found in web namespace." in seen.stderr


def test_kubectl_needs_no_kubeconfig_through_a_tunnel(laptops, on_prod):
    alice = laptops["alice"]
    running = alice.start("tunnel", "--json", "prod")
    line = running.stdout.readline()
    assert line, running.stderr.read()
    words = ["kubectl", "--server", json.loads(line)["url"], "get", "pods", "-n"]
    seen, other = (
        subprocess.run(
            [*words, namespace],
            env=alice.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for namespace in ("web", "api")
    )
    assert "No resources found in web namespace." in seen.stderr
    assert "nothing here allows you to list pods in namespace api" in other.stderr
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 0


def test_the_plugin_answers_as_kubectl_reads_it(laptops, on_prod):
    made = json.loads(laptops["alice"]("kube-credential", on_prod.ref).stdout)
    assert (made["kind"], made["apiVersion"]) == ("ExecCredential", "client.authentication.k8s.io/v1")
    assert made["status"]["expirationTimestamp"].endswith("Z")
    assert laptops["bob"].fails("kube-credential", on_prod.ref)[0] in (1, 4)


def test_a_program_gets_the_cluster_by_its_environment(laptops, on_prod):
    done = laptops["alice"]("run", "--grant", on_prod.ref, "--", "kubectl", "get", "pods", "-n", "web")
    assert done.returncode == 0, done.stderr
