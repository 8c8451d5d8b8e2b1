"""OpenTelemetry traces. They are off by default, and OpenTelemetry is imported only if they are on.

One trace covers the whole lifetime of a grant, from its request to the proof of its end, in all processes.
The IDs of the trace and of its first span are derived from the request, so nothing is stored or passed on for
it. Other activity, such as a page or a task, has its own trace; links connect the two.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from django.core.exceptions import ImproperlyConfigured

from broker.kernel.trace_ids import Life

if TYPE_CHECKING:
    from broker.kernel.spans import Spans

P = ParamSpec("P")
T = TypeVar("T")

# None while tracing is off.
_spans: Spans | None = None


def start(version: str, exporter: Any = None, *, installation: str = "") -> None:
    """Turn tracing on for this process. With ``exporter`` None, spans are exported with OTLP over HTTP.
    Raises ImproperlyConfigured.

    ``installation`` is the same in all processes of an installation, and different in others.
    """
    global _spans
    try:
        from broker.kernel.spans import Spans  # noqa: PLC0415  # it costs nothing while traces are off

        _spans = Spans(version, exporter, installation)
    except ImportError as error:
        raise ImproperlyConfigured(
            f"STINT_TRACES is on, but {error.name} is not installed. Run `pip install --require-hashes "
            "-r .requirements/locked/traces.txt`, or unset STINT_TRACES."
        ) from error


def stop() -> None:
    """Turn tracing off."""
    global _spans
    _spans = None


@contextmanager
def span(name: str, traceparent: str = "", **attributes: str) -> Iterator[None]:
    """Run the block in a span, whose parent is ``traceparent`` if that is valid, otherwise the current span.

    If an error occurs, the span gets only its type, because the message may contain output of commands.
    """
    if _spans is None:
        yield
        return
    with _spans.below(name, traceparent, attributes):
        yield


@contextmanager
def span_in(life: Life, name: str, **attributes: str) -> Iterator[None]:
    """Run the block in a span of a grant's lifetime."""
    if _spans is None:
        yield
        return
    with _spans.within(life, name, attributes):
        yield


def traced(name: str, life: Callable[..., Life]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function to run in a span of a grant's lifetime. ``life`` gets the function's arguments, and
    is called only while tracing is on.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def inner(*args: P.args, **kwargs: P.kwargs) -> T:
            if _spans is None:
                return function(*args, **kwargs)
            with _spans.within(life(*args, **kwargs), name, {}):
                return function(*args, **kwargs)

        return inner

    return decorate


def begins(name: str, life: Callable[[T], Life]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function that begins a grant's lifetime. Its span is the first of the trace. ``life`` gets
    the function's result. If the function raises, there is no span.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def inner(*args: P.args, **kwargs: P.kwargs) -> T:
            began = time.time_ns()
            result = function(*args, **kwargs)
            if _spans is not None:
                _spans.first(life(result), name, began)
            return result

        return inner

    return decorate


def traceparent() -> str:
    """Return the `traceparent` header of the current span; empty if there is none."""
    return "" if _spans is None else _spans.traceparent()
