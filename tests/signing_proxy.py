"""A proxy that adds what a deployment demands of callers: a signature, or an API key.

With it, every client of a suite reaches a server with `auth`, also those that cannot sign.
"""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

Added = Callable[[str, str, bytes], dict[str, str]]
"""Returns the headers to add to a request with this method, URL and body."""
_REPLACED = ("authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256")
_OF_CONNECTION = ("connection", "expect", "transfer-encoding", "content-length", "host")


def signed_with(key_id: str, secret: str) -> Added:
    """Return what signs requests for API Gateway."""

    def sign(method: str, url: str, body: bytes) -> dict[str, str]:
        request = AWSRequest(method, url, data=body)
        SigV4Auth(Credentials(key_id, secret), "execute-api", "us-east-1").add_auth(request)
        return dict(request.headers)

    return sign


def with_key(key: str) -> Added:
    """Return what adds an API key to requests."""
    return lambda *_: {"x-api-key": key}


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, url: str, added: Added) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarding)
        self.url = url
        self.added = added


class _Forwarding(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        url, body = self.server.url, self._body()
        kept = [
            (name, value)
            for name, value in self.headers.items()
            if name.lower() not in (*_REPLACED, *_OF_CONNECTION)
        ]
        own = self.server.added(self.command, f"{url}{self.path}", body)
        own |= {"Host": urlsplit(url).netloc}
        if body:
            own["Content-Length"] = str(len(body))
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
        try:
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in (*kept, *own.items()):
                connection.putheader(name, value)
            connection.endheaders(body)
            self._pass_on(connection.getresponse())
        finally:
            connection.close()

    def _pass_on(self, answer: http.client.HTTPResponse) -> None:
        content = answer.read()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        found = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return found


@contextmanager
def signing_proxy(url: str, added: Added) -> Iterator[str]:
    """Run a proxy of the server at `url`; yield the URL of the proxy."""
    with _Proxy(url, added) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
