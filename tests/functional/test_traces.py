"""A collector of this test gets the spans of a served process, over OTLP."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.functional import artifacts
from tests.functional.served import DirectoryModels
from tests.serving import Server

pytestmark = [
    pytest.mark.long,
    pytest.mark.local_door("deployments are traced by AWS X-Ray"),
    pytest.mark.skipif(
        not entry_points(group="opentelemetry_traces_exporter", name="otlp_proto_http"),
        reason="make setup installs the exporter",
    ),
]
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Collector:
    """What was received: the body of each request to `/v1/traces`."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.url = ""

    def spans(self) -> list[tuple[str, Any]]:
        """Return each span with the service that sent it."""
        found = []
        for body in self.received:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                named = {one.key: one.value.string_value for one in resource.resource.attributes}
                for scope in resource.scope_spans:
                    found += [(named["service.name"], span) for span in scope.spans]
        return found


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/traces":
                collector.received.append(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def _sum(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(artifacts.onnx())


def test_calls_of_a_served_process_reach_the_collector(tmp_path: Path) -> None:
    models = DirectoryModels(tmp_path / "models")
    models.put("sum.tar.gz", artifacts.packed(_sum))
    with collecting() as collector:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
            "OTEL_SERVICE_NAME": "yard",
        }
        options = "--endpoint", "yard", "--workers", "2"
        with Server(models.target, *options, environment=environment) as server:
            for number in range(4):  # of two workers, one answers for the other
                answer = server.http.post(
                    "/endpoints/yard/invocations",
                    json=[[1, 2, 3, 4]],
                    headers={
                        "X-Amzn-SageMaker-Target-Model": "sum.tar.gz",
                        "traceparent": f"00-{TRACE}-{number + 1:016x}-01",
                        "connection": "close",
                    },
                )
                assert answer.status_code == 200, answer.text
        spans = collector.spans()  # the server has sent them all before it ended

    assert {service for service, _ in spans} == {"yard"}
    assert {span.trace_id.hex() for _, span in spans} == {TRACE}
    calls = {span.span_id: span for _, span in spans if span.name == "call"}
    assert sorted(int(span.parent_span_id.hex(), 16) for span in calls.values()) == [1, 2, 3, 4]
    cold = next(span for span in calls.values() if span.parent_span_id.hex() == f"{1:016x}")
    parts = {span.name: span for _, span in spans if span.parent_span_id == cold.span_id}
    assert {"stage", "load", "predict"} <= set(parts)
    for part in parts.values():
        assert cold.start_time_unix_nano <= part.start_time_unix_nano
        assert part.start_time_unix_nano <= part.end_time_unix_nano <= cold.end_time_unix_nano
    outcome = {one.key: one.value.string_value for one in cold.attributes}["modelyard.outcome"]
    assert outcome == "miss"
