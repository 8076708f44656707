"""Read the requests of MLflow's scoring protocol."""

from collections.abc import Mapping

from modelyard.domain import protocol_bodies
from modelyard.domain.errors import InvalidRequestError
from modelyard.domain.values import Payload

_JSON = "application/json"
_FORMS = {_JSON: protocol_bodies.MLFLOW, "text/csv": protocol_bodies.MLFLOW_CSV}


def parse_payload(headers: Mapping[str, str], body: bytes) -> Payload:
    """Return the payload of a scoring request. Names in `headers` must be in lower case.

    Raises:
        InvalidRequestError: the body is neither JSON nor CSV.
    """
    content_type = headers.get("content-type", _JSON)
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in _FORMS:
        allowed = ", ".join(_FORMS)
        raise InvalidRequestError(f"Content-Type {content_type[:80]!r}; allowed: {allowed}")
    return Payload(body, _FORMS[media_type])
