"""The constraints on members of SageMaker's InvokeEndpoint; SDKs do not check them.

Source: the `sagemaker-runtime` service model, 2017-05-13.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from modelyard.domain.errors import InvalidRequestError

_compiled = lru_cache(re.compile)
_NAME = r"[a-zA-Z0-9](-*[a-zA-Z0-9])*"
_PRINTABLE = r"[!-~][ -~]*"


@dataclass(frozen=True, slots=True)
class Constraint:
    """The constraint on one member: its name in error messages, maximum length and pattern."""

    member: str
    max_length: int
    pattern: str = r"[\t -~]*"

    def check(self, value: str) -> str:
        """Return `value` when it satisfies the constraint.

        Raises:
            InvalidRequestError: it does not; the message is that of the AWS service.
        """
        if len(value) > self.max_length:
            raise violation(
                self.member, f"Member must have length less than or equal to {self.max_length}"
            )
        if not _compiled(self.pattern).fullmatch(value):
            raise violation(
                self.member, f"Member must satisfy regular expression pattern: {self.pattern}"
            )
        return value


def violation(member: str, rule: str) -> InvalidRequestError:
    """Return the error of AWS for a member that violates `rule`."""
    return InvalidRequestError(
        f"1 validation error detected: Value at '{member}' failed to satisfy constraint: {rule}"
    )


ENDPOINT_NAME = Constraint("endpointName", 63, _NAME)
CONTENT_TYPE = Constraint("contentType", 1024)
ACCEPT = Constraint("accept", 1024)
CUSTOM_ATTRIBUTES = Constraint("customAttributes", 1024)
TARGET_MODEL = Constraint("targetModel", 1024, _PRINTABLE)
TARGET_VARIANT = Constraint("targetVariant", 63, _NAME)
TARGET_CONTAINER_HOSTNAME = Constraint("targetContainerHostname", 63, _NAME)
INFERENCE_ID = Constraint("inferenceId", 64, _PRINTABLE)
ENABLE_EXPLANATIONS = Constraint("enableExplanations", 64)
INFERENCE_COMPONENT_NAME = Constraint("inferenceComponentName", 63, _NAME)
PREFIX_AWARE_ID = Constraint("prefixAwareId", 64, _PRINTABLE)
SESSION_ID = Constraint("sessionId", 256, rf"NEW_SESSION|{_NAME}")

MAX_BODY_BYTES = 6_291_456
