"""Traces go over the life of a grant, when they are on; when they are off, they cost nothing."""

from collections import Counter

import pytest
from django.test import RequestFactory
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from broker.celery import _lapse_by_the_database
from broker.edge import Edge
from broker.kernel import trace_ids, tracing
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


def test_the_life_of_a_grant_is_one_trace_over_all_processes_with_ids_and_nothing_else(world, now, spans):
    with tracing.span("stint.http"):
        grant = world.grant()
    acts.enter(grant, now=now)
    # Another process knows nothing of the spans before.
    with tracing.span("stint.task grants.deprovision"):
        end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=now)
        acts.undo(grant, now=now)
    life = [span for span in spans() if "stint.request_id" in span.attributes]
    assert [span.name for span in life] == [
        "stint.request",
        "stint.decide",
        "stint.start",
        "stint.session",
        "stint.end",
        "stint.revoke",
    ]
    assert len({span.context.trace_id for span in life}) == 1
    first = life[0]
    assert first.parent is None
    assert {span.parent.span_id for span in life[1:]} == {first.context.span_id}
    assert {span.attributes.get("stint.grant") for span in life[1:]} == {None, grant.ref}
    assert {key for span in spans() for key in span.attributes} == {"stint.request_id", "stint.grant"}


def test_links_lead_from_a_page_or_a_task_to_the_life_and_back(spans):
    with tracing.span("stint.http"), tracing.span_in(trace_ids.Life(7), "stint.end"):
        pass
    inner, page = spans()
    assert inner.links[0].context.span_id == page.context.span_id
    assert page.links[0].context.trace_id == inner.context.trace_id != page.context.trace_id


def test_what_a_command_does_is_below_it(spans):
    with tracing.span_in(trace_ids.Life(7, "GR-7F3K"), "stint.command"):
        with tracing.span_in(trace_ids.Life(7, "GR-7F3K"), "stint.session"):
            pass
    session, command = spans()
    assert (session.parent.span_id, session.links) == (command.context.span_id, ())


def test_the_sampler_keeps_a_life_as_a_whole_or_not_at_all(spans, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    exporter = InMemorySpanExporter()
    tracing.start("test", exporter, installation="https://stint.example.com")
    begin = tracing.begins("stint.request", trace_ids.Life)(lambda number: number)
    for number in range(40):
        begin(number)
        with tracing.span_in(trace_ids.Life(number), "stint.end"):
            pass
    kept = Counter(span.context.trace_id for span in exporter.get_finished_spans())
    assert set(kept.values()) == {2}
    assert 5 < len(kept) < 35


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
    assert headers[trace_ids.HEADER] == f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"


def test_an_error_is_noted_without_its_text(spans):
    with pytest.raises(ValueError, match="secret"), tracing.span("x"):
        raise ValueError("secret")
    (span,) = spans()
    assert (span.status.description, span.events) == ("ValueError", ())


def test_while_they_are_off_there_are_none():
    with tracing.span("x"):
        assert tracing.traceparent() == ""
