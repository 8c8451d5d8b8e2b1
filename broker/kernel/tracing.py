"""OpenTelemetry traces over the life of a grant: off by default, and then Stint imports nothing of OpenTelemetry.

Source: https://www.w3.org/TR/trace-context/. Where spans are sent is set by OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_…).
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
# What starts spans; None while traces are off.
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
            f"STINT_TRACES is on, but {error.name} is not installed. Run `pip install --require-hashes -r .requirements/locked/traces.txt`, or "
            "unset it."
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
    """Do what is in the block in a span: below the one that ``traceparent`` names if it is valid, else below the current one.

    An error is noted by its type alone, because its text may name what commands print.
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
    """Do what the function does in a span, with these of its arguments, which are ids, as attributes."""

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
    """Return the current span as a header for those who do the rest; empty if there is none."""
    if _tracer is None:
        return ""
    from opentelemetry.propagate import inject  # noqa: PLC0415

    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier.get(HEADER, "")
