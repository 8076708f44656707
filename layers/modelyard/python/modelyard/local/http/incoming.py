"""A request whose head was read, and its body as far as it has arrived."""

from modelyard.domain.values import HttpRequest, HttpResponse
from modelyard.local.http.body import BodyReader
from modelyard.local.http.refusals import unavailable
from modelyard.local.http.request_head import RequestHead
from modelyard.router.web.site import SiteCall


class IncomingRequest:
    """Keeps the body, or throws it away when the request is refused."""

    def __init__(self, head: RequestHead, client: str) -> None:
        self._head = head
        self._client = client
        self._reader = BodyReader(head)
        self._body = bytearray()
        self.received_bytes = 0
        """The length of the body so far, including what was thrown away."""
        self.call: SiteCall | None = None
        """What the site makes of the head; None until it was asked."""
        self.refusal: HttpResponse | None = None
        """The response, if the body is thrown away."""

    @property
    def head(self) -> RequestHead:
        """The request line and the headers."""
        return self._head

    @property
    def is_complete(self) -> bool:
        """Whether the whole body has arrived."""
        return self._reader.is_complete

    @property
    def held_bytes(self) -> int:
        """How many bytes of the body are in memory."""
        return len(self._body)

    def without_body(self) -> HttpRequest:
        """Return the request as the site judges it before the body has arrived."""
        head = self._head
        return HttpRequest(head.method, head.target, head.headers, b"", self._client)

    def taken_body(self) -> bytes:
        """Return the whole body, which is not kept here any longer."""
        body = bytes(self._body)
        self._body.clear()
        return body

    def take(self, received: bytearray, free_bytes: int) -> int:
        """Add the bytes of the body that have arrived; returns how many these are.

        Raises:
            MalformedRequestError: the chunks are not valid.
        """
        data = self._reader.take(received)
        self.received_bytes += len(data)
        if self.refusal is None and self.call is not None and self._is_too_large(self.call):
            self.discard(self.call.too_large())
        elif self.refusal is None and len(data) > free_bytes:
            self.discard(no_memory())
        elif self.refusal is None:
            self._body += data
        return len(data)

    def admit(self, call: SiteCall, free_bytes: int) -> None:
        """Keep the body or not, as the call and memory allow."""
        self.call = call
        if call.refusal is not None:
            self.discard(call.refusal)
        elif self._is_too_large(call):
            self.discard(call.too_large())
        elif self._head.content_length > free_bytes:
            self.discard(no_memory())

    def discard(self, refusal: HttpResponse) -> None:
        """Throw the body away, also what is still to come, for it will be refused."""
        self.refusal = refusal
        self._body.clear()

    def _is_too_large(self, call: SiteCall) -> bool:
        return max(self._head.content_length, self.received_bytes) > call.max_body_bytes


def no_memory() -> HttpResponse:
    """Return the response to a request for which there is no memory now."""
    return unavailable("too many bytes of requests are in memory")
