"""The exec plugin: one file that asks Stint and answers kubectl."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from sessions_app.connectors.kubernetes import plugin
from sessions_app.connectors.kubernetes.kubeconfig import exec_kubeconfig
from tests.support.servers.answering import answering

pytestmark = pytest.mark.processes

GOOD = {
    "values": {"Token": "kube-token", "Server": "https://x"},
    "expires_at": "2026-11-24T22:10:00.123456+02:00",
}


@pytest.fixture
def stint():
    """An API that answers with what it is told, and remembers what it was asked."""

    stint = SimpleNamespace(asked=[], answer=(200, GOOD, {}))

    def answer(asked):
        stint.asked.append((asked.path, asked.headers["Authorization"], asked.body))
        status, said, headers = stint.answer
        return status, headers, json.dumps(said).encode()

    with answering(answer) as port:
        stint.url = f"http://127.0.0.1:{port}"
        yield stint


def run(stint, *words, **env):
    """The file alone, with nothing of Stint's around it."""
    known = {"PATH": os.environ["PATH"], "STINT_URL": stint.url if stint else "", "STINT_TOKEN": "my-token"}
    return subprocess.run(
        [sys.executable, "-I", plugin.__file__, *(words or ("GR-7F3K",))],
        capture_output=True,
        text=True,
        timeout=30,
        env={**known, **env},
        cwd="/",
        check=False,
    )


def test_kubectl_gets_a_token_and_its_end(stint):
    done = run(stint)
    assert json.loads(done.stdout) == {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "kube-token", "expirationTimestamp": "2026-11-24T20:10:00Z"},
    }
    assert stint.asked == [("/api/v1/grants/GR-7F3K/credential", "Bearer my-token", b"{}")]
    assert (done.returncode, done.stderr) == (0, "")


def test_a_target_is_named_where_there_are_several(stint):
    assert run(stint, "GR-7F3K", "prod-2").returncode == 0
    assert stint.asked[0][2] == b'{"target": "prod-2"}'


def test_the_token_may_be_in_a_file(stint, tmp_path):
    (tmp_path / "token").write_text("filed\n")
    assert run(stint, STINT_TOKEN="", STINT_TOKEN_FILE=str(tmp_path / "token")).returncode == 0
    assert stint.asked[0][1] == "Bearer filed"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            (403, {"detail": "The grant has ended.", "hint": "Ask again."}, {}),
            "403): The grant has ended. Ask again.",
        ),
        ((401, {"title": "Unauthorized"}, {}), "STINT_TOKEN"),
        ((302, {}, {"Location": "http://127.0.0.1:9/"}), "302"),
        ((200, {"values": {}}, {}), "no token"),
        ((200, ["x"], {}), "no token"),
        ((200, {**GOOD, "expires_at": "soon"}, {}), "invalid expiry"),
    ],
)
def test_a_refusal_is_told_on_stderr_and_nothing_else_is_said(stint, answer, says):
    stint.answer = answer
    done = run(stint)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert "my-token" not in done.stderr
    assert len(stint.asked) == 1


@pytest.mark.parametrize(
    ("words", "env", "says"),
    [
        (("GR-7F3K",), {"STINT_URL": ""}, "STINT_URL"),
        (("GR-7F3K",), {"STINT_URL": "http://stint.example"}, "https"),
        (("GR-7F3K",), {"STINT_URL": "file:///etc/passwd"}, "STINT_URL"),
        (("GR-7F3K",), {"STINT_TOKEN": ""}, "STINT_TOKEN"),
        (("GR-7F3K",), {"STINT_TOKEN": "a\r\nX: y"}, "STINT_TOKEN"),
        (("../me",), {}, "reference"),
        (("GR-7F3K", "more", "yet"), {}, "usage"),
    ],
)
def test_what_can_not_be_asked_is_not_asked(stint, words, env, says):
    done = run(stint, *words, **env)
    assert done.returncode in (1, 2)
    assert says in done.stderr
    assert stint.asked == []


def test_a_kubeconfig_with_the_plugin_holds_no_secret():
    text = exec_kubeconfig(
        name="prod",
        server="https://10.0.0.1:6443",
        ca="PEM",
        namespace="web",
        grant_ref="GR-7F3K",
        stint_url="https://stint.example",
    )
    user = json.loads(text)["users"][0]["user"]
    assert user["exec"]["command"] == "stint-kube-credential"
    assert user["exec"]["args"] == ["GR-7F3K"]
    assert user["exec"]["env"] == [{"name": "STINT_URL", "value": "https://stint.example"}]
    assert "token" not in user
