"""Spans created with OpenTelemetry's SDK. Only `tracing` imports this module, and only while tracing is on.

OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_…) set the destination of spans. Source:
https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagate import extract, inject
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, SpanContext, StatusCode, TraceFlags

from broker.kernel.trace_ids import HEADER, Life

# The IDs of the trace and of the span that starts next; None for random IDs.
_given: ContextVar[tuple[int, int] | None] = ContextVar("given", default=None)


class _Ids(RandomIdGenerator):  # type: ignore[misc]  # mypy doesn't know the optional package
    def generate_trace_id(self) -> int:
        given = _given.get()
        return given[0] if given else super().generate_trace_id()

    def generate_span_id(self) -> int:
        given = _given.get()
        return given[1] if given else super().generate_span_id()


class Spans:
    """The spans of this process. With ``exporter`` None, spans are exported with OTLP over HTTP. Raises
    ImportError if the package for this is missing.
    """

    def __init__(self, version: str, exporter: SpanExporter | None, installation: str) -> None:
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES of the environment take precedence.
        resource = Resource.create({"service.name": "stint", "service.version": version})
        self._provider = TracerProvider(resource=resource, id_generator=_Ids())
        self._provider.add_span_processor(
            BatchSpanProcessor(_otlp()) if exporter is None else SimpleSpanProcessor(exporter)
        )
        self._tracer = self._provider.get_tracer("stint", version)
        self._installation = installation

    @contextmanager
    def below(self, name: str, traceparent: str, attributes: Mapping[str, str]) -> Iterator[None]:
        """Run the block in a span below ``traceparent`` if that is valid, otherwise below the current one."""
        parent = extract({HEADER: traceparent}) if traceparent else None
        with self._run(name, parent, (), attributes):
            yield

    @contextmanager
    def within(self, life: Life, name: str, attributes: Mapping[str, str]) -> Iterator[None]:
        """Run the block in a span of a lifetime. Its parent is the current span if that belongs to the same
        lifetime, otherwise the first span, with links from and to the current span.
        """
        first, current = self._first_of(life), trace.get_current_span()
        attributes = {**attributes, **_named(life)}
        if current.get_span_context().trace_id == first.trace_id:
            parent, links = None, []
        else:
            parent, links = trace.set_span_in_context(trace.NonRecordingSpan(first)), _links(current, first)
        with self._run(name, parent, links, attributes):
            yield

    def first(self, life: Life, name: str, began: int) -> None:
        """Export the first span of a lifetime, which began at ``began`` (Unix nanoseconds) and ends now."""
        context = self._first_of(life)
        links = _links(trace.get_current_span(), context)
        token = _given.set((context.trace_id, context.span_id))
        try:
            started = self._tracer.start_span(name, Context(), links=links, start_time=began)
        finally:
            _given.reset(token)
        started.set_attributes(_keys(_named(life)))
        started.end()

    def traceparent(self) -> str:
        """Return the header of the current span; empty if there is none."""
        carrier: dict[str, str] = {}
        inject(carrier)
        return carrier.get(HEADER, "")

    def _first_of(self, life: Life) -> SpanContext:
        trace_id, span_id = life.ids(self._installation)
        # Each process decides the same way, because samplers use only the ID.
        kept = self._provider.sampler.should_sample(Context(), trace_id, "stint.request")
        flags = TraceFlags.SAMPLED if kept.decision.is_sampled() else TraceFlags.DEFAULT
        return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))

    @contextmanager
    def _run(
        self, name: str, parent: Context | None, links: Sequence[Link], attributes: Mapping[str, str]
    ) -> Iterator[None]:
        with self._tracer.start_as_current_span(
            name,
            parent,
            attributes=_keys(attributes),
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        ) as current:
            try:
                yield
            except BaseException as error:
                current.set_status(StatusCode.ERROR, type(error).__name__)
                raise


def _otlp() -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415  # tests don't have it
        OTLPSpanExporter,
    )

    exporter: SpanExporter = OTLPSpanExporter()
    return exporter


def _named(life: Life) -> dict[str, str]:
    return {"request_id": str(life.request_id), **({"grant": life.grant} if life.grant else {})}


def _keys(attributes: Mapping[str, str]) -> dict[str, str]:
    return {f"stint.{name}": value for name, value in attributes.items()}


def _links(current: trace.Span, other: SpanContext) -> list[Link]:
    """Link the current span to a span of another trace, and return the link back; none if there is no current
    span.
    """
    if not current.get_span_context().is_valid:
        return []
    current.add_link(other)
    return [Link(current.get_span_context())]
