"""The headers of InvokeEndpoint's asynchronous and streaming forms, as those of InvokeEndpoint."""

from collections.abc import Mapping, Sequence

from modelyard.domain.errors import InvalidRequestError
from modelyard.sagemaker import constraints

_PREFIX = "x-amzn-sagemaker-"
_TARGET = "modelyard.target_model="
"""Names the model in CustomAttributes: these operations have no TargetModel."""


def as_invoke_endpoint(headers: Mapping[str, str], renamed: Sequence[str]) -> dict[str, str]:
    """Return the headers with which InvokeEndpoint would make the same call.

    The headers in `renamed`, such as `accept`, are sent with a prefix. The target model may be an
    attribute among the custom attributes, which are separated by semicolons. Names in `headers`
    must be in lower case.

    Raises:
        InvalidRequestError: the custom attributes are not valid, or name several models.
    """
    found = {name: value for name, value in headers.items() if name not in renamed}
    found |= {name: headers[_PREFIX + name] for name in renamed if _PREFIX + name in headers}
    attributes = found.pop(_PREFIX + "custom-attributes", None)
    if attributes is None:
        return found
    parts = constraints.CUSTOM_ATTRIBUTES.check(attributes).split(";")
    targets = [part for part in parts if part.strip().startswith(_TARGET)]
    if len(targets) > 1:
        raise InvalidRequestError(f"CustomAttributes has {_TARGET} {len(targets)} times")
    for target in targets:
        found.setdefault(_PREFIX + "target-model", target.strip().removeprefix(_TARGET))
        parts.remove(target)
    if any(part.strip() for part in parts):
        found[_PREFIX + "custom-attributes"] = ";".join(parts)
    return found
