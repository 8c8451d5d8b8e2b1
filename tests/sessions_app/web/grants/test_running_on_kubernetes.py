"""Running commands on a cluster from the page of a grant, as far as it needs no gateway."""

import pytest
from django.core.management import call_command

from sessions_app.models import CommandOrder
from tests.sessions_app.gateways.kubernetes.test_webhook import reached_directly
from tests.sessions_app.operations.test_kubernetes_grants import SET, cluster, kube, started  # noqa: F401
from tests.support.servers.kubernetes_place import accepted
from tests.support.world.reading import read, says

EXEC = """\
  - run: exec {pod} -n {ns} -c app -- echo say {word}
    where: {pod: {choice: [web-1, web-2]}, word: {pattern: "[a-z]+"}}
    effect: change
"""


@pytest.fixture
def grant(kube, cluster, capsys):  # noqa: F811
    text = accepted(SET.replace("examples:", f"{EXEC}examples:"))
    kube.apply({**kube.catalog, "command-sets/scale-shop.yaml": text})
    call_command("kubernetes_target_setup", "prod", "--command-set", "scale-shop")
    cluster.apply(capsys.readouterr().out)
    return started(kube)


def page_of(client, grant, query=""):
    return read(client, f"/grants/{grant.ref}/{query}")


def run(client, grant, index, **values):
    form = {f"v.{index}.{name}": value for name, value in values.items()}
    return client.post(f"/grants/{grant.ref}/run/", {"index": index, "target": "prod-1", **form})


def test_each_command_that_is_one_request_has_a_form_and_the_others_say_where_they_run(grant, as_alice):
    page = page_of(as_alice, grant)
    assert page.count(f'action="/grants/{grant.ref}/run/"') == 2
    assert page.count(", from a terminal") == 1
    says(page, 'name="v.2.pod"', f"/grants/{grant.ref}/credential/")
    assert "ssh -p" not in page


def test_the_page_says_that_credentials_share_a_token(grant, as_alice):
    page = page_of(as_alice, grant)
    assert "have the same token" in page
    assert "replaces the previous one" not in page


def test_a_command_for_a_terminal_alone_and_others_grants_take_no_order(grant, as_alice, as_bob):
    assert run(as_alice, grant, 1).status_code == 400
    assert run(as_bob, grant, 0).status_code == 404
    assert not CommandOrder.objects.exists()


def test_a_cluster_that_is_reached_directly_offers_no_form(kube, as_alice):  # noqa: F811
    grant = started(reached_directly(kube))
    assert "/run/" not in page_of(as_alice, grant)
    assert run(as_alice, grant, 0).status_code == 400
    assert not CommandOrder.objects.exists()
