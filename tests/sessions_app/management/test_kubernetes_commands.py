"""`kubernetes_target_setup` and `kube_credential`, as people run them."""

from io import StringIO

import pytest
import yaml
from django.core.management import CommandError, call_command

LOOK = """\
name: look
kind: kubernetes
summary: See what runs in a namespace
risk: low
parameters:
  ns: {pattern: "web(-[a-z0-9]{1,40})?"}
commands:
  - run: get pods -n {ns}
    effect: read
examples:
  allow: ["get pods -n web"]
  refuse: ["get secrets -n web"]
"""


def run(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


@pytest.fixture
def look(world):
    world.apply({"command-sets/look.yaml": LOOK})
    return world


def test_the_set_up_gives_stint_what_the_command_set_gives_and_no_more(look):
    made = list(
        yaml.safe_load_all(
            run("kubernetes_target_setup", "prod", "--command-set", "look", "--namespace", "web")
        )
    )
    roles = {
        (one["metadata"].get("namespace", ""), one["metadata"]["name"]): one["rules"]
        for one in made
        if "rules" in one
    }
    assert roles["web", "stint-ceiling"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "get"]}
    ]
    assert ("", "stint-ceiling") not in roles


@pytest.mark.parametrize("words", [(), ("--command-set", "no-such"), ("--command-set", "restart-web")])
def test_a_set_up_without_a_command_set_is_refused(look, words):
    with pytest.raises(CommandError, match="--command-set"):
        run("kubernetes_target_setup", "prod", *words)


def test_the_plugin_says_what_it_needs(monkeypatch, capsys):
    monkeypatch.delenv("STINT_URL", raising=False)
    err = StringIO()
    with pytest.raises(SystemExit):
        call_command("kube_credential", "GR-7F3K", stderr=err)
    assert "STINT_URL" in err.getvalue()
