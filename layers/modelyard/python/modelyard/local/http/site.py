"""What a connection needs of whoever answers its requests."""

from typing import Protocol

from modelyard.domain.values import HttpRequest, HttpResponse


class Site(Protocol):
    """Answers complete requests."""

    def body_limit(self, method: str, target: bytes) -> int:
        """Return how many bytes the body of this request may have."""
        ...

    def too_large(self, method: str, target: bytes) -> HttpResponse:
        """Return the response to a request whose body is longer."""
        ...

    def answer_now(self, request: HttpRequest) -> HttpResponse | None:
        """Return the response if it can be made at once, without waiting; else None."""
        ...

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Return the response."""
        ...
