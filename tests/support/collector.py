"""A collector of traces: takes OTLP over HTTP and keeps every byte; it can hang like one that is overloaded."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Collector:
    """`frozen`: it accepts, and answers nothing until `thaw` is set."""

    port: int
    bodies: list[bytes] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    frozen: bool = False
    thaw: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in self.bodies]

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for of_resource in request.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]

    @property
    def resources(self) -> list[dict[str, str]]:
        return [
            {item.key: item.value.string_value for item in of_resource.resource.attributes}
            for request in self.requests
            for of_resource in request.resource_spans
        ]

    def servers(self) -> dict[str, Span]:
        """The span of each request that came in, by its trace."""
        return {span.trace_id.hex(): span for span in self.spans if span.kind == Span.SPAN_KIND_SERVER}


def attributes_of(span: Span) -> dict[str, str | int]:
    return {item.key: item.value.string_value or item.value.int_value for item in span.attributes}


@contextmanager
def running_collector() -> Iterator[Collector]:
    collector = Collector(0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if collector.frozen:
                collector.thaw.wait()
                self.close_connection = True
                return
            collector.paths.add(self.path)
            collector.bodies.append(body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not onto the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.thaw.set()
        server.shutdown()
        server.server_close()
        thread.join()
