"""A duration means the same at every entry point: the page, the API, the command on laptops, and
documents.
"""

import click
import pytest
from django.http import QueryDict

from broker.cli.options import Span
from broker.kernel.errors import InvalidInput
from sessions_app.models import AccessRequest
from sessions_app.policy.documents import DocumentError, load_yaml, validate
from sessions_app.policy.policies import PolicyDocument
from sessions_app.web.forms.request_draft import draft_of_link
from tests.sessions_app.api.conftest import Caller, token_for

POLICY = (
    "name: p\nclusters: [web]\ncommand_sets: [restart-web]\nrequesters: {groups: [a]}\napprovals:"
    " none\nmax_duration: %s\n"
)
BODY = {
    "cluster": "web",
    "command_set": "restart-web",
    "reason": "Nightly",
    "parameters": {"unit": "nginx"},
    "targets": ["web-1"],
}


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


ENTRY_POINTS = (by_api, by_command, by_link)


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
@pytest.mark.parametrize("text", ["1.5h", "1 hour 30 min"])
def test_an_hour_and_a_half_is_the_same_time_at_every_entry_point(world, entry_point, text):
    assert entry_point(world, text) == ""
    assert AccessRequest.objects.get().duration == 5400


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_a_number_alone_asks_for_its_unit_at_every_entry_point_and_asks_for_nothing(world, entry_point):
    assert "90 needs a unit: use 90m for minutes or 90h for hours." in entry_point(world, "90")
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
