"""A server that is hostile, or was taken over, runs nothing on the laptop of a person who uses it."""

import datetime as dt
import json

import pytest

from broker.cli import credentials, served, sshing
from broker.cli.errors import CliError
from broker.cli.shell import Shell
from broker.kernel.x509 import fingerprint, make_authority
from tests.support.servers.answering import answering
from tests.support.servers.terminal import Terminal

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ"
GATEWAY = {"host": "127.0.0.1", "port": 1, "host_keys": [KEY]}
AUTHORITY = make_authority("Stint", now=dt.datetime(2026, 3, 1, tzinfo=dt.UTC)).certificate
WEB = {"url": "https://gw.example:8443", "ca": AUTHORITY.decode(), "fingerprints": [fingerprint(AUTHORITY)]}
GRANT = {
    "ref": "GR-7F3K",
    "state": "active",
    "cluster": "web",
    "targets": ["web-1"],
    "connect": ["ssh"],
    "expires_at": "2099-01-01T00:00:00Z",
}
CLUSTER = {"server": "https://10.0.0.1:6443", "certificate-authority-data": "TUlJ"}


def kubeconfig(**more) -> str:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "touch", "args": ["pwned"]}
    users = [{"name": "stint", "user": {"exec": plugin}}, {"name": "b", "user": {"tokenFile": "/etc/passwd"}}]
    return json.dumps({"clusters": [{"name": "web", "cluster": {**CLUSTER, **more}}], "users": users})


@pytest.fixture
def hostile(processes, tmp_path):
    """A server that says whatever a test wants, and a person who is signed in there."""
    answers: dict[str, object] = {
        "/me/ssh-keys": {"results": [{"public_key": KEY}], "next": None},
        "/ssh-gateway": GATEWAY,
        "/web-gateway": WEB,
        "/grants/GR-7F3K": GRANT,
        "/clusters/web": {"kind": "ssh"},
    }

    def answer(asked):
        path = asked.path.removeprefix("/api/v1").partition("?")[0]
        return 200, {}, json.dumps(answers.get(path, {})).encode()

    with answering(answer) as port:
        yield answers, Terminal(tmp_path, {"STINT_URL": f"http://127.0.0.1:{port}", "STINT_TOKEN": "stint_x"})


def shell_of(terminal: Terminal) -> Shell:
    return Shell({**terminal.environment})


def test_a_reference_that_is_an_option_of_ssh_runs_nothing(hostile):
    answers, terminal = hostile
    answers["/grants/GR-7F3K"] = {**GRANT, "ref": "-oProxyCommand=touch pwned;#"}
    status, said = terminal.fails("ssh", "web-1", "--grant", "GR-7F3K", "--", "id")
    assert not (terminal.home / "pwned").exists()
    assert (status, "Stint sent a reference that is not valid." in said) == (1, True)


@pytest.mark.parametrize(
    "change",
    [
        {"host": "gw\n  ProxyCommand touch pwned"},
        {"host": "-oProxyCommand=touch pwned"},
        {"port": "22\n  ProxyCommand touch pwned"},
        {"host_keys": [f"{KEY}\n* {KEY}"]},
        {"host_keys": [f"{KEY} *"]},
    ],
)
def test_an_ssh_config_holds_no_line_of_the_servers(hostile, change):
    answers, terminal = hostile
    answers["/ssh-gateway"] = {**GATEWAY, **change}
    with pytest.raises(CliError, match="is not valid"):
        sshing.config(shell_of(terminal), GRANT)


@pytest.mark.parametrize(
    "change",
    [
        {"targets": ["web-1\n  ProxyCommand touch pwned"]},
        {"targets": ["-F"]},
        {"cluster": "../../web"},
        {"ref": "GR-7F3K\n"},
    ],
)
def test_a_grant_whose_values_mean_more_to_a_program_is_not_used(hostile, change):
    answers, terminal = hostile
    answers["/grants/GR-7F3K"] = {**GRANT, **change}
    status, said = terminal.fails("run", "--grant", "GR-7F3K", "--", "touch", "pwned")
    assert (status, "that is not valid" in said) == (1, True)
    assert not (terminal.home / "pwned").exists()


def test_without_the_gateways_keys_ssh_does_not_run(hostile):
    answers, terminal = hostile
    answers["/ssh-gateway"] = {**GATEWAY, "host_keys": []}
    status, said = terminal.fails("ssh", "web-1", "--grant", "GR-7F3K", "--", "id")
    assert status == 1
    assert "No SSH gateway has published its host keys." in said
    with pytest.raises(CliError, match="host keys"):
        sshing.config(shell_of(terminal), GRANT)


def test_whom_to_trust_at_the_web_gateways_is_printed_for_people_and_for_programs(hostile):
    answers, terminal = hostile
    assert terminal("gateway").stdout == f"{WEB['url']}\nSHA-256 {WEB['fingerprints'][0]}\n"
    assert terminal("gateway", "--ca").stdout == WEB["ca"]
    assert terminal.json("gateway") == WEB
    other = make_authority("Next", now=dt.datetime(2026, 3, 1, tzinfo=dt.UTC)).certificate
    both = {"ca": WEB["ca"] + other.decode(), "fingerprints": [*WEB["fingerprints"], fingerprint(other)]}
    answers["/web-gateway"] = {**WEB, **both}
    assert terminal("gateway").stdout.count("SHA-256") == 2
    assert terminal("gateway", "--ca").stdout == both["ca"]
    answers["/web-gateway"] = {**WEB, "ca": ""}
    assert terminal("gateway").stdout == f"{WEB['url']}\nSHA-256 {WEB['fingerprints'][0]}\n"
    status, said = terminal.fails("gateway", "--ca")
    assert (status, "not issued by Stint's own CA" in said) == (1, True)
    answers["/web-gateway"] = {**WEB, "ca": "", "fingerprints": []}
    status, said = terminal.fails("gateway")
    assert (status, "No gateway has published its certificate" in said) == (1, True)


@pytest.mark.parametrize(
    "change",
    [
        {"ca": WEB["ca"] + "touch pwned\n"},
        {"ca": make_authority("Other", now=dt.datetime(2026, 3, 1, tzinfo=dt.UTC)).certificate.decode()},
        {"ca": 7},
        {"ca": "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"},
        {"url": "https://a.example\n$(touch pwned)"},
        {"url": "http://gw.example"},
        {"fingerprints": ["AB:CD"]},
    ],
)
def test_an_authority_that_does_not_fit_its_fingerprint_or_is_none_is_not_printed(hostile, change):
    answers, terminal = hostile
    answers["/web-gateway"] = {**WEB, **change}
    status, said = terminal.fails("gateway", "--ca")
    assert (status, "that is not valid" in said) == (1, True)


def test_a_kubeconfig_runs_nothing_of_the_servers_and_reads_no_file_for_it(hostile, tmp_path):
    answers, terminal = hostile
    more = {
        "proxy-url": "socks5://evil.example",
        "insecure-skip-tls-verify": True,
        "certificate-authority": "/etc/x",
    }
    values = {
        "Kubeconfig": kubeconfig(**more),
        "Kubeconfig with the plugin": kubeconfig(**more),
        "Token": "abc",
    }
    answers |= {
        "/clusters/web": {"kind": "kubernetes"},
        "/grants/GR-7F3K": {**GRANT, "connect": []},
        "/grants/GR-7F3K/credential": {"values": values, "expires_at": GRANT["expires_at"]},
    }
    grant = {**GRANT, "connect": []}
    folder = tmp_path / "files"
    folder.mkdir()
    handed = credentials.handed(shell_of(terminal), grant, None, folder)
    config = json.loads((folder / "kubeconfig").read_text())
    assert handed["KUBECONFIG"] == str(folder / "kubeconfig")
    assert config["users"] == [{"name": "stint", "user": {"token": "abc"}}]
    assert config["clusters"] == [{"name": "web", "cluster": CLUSTER}]
    done = terminal("kubectl-config", "web", "--grant", "GR-7F3K", "-o", "-")
    config = json.loads(done.stdout)
    (user,) = config["users"]
    assert user["user"]["exec"]["args"][-2:] == ["kube-credential", "GR-7F3K"]
    assert (list(user["user"]), "touch" in done.stdout) == (["exec"], False)
    assert config["clusters"] == [{"name": "web", "cluster": CLUSTER}]


@pytest.mark.parametrize(
    "server", ["http://10.0.0.1", "https://10.0.0.1\n", "unix:///run/x", "https://a b", 7, None]
)
def test_a_kubeconfig_is_for_a_server_with_tls(server):
    with pytest.raises(CliError, match="is not valid"):
        served.kubeconfig({"Kubeconfig": kubeconfig(server=server), "Token": "abc"}, cluster="web")


@pytest.mark.parametrize("page", ["file:///etc/passwd", "--help", "https://a b", "javascript:alert(1)"])
def test_a_browser_opens_only_pages_of_the_web(page):
    with pytest.raises(CliError, match="is not valid"):
        served.web_page(page)


@pytest.mark.parametrize("host", ["gw.example.com", "gw_1", "10.0.0.1", "2001:db8::1", "localhost"])
def test_every_host_can_be_a_gateway(host):
    assert served.gateway({**GATEWAY, "host": host}) == served.Gateway(host, 1, (KEY,))
