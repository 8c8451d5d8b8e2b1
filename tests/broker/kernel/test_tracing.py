"""Traces go over the life of a grant, when they are on; when they are off, they cost nothing."""

import pytest
from django.test import RequestFactory
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from broker.celery import _lapse_by_the_database
from broker.edge import Edge
from broker.kernel import tracing
from sessions_app.models import EndReason
from sessions_app.operations.grants.end_grant import end_grant
from tests.support.world import acts

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans():
    """The spans that ended, the first one first."""
    exporter = InMemorySpanExporter()
    tracing.start("test", exporter)
    yield exporter.get_finished_spans
    tracing.stop()


def test_the_life_of_a_grant_is_spans_with_ids_and_nothing_else(world, now, spans):
    grant = world.grant()
    acts.enter(grant, now=now)
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=now)
    acts.undo(grant, now=now)
    assert [span.name for span in spans()] == [
        "stint.request",
        "stint.decide",
        "stint.start",
        "stint.session",
        "stint.end",
        "stint.revoke",
    ]
    assert {key for span in spans() for key in span.attributes} == {"stint.request_id", "stint.grant_id"}


def test_a_request_continues_the_trace_of_a_trusted_proxy_and_hands_it_on_to_the_worker(db, spans, settings):
    settings.BEHIND_PROXY = True
    headers: dict = {}

    def app(environ, start):
        _lapse_by_the_database(headers=headers)
        start("200 OK", [])
        return []

    Edge(app)(RequestFactory().get("/", HTTP_TRACEPARENT=PARENT).environ, lambda *_: None)
    (span,) = spans()
    assert f"{span.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{span.parent.span_id:016x}" == PARENT.split("-")[2]
    assert headers[tracing.HEADER] == f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"


def test_an_error_is_noted_without_its_text(spans):
    with pytest.raises(ValueError, match="secret"), tracing.span("x"):
        raise ValueError("secret")
    (span,) = spans()
    assert (span.status.description, span.events) == ("ValueError", ())


def test_while_they_are_off_there_are_none():
    with tracing.span("x"):
        assert tracing.traceparent() == ""
