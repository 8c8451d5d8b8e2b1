"""How a source of work is asked, between what its document says and what is stored."""

import pytest

from broker.kernel.errors import InvalidInput
from sessions_app.models import WorkflowSource
from sessions_app.operations.workflows.workflow_sources import (
    Secrets,
    SourceUnreadable,
    adapter_of,
    read_secrets,
    secrets_of,
    shown_document,
)
from sessions_app.policy.catalog import SourceDocument
from sessions_app.policy.documents import DocumentError
from tests.support.world.acts import change
from tests.support.world.sources import DESK, SOURCE, speaking_for

URL = "http://127.0.0.1:1/tickets/{id}"
WEBHOOK = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def desk(world) -> WorkflowSource:
    change(world, {"workflow-sources/desk.yaml": DESK})
    return WorkflowSource.objects.get()


def document(*, provider="standard", webhook_secrets=("(stored)",), **parameters) -> SourceDocument:
    given = {"url": URL, "token": "(stored)", **parameters}
    data = {"name": "desk", "provider": provider, "clusters": ["web"], "parameters": given}
    return SourceDocument.model_validate({**data, "webhook_secrets": webhook_secrets})


def problems(document, before, *, on_server=False) -> dict[str, str]:
    with pytest.raises(DocumentError) as refusal:
        read_secrets(document, before, on_server=on_server)
    return {one.path: one.message for one in refusal.value.problems}


def test_secrets_are_sealed_and_shown_nowhere(desk):
    secrets = secrets_of(desk)
    assert secrets == Secrets({"token": "desk-token-of-stint"}, (WEBHOOK,))
    for place in (repr(secrets), str(desk.document), str(bytes(desk.sealed)), str(shown_document(desk))):
        assert "desk-token" not in place
        assert WEBHOOK not in place


def test_a_source_without_secrets_has_none():
    assert secrets_of(WorkflowSource()) == Secrets()


def test_sent_back_as_it_is_shown_it_is_what_is_stored(desk):
    shown = SourceDocument.model_validate(shown_document(desk))
    assert read_secrets(shown, desk, on_server=False) == (desk.document, secrets_of(desk))


@pytest.mark.parametrize("changes", [{"url": "https://elsewhere.example/{id}"}, {"root": "result"}])
def test_a_stored_secret_is_not_sent_where_it_has_not_gone_before(desk, changes):
    said = problems(document(**changes), desk)
    assert "enter it again" in said["parameters.token"]
    # Whoever may change the server's files may do so.
    read_secrets(document(**changes), desk, on_server=True)
    _, kept = read_secrets(document(**changes, token="again"), desk, on_server=False)
    assert kept.parameters == {"token": "again"}


def test_nothing_is_stored_for_a_new_source_or_of_another_provider(desk):
    for given, before in (
        (document(), None),
        (document(provider="pagerduty", url="https://api.pagerduty.com"), desk),
    ):
        said = problems(given, before)
        assert said["parameters.token"] == said["webhook_secrets[0]"] == "no secret is stored: enter it"


def test_secrets_of_the_server_are_read_on_it_alone(desk, monkeypatch):
    monkeypatch.setenv("DESK_TOKEN", "of-the-environment")
    given = document(token={"env": "DESK_TOKEN"})
    assert "only `manage.py apply`" in problems(given, desk)["parameters.token"]
    _, kept = read_secrets(given, desk, on_server=True)
    assert kept.parameters["token"] == "of-the-environment"


def test_what_does_not_fit_is_told_at_its_place_without_the_secret(desk):
    said = problems(document(url="http://elsewhere.example/{id}", token="canary-token"), desk)
    assert "https://" in said["parameters.url"]
    assert "canary" not in str(said)


@pytest.mark.parametrize("secret", ["", " " * 9, "guess"])
def test_a_webhook_secret_that_anybody_could_guess_is_not_taken(desk, secret):
    said = problems(document(webhook_secrets=[secret]), desk)
    assert "too short: use at least" in said["webhook_secrets[0]"]


def test_a_provider_that_nothing_reads_is_refused_with_those_that_there_are(desk):
    said = problems(document(provider="nobody"), desk)["provider"]
    assert "unknown provider nobody" in said
    assert "pagerduty" in said


def test_one_that_can_not_be_asked_says_what_to_do(desk, settings):
    desk.document["parameters"] = {"url": "nowhere"}
    with pytest.raises(SourceUnreadable, match="must save the source again"):
        adapter_of(desk)
    desk.provider = "nobody"
    with pytest.raises(SourceUnreadable, match="Install the adapter"):
        adapter_of(desk)
    desk.refresh_from_db()
    settings.SECRET_KEY = "another-key-than-that-under-which-it-was-stored"
    with pytest.raises(SourceUnreadable, match="must save the source again"):
        adapter_of(desk)


def test_what_was_sealed_under_another_key_counts_as_not_stored_and_can_be_given_again(desk, settings):
    settings.SECRET_KEY = "another-key-than-that-under-which-it-was-stored"
    assert shown_document(desk)["parameters"] == {"url": URL}
    assert problems(document(), desk)["parameters.token"] == "no secret is stored: enter it"
    _, kept = read_secrets(document(token="again", webhook_secrets=[WEBHOOK]), desk, on_server=False)
    assert kept == Secrets({"token": "again"}, (WEBHOOK,))


def test_nor_is_one_of_a_file(world):
    guessed = SOURCE.replace("first-secret-of-the-pager", "guess")
    with speaking_for(), pytest.raises(InvalidInput) as refusal:
        world.apply({"workflow-sources/pager.yaml": guessed})
    assert "too short: use at least" in str(refusal.value.fields)
