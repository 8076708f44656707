"""Traces of OpenTelemetry: a span for each call, and one for each of its parts.

The process that answers the caller makes all spans of a call, from the durations in the answer of
the inference side: other processes need neither the packages nor a way to the collector, and no
span can lie outside its call.
"""

import logging
import time
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from modelyard.domain.requests import Answer
from modelyard.domain.values import ApiCall, Invocation
from modelyard.router.router import outcome
from modelyard.sagemaker.statuses import plain_status

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

logger = logging.getLogger(__name__)

_EXPORTER = "OTEL_TRACES_EXPORTER"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_NS = 1e9


class Traces:
    """Makes the spans of the calls that one process answers."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("modelyard")
        self._trace = trace
        self._w3c = TraceContextTextMapPropagator()

    def note(self, call: Invocation | ApiCall, answer: Answer, elapsed_s: float) -> None:
        """Make the spans of a call that has just been answered (`NoteCall`).

        The parts of a call follow one another, and the last one ends with the answer.
        """
        ended_at = time.time_ns()
        began_at = ended_at - int(elapsed_s * _NS)
        trace = self._trace
        span = self._tracer.start_span(
            "call",
            self._w3c.extract({"traceparent": _traceparent(call)}),
            trace.SpanKind.SERVER,
            {
                "modelyard.endpoint": call.endpoint_name,
                "modelyard.model": call.target_model,
                "modelyard.outcome": outcome(answer),
                "modelyard.request_id": call.request_id,
            },
            start_time=began_at,
        )
        if answer.error is not None and plain_status(answer.error) >= 500:
            span.set_status(trace.StatusCode.ERROR, answer.error.message)
        inside, part_ends_at = trace.set_span_in_context(span), ended_at
        for name, seconds in reversed(answer.timings.parts):
            if seconds > 0:
                part_began_at = max(began_at, part_ends_at - int(seconds * _NS))
                part = self._tracer.start_span(name, inside, start_time=part_began_at)
                part.end(part_ends_at)
                part_ends_at = part_began_at
        span.end(ended_at)

    def close(self) -> None:
        """Send the spans that were not sent yet."""
        self._provider.shutdown()


def open_traces(environ: Mapping[str, str]) -> Traces | None:
    """Return what makes spans if the `OTEL_...` variables ask for traces, else None.

    The variables are those of the OpenTelemetry specification, and the SDK reads most of them.
    If they cannot be followed there are no traces, and a warning says why: others may have set
    them for all programs of a machine.
    """
    names = _exporter_names(environ)
    try:
        return _opened(names, environ) if names else None
    except ImportError as error:
        reason = f"{error.name or error} is not installed: pip install 'modelyard[otel]'"
    except Exception as error:  # exporters of others read the variables, too
        reason = f"{type(error).__name__}: {error}"
    logger.warning("no traces", extra={"reason": reason})
    return None


def _opened(names: list[str], environ: Mapping[str, str]) -> Traces:
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporters = [_exporter(name) for name in names]
    is_named = "OTEL_SERVICE_NAME" in environ or "service.name" in environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    resource = Resource.create() if is_named else Resource.create({SERVICE_NAME: "modelyard"})
    provider = TracerProvider(resource=resource)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return Traces(provider)


def _exporter_names(environ: Mapping[str, str]) -> list[str]:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    default = "otlp" if any(environ.get(name) for name in _ENDPOINTS) else "none"
    asked = (environ.get(_EXPORTER) or default).split(",")
    protocol = next(filter(None, map(environ.get, _PROTOCOLS)), "http")
    otlp = f"otlp_proto_{protocol.partition('/')[0]}"
    names = [otlp if name.strip() == "otlp" else name.strip() for name in asked]
    return [name for name in names if name != "none"]


def _exporter(name: str) -> "SpanExporter":
    found = entry_points(group="opentelemetry_traces_exporter", name=name)
    if not found:
        raise ImportError(name=f"the exporter {name}")
    made: SpanExporter = next(iter(found)).load()()
    return made


def _traceparent(call: Invocation | ApiCall) -> str:
    if isinstance(call, Invocation):
        return call.traceparent
    return next((value for name, value in call.headers if name == "traceparent"), "")
