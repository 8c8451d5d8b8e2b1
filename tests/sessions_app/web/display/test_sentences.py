"""Each event in plain words."""

import json

import pytest

from broker.audit.events import Event
from broker.audit.models import AuditEntry
from sessions_app.models import EndReason
from sessions_app.web.display.sentences import LONGEST, sentence
from tests.support.world.reading import says_nothing_of


def told(event: str, ref: str = "GR-7F3K", actor: str = "alice", **data) -> str:
    body = json.dumps({"data": data})
    return sentence(AuditEntry(event=event, object_ref=ref, object_type="grant", actor=actor, body=body))


@pytest.mark.parametrize("event", list(Event))
def test_every_event_has_a_sentence_even_without_facts(event):
    text = told(event)
    assert text.startswith("alice ")
    assert text.endswith(".")
    assert event.value not in text
    says_nothing_of(text, "None", "{")


def test_an_event_that_is_not_known_is_told_as_it_is():
    assert told("grant.teleported") == "alice: grant.teleported on GR-7F3K."


@pytest.mark.parametrize(
    ("event", "data", "text"),
    [
        (
            "request.created",
            {"cluster": "web", "command_set": "restart-web v1", "duration": 5400, "reason": "Patch."},
            "alice submitted GR-7F3K: restart-web v1 on web for 1 h 30 min: Patch.",
        ),
        (
            "command.refused",
            {"line": "id", "target": "web-1", "why": "no command fits"},
            "alice was refused “id” on web-1 under GR-7F3K: no command fits.",
        ),
        (
            "command.allowed",
            {"argv": ["echo", "x"], "target": "web-1"},
            "alice ran “echo x” on web-1 under GR-7F3K.",
        ),
        (
            "grant.revoking",
            {"reason": "revoked", "note": "Lost laptop"},
            f"alice started revoking GR-7F3K ({EndReason.REVOKED.label.lower()}): Lost laptop.",
        ),
        (
            "request.approved",
            {"missing": 1, "settled": False},
            "alice approved GR-7F3K; 1 more approval needed.",
        ),
        ("record.verified", {"entries": 48211}, "alice verified 48,211 entries: intact."),
        (
            "policy.changed",
            {"grants_ended": ["GR-A", "GR-B"]},
            "alice changed policy GR-7F3K; 2 grants ended.",
        ),
    ],
)
def test_what_happened_is_told_with_its_facts(event, data, text):
    assert told(event, **data) == text


def test_stints_own_parts_have_names_and_long_texts_end():
    assert told("request.lapsed", "REQ-7", actor="system:sweep").startswith("Stint closed REQ-7")
    assert told("grant.active", actor="system:new-part") == "Stint (new-part) activated GR-7F3K."
    assert len(told("request.created", reason="x" * 4000)) < LONGEST + 20
