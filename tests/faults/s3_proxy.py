"""A proxy before a server that speaks S3, on which requests go wrong as a test says."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit


@dataclass
class Fault:
    """What goes wrong with a request; what is not set goes well."""

    status: int = 0
    """Answered instead of the server's answer, with an error body that names `code`."""
    code: str = "InternalError"
    before: Callable[[], object] = lambda: None
    """Done before the request goes on to the server."""
    cut_after: int | None = None
    """The body ends after so many bytes, and the connection with it."""
    body: bytes | None = None
    """Sent instead of the server's body."""
    without: tuple[str, ...] = ()
    """Headers of the answer that get lost."""


@dataclass
class Script:
    """Decides which requests go wrong, and counts all."""

    requests: list[str] = field(default_factory=list)
    _faults: list[tuple[str, Fault, int]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, method: str, fault: Fault, times: int = 1) -> None:
        """Let the next `times` requests of a method go wrong."""
        with self._lock:
            self._faults.append((method, fault, times))

    def clear(self) -> None:
        """From now on all goes well."""
        with self._lock:
            self._faults.clear()

    def take(self, method: str) -> Fault:
        with self._lock:
            self.requests.append(method)
            for number, (wanted, fault, times) in enumerate(self._faults):
                if wanted == method:
                    self._faults[number] = (wanted, fault, times - 1)
                    if times == 1:
                        del self._faults[number]
                    return fault
        return Fault()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: ClassVar[Script]
    upstream: ClassVar[str]

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        fault = self.script.take(self.command)
        fault.before()
        if fault.status:
            text = f"<Error><Code>{fault.code}</Code><Message>no</Message></Error>".encode()
            self._send(fault.status, [("Content-Type", "application/xml")], text, fault)
            return
        connection = HTTPConnection(urlsplit(self.upstream).netloc, timeout=30)
        connection.request(self.command, self.path, headers=dict(self.headers))
        answer = connection.getresponse()
        body = answer.read()
        self._send(answer.status, answer.getheaders(), body, fault)
        connection.close()

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes, fault: Fault) -> None:
        body = body if fault.body is None else fault.body
        self.send_response_only(status)
        lost = {"connection", "transfer-encoding", *map(str.lower, fault.without)}
        is_head = self.command == "HEAD"
        lost |= set() if is_head and not fault.status else {"content-length"}
        for name, value in headers:
            if name.lower() not in lost:
                self.send_header(name, value)
        if "content-length" in lost:
            self.send_header("Content-Length", "0" if is_head else str(len(body)))
        self.end_headers()
        if is_head:
            return
        self.wfile.write(body[: fault.cut_after])
        self.close_connection = fault.cut_after is not None

    def log_message(self, *_: object) -> None:
        """Say nothing: what goes wrong is on purpose."""


@contextmanager
def proxy_before(upstream: str) -> Iterator[tuple[str, Script]]:
    """The URL of a proxy before a server, and the script of what goes wrong there."""
    script = Script()
    handler = type("Handler", (_Handler,), {"script": script, "upstream": upstream})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", script
    server.shutdown()
    thread.join()
    server.server_close()
