"""What a connection needs of the application that answers its requests."""

from typing import Protocol

from modelyard.domain.values import Admission, HttpRequest, HttpResponse


class Site(Protocol):
    """Answers complete requests."""

    def admit_now(self, head: HttpRequest) -> Admission | None:
        """Decide about a request without its body; None if the caller has to be looked up."""
        ...

    async def admit(self, head: HttpRequest) -> Admission:
        """Decide about a request without its body."""
        ...

    def too_large(self, head: HttpRequest) -> HttpResponse:
        """Return the response to a request whose body is longer than it may be."""
        ...

    def answer_now(self, request: HttpRequest) -> HttpResponse | None:
        """Return the response if it can be made at once, without waiting; else None."""
        ...

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Return the response."""
        ...
