"""A duration means the same at every door: the page, the API, the command on laptops, and documents."""

from __future__ import annotations

import click
import pytest
from django.http import QueryDict
from django.test import Client

from broker.cli.options import Span
from broker.kernel.errors import InvalidInput
from sessions_app.models import AccessRequest
from sessions_app.policy.documents import DocumentError, load_yaml, validate
from sessions_app.policy.policies import PolicyDocument
from sessions_app.web.shell.forms import draft_of_link
from tests.sessions_app.api.conftest import Caller, token_for
from tests.support.world.factors import just_signed_in

POLICY = "name: p\nclusters: [web]\ncommand_sets: [restart-web]\nrequesters: {groups: [a]}\napprovals: none\nmax_duration: %s\n"
FORM = {
    "kind": "planned", "cluster": "web", "command_set": "restart-web", "reason": "Nightly", "p.unit": "nginx", "targets_of": "web",
    "target": ["web-1"], "send": "1",
}  # fmt: skip
BODY = {
    "cluster": "web", "command_set": "restart-web", "reason": "Nightly", "parameters": {"unit": "nginx"}, "targets": ["web-1"],
}  # fmt: skip


def by_page(world, text: str) -> str:
    """Ask for so long on the page; return what it says when it refuses."""
    client = just_signed_in(Client(), world.alice)
    answer = client.post("/requests/new/", {**FORM, "other_duration": text})
    return answer.content.decode() if answer.status_code == 400 else ""


def by_api(world, text: str) -> str:
    answer = Caller(world.alice, token_for(world.alice, world.now)).post(
        "/requests", {**BODY, "duration": text}
    )
    return str(answer.body) if answer.status_code == 400 else ""


def by_command(world, text: str) -> str:
    """The command on laptops, which then sends seconds."""
    try:
        seconds = Span().convert(text, None, None)
    except click.BadParameter as error:
        return str(error)
    caller = Caller(world.alice, token_for(world.alice, world.now))
    assert caller.post("/requests", {**BODY, "duration": seconds}).status_code == 201
    return ""


def by_link(world, text: str) -> str:
    try:
        ask = draft_of_link(QueryDict(f"cluster=web&set=restart-web&for={text}")).new_request()
    except InvalidInput as error:
        return f"{error.message} {error.hint}"
    AccessRequest.objects.all().delete()
    assert by_api(world, f"{ask.duration}s") == ""
    return ""


DOORS = (by_page, by_api, by_command, by_link)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("text", ["1h30m", "1.5h", "1h 30m", "90 minutes", "1 hour 30 min"])
def test_an_hour_and_a_half_is_the_same_time_at_every_door(world, door, text):
    assert door(world, text) == ""
    assert AccessRequest.objects.get().duration == 5400


@pytest.mark.parametrize("door", DOORS)
def test_a_number_alone_asks_for_its_unit_at_every_door_and_asks_for_nothing(world, door):
    assert "90 needs a unit: use 90m for minutes or 90h for hours." in door(world, "90")
    assert not AccessRequest.objects.exists()


@pytest.mark.parametrize(("text", "seconds"), [("2 hours", 7200), ("1.5h", 5400), ("1h 30m", 5400)])
def test_documents_are_read_by_the_same_parser(text, seconds):
    assert validate(PolicyDocument, load_yaml(POLICY % text)).max_duration == seconds


@pytest.mark.parametrize("text", ["90", '"90"'])
def test_a_document_with_a_number_alone_is_asked_for_its_unit(text):
    with pytest.raises(DocumentError) as refused:
        validate(PolicyDocument, load_yaml(POLICY % text))
    (problem,) = refused.value.problems
    assert "90 needs a unit: use 90m for minutes or 90h for hours" in problem.message
    assert problem.path == "max_duration"


def test_the_simulator_asks_for_the_unit_too(world):
    question = {"s.person": "alice", "s.cluster": "web", "s.command_set": "restart-web", "s.duration": "90"}
    page = just_signed_in(Client(), world.admin).get(
        "/policies/web-work/simulate/", question, headers={"HX-Request": "true"}
    )
    assert "90 needs a unit" in page.content.decode()
