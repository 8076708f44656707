"""What clients of an endpoint raise."""

from modelyard.domain.errors import ModelyardError


class EndpointError(ModelyardError):
    """The endpoint responded with an error, or not at all (`status` is 0 then)."""

    def __init__(self, message: str, kind: str, status: int, retry_after_s: float = 1.0) -> None:
        super().__init__(f"{kind} ({status}): {message}" if status else message)
        self.kind = kind
        self.status = status
        self.retry_after_s = retry_after_s
