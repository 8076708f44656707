"""Connections to Lambda that outlive a pause.

A function is frozen between its invocations, and Lambda closes idle connections meanwhile. The SDK
notices when it uses such a connection: the request fails before anything was answered. The SDK's
own retries would repeat it, as they do for SQS, SSM and S3, but also after a timeout, when the
function is running.
"""

import ssl
from typing import Any

from botocore.awsrequest import (
    AWSConnection,
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)

_CLOSED = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""How a connection that the server closed or reset fails. A timeout is not among them."""


class _Reconnecting(AWSConnection):  # type: ignore[misc]  # botocore has no types
    """Repeats a request once on a new connection if a reused one is closed before an answer."""

    timeout: Any
    _is_reused = False
    _connect_timeout_s: Any = None
    _sent: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def connect(self) -> None:
        """Connect, or connect again."""
        self._is_reused = False
        self._connect_timeout_s = self.timeout
        super().connect()

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request."""
        self._sent = args, kwargs
        try:
            super().request(*args, **kwargs)
        except _CLOSED:
            if not self._may_repeat():
                raise
            self._repeat()

    def getresponse(self) -> Any:
        """Return the response to the request that was sent last."""
        try:
            response = super().getresponse()
        except _CLOSED:
            if not self._may_repeat():
                raise
            self._repeat()
            response = super().getresponse()
        self._is_reused = True
        return response

    def _may_repeat(self) -> bool:
        """A closed connection forgets its proxy's tunnel; a stream cannot be sent twice."""
        body = self._sent[1].get("body")
        return self._is_reused and self.proxy is None and (body is None or isinstance(body, bytes))

    def _repeat(self) -> None:
        args, kwargs = self._sent
        read_timeout_s = self.timeout
        self.close()
        self.timeout = self._connect_timeout_s
        self.connect()
        self.timeout = read_timeout_s
        super().request(*args, **kwargs)


class _HttpConnection(_Reconnecting, AWSHTTPConnection):  # type: ignore[misc]
    pass


class _HttpsConnection(_Reconnecting, AWSHTTPSConnection):  # type: ignore[misc]
    pass


class _HttpPool(AWSHTTPConnectionPool):  # type: ignore[misc]
    ConnectionCls = _HttpConnection


class _HttpsPool(AWSHTTPSConnectionPool):  # type: ignore[misc]
    ConnectionCls = _HttpsConnection


def reconnecting(client: Any) -> Any:
    """Return the client, whose connections outlive a pause from now on.

    A request on a reused connection that was closed or reset before an answer is sent once more, on
    a new connection. botocore has no setting for the class of its connections.
    """
    session = client._endpoint.http_session
    session._pool_classes_by_scheme.update(http=_HttpPool, https=_HttpsPool)
    return client
