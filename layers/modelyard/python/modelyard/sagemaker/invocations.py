"""Parse the requests of SageMaker's InvokeEndpoint."""

import re
from collections.abc import Mapping

from modelyard.domain.endpoints import VARIANT
from modelyard.domain.errors import InvalidRequestError, TargetModelMissingError
from modelyard.domain.values import Invocation, Payload, RetryPolicy, TargetModel
from modelyard.sagemaker import constraints
from modelyard.sagemaker.constraints import Constraint
from modelyard.sagemaker.target_model import parse_target_model

_PREFIX = "x-amzn-sagemaker-"
_NO_COMPONENTS: Mapping[str, str] = {}
_RETRY_MODE = re.compile(r"cfg/retry-mode#(\w+)")
_SDK = re.compile(r"\b(?:boto3|botocore|aws-cli|aws-sdk-[a-z0-9-]+)[/#]\d", re.IGNORECASE)
_ATTEMPT = re.compile(r"attempt=(\d{1,3})")
_MAX_ATTEMPTS = re.compile(r"max=(\d{1,3})")
_SDK_ATTEMPTS = {"legacy": 5, "standard": 3, "adaptive": 3}


def parse_invocation(
    endpoint_name: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    request_id: str,
    needs_target: bool = True,
    components: Mapping[str, str] = _NO_COMPONENTS,
) -> Invocation:
    """Return the validated invocation. Names in `headers` must be in lower case.

    If `needs_target` is false, the request may omit the target model; it is empty then.
    `components` are the target models by the names of inference components.

    Raises:
        TargetModelMissingError: the request has no target model and needs one.
        InvalidRequestError: a member violates its constraint, or is for something that a
            multi-model endpoint does not have.
    """
    _refuse_foreign_members(endpoint_name, headers)
    _optional(headers, _PREFIX + "inference-id", constraints.INFERENCE_ID)
    _optional(headers, _PREFIX + "session-id", constraints.SESSION_ID)
    _optional(headers, _PREFIX + "prefix-aware-id", constraints.PREFIX_AWARE_ID)
    component = _optional(
        headers, _PREFIX + "inference-component", constraints.INFERENCE_COMPONENT_NAME
    )
    if component is None:
        target_model = _target_model(headers, request_id, needs_target)
    else:
        target_model = _of_component(component, endpoint_name, headers, components)
    return Invocation(
        endpoint_name=constraints.ENDPOINT_NAME.check(endpoint_name),
        target_model=target_model,
        payload=Payload(
            body=body,
            content_type=_optional(headers, "content-type", constraints.CONTENT_TYPE),
            accept=_optional(headers, "accept", constraints.ACCEPT),
            custom_attributes=_optional(
                headers, _PREFIX + "custom-attributes", constraints.CUSTOM_ATTRIBUTES
            ),
        ),
        retry=parse_retry_policy(headers),
        request_id=request_id,
        traceparent=headers.get("traceparent", ""),
    )


def parse_retry_policy(headers: Mapping[str, str]) -> RetryPolicy:
    """Return which statuses the AWS SDK of the client retries, and how many attempts are left.

    SDKs send the retry mode in `User-Agent`, and from the second attempt on the number of attempts
    in `amz-sdk-request`. Older SDKs (botocore before 1.31 is one) send no mode: they are assumed
    not to retry a 429, because only some modes do, while all modes retry a 503. A client that is
    not an AWS SDK is assumed to try once.
    """
    agent = headers.get("user-agent", "")
    named = _RETRY_MODE.search(agent)
    if named is None and not _SDK.search(agent):
        return RetryPolicy(retries_429=True, attempts_left=1)
    mode = named[1] if named else ""
    sdk_request = headers.get("amz-sdk-request", "")
    attempt, limit = _ATTEMPT.search(sdk_request), _MAX_ATTEMPTS.search(sdk_request)
    made = int(attempt[1]) if attempt else 1
    allowed = int(limit[1]) if limit else _SDK_ATTEMPTS.get(mode, 1)
    return RetryPolicy(retries_429=mode == "legacy", attempts_left=max(1, allowed - made + 1))


def _target_model(headers: Mapping[str, str], request_id: str, needs_target: bool) -> TargetModel:
    text = headers.get(_PREFIX + "target-model")
    if text is None and not needs_target:
        return TargetModel("")
    if text is None:
        raise TargetModelMissingError(
            f"Request {request_id} is missing a target model header: name one of the endpoint's"
            " models in TargetModel (X-Amzn-SageMaker-Target-Model)"
        )
    return parse_target_model(text)


def _of_component(
    name: str, endpoint_name: str, headers: Mapping[str, str], components: Mapping[str, str]
) -> TargetModel:
    """Return the target model of an inference component."""
    if not components:
        raise InvalidRequestError(
            f"Endpoint {endpoint_name} has no inference components and does not support inference"
            " component header."
        )
    if _PREFIX + "target-model" in headers:
        raise InvalidRequestError(
            "InferenceComponentName and TargetModel both name a model: send one of them"
        )
    if name not in components:
        raise InvalidRequestError(
            f"Inference Component {name} of endpoint {endpoint_name} not found."
        )
    return parse_target_model(components[name])


def _optional(headers: Mapping[str, str], name: str, constraint: Constraint) -> str | None:
    value = headers.get(name)
    return None if value is None else constraint.check(value)


def _refuse_foreign_members(endpoint_name: str, headers: Mapping[str, str]) -> None:
    variant = _optional(headers, _PREFIX + "target-variant", constraints.TARGET_VARIANT)
    if variant not in (None, VARIANT):
        raise InvalidRequestError(
            f"Variant {variant} of endpoint {endpoint_name} not found: its only variant is"
            f" {VARIANT}"
        )
    for name, constraint, what in _FOREIGN:
        if _optional(headers, name, constraint) is not None:
            raise InvalidRequestError(f"Endpoint {endpoint_name} {what}")


_FOREIGN = (
    (
        _PREFIX + "target-container-hostname",
        constraints.TARGET_CONTAINER_HOSTNAME,
        "is not a multi-container endpoint and does not support target container hostname header.",
    ),
    (
        _PREFIX + "enable-explanations",
        constraints.ENABLE_EXPLANATIONS,
        "has no explainer and does not support enable explanations header.",
    ),
)
