"""OpenTelemetry traces of a grant's lifecycle. They are off by default; OpenTelemetry is then not imported.

OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_…) set the destination of spans. Source:
https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from django.core.exceptions import ImproperlyConfigured

P = ParamSpec("P")
T = TypeVar("T")

HEADER = "traceparent"
# The tracer; None while traces are off.
_tracer: Any = None


def start(version: str, exporter: Any = None) -> None:
    """Turn traces on for this process. ``exporter`` None: OTLP over HTTP. Raises ImproperlyConfigured."""
    global _tracer
    try:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # these cost nothing while traces are off
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor  # noqa: PLC0415

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
                OTLPSpanExporter,
            )

            processor: Any = BatchSpanProcessor(OTLPSpanExporter())
        else:
            processor = SimpleSpanProcessor(exporter)
    except ImportError as error:
        raise ImproperlyConfigured(
            f"STINT_TRACES is on, but {error.name} is not installed. Run"
            " `pip install --require-hashes -r .requirements/locked/traces.txt`, or unset it."
        ) from error
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES of the environment take precedence.
    provider = TracerProvider(resource=Resource.create({"service.name": "stint", "service.version": version}))
    provider.add_span_processor(processor)
    _tracer = provider.get_tracer("stint", version)


def stop() -> None:
    """Turn traces off."""
    global _tracer
    _tracer = None


@contextmanager
def span(name: str, traceparent: str = "", **attributes: str | int) -> Iterator[None]:
    """Run the block in a span, whose parent is ``traceparent`` if that is valid, otherwise the current span.

    Of an error, the span has only the type, because the message may contain output of commands.
    """
    if _tracer is None:
        yield
        return
    from opentelemetry.propagate import extract  # noqa: PLC0415
    from opentelemetry.trace import StatusCode  # noqa: PLC0415

    parent = extract({HEADER: traceparent}) if traceparent else None
    named = {f"stint.{key}": value for key, value in attributes.items()}
    with _tracer.start_as_current_span(
        name, parent, attributes=named, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:
            current.set_status(StatusCode.ERROR, type(error).__name__)
            raise


def traced(name: str, *ids: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function to run in a span. ``ids``: the arguments to add as attributes."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def inner(*args: P.args, **kwargs: P.kwargs) -> T:
            if _tracer is None:
                return function(*args, **kwargs)
            given: Mapping[str, Any] = kwargs
            with span(name, **{key: given[key] for key in ids if key in given}):
                return function(*args, **kwargs)

        return inner

    return decorate


def traceparent() -> str:
    """Return the `traceparent` header of the current span, or an empty string."""
    if _tracer is None:
        return ""
    from opentelemetry.propagate import inject  # noqa: PLC0415

    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier.get(HEADER, "")
