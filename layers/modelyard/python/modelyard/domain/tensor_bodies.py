"""The media type of bodies that hold tensors in the form of the Open Inference Protocol v2.

The body begins with a JSON object; tensors in binary form follow it. The type is that of NVIDIA's
Triton container on SageMaker, which says in a parameter how long the JSON object is.
"""

import re

from modelyard.domain.errors import InputRejectedError

MEDIA_TYPE = "application/vnd.sagemaker-triton.binary+json"
_WITH_SIZE = re.compile(rf"{re.escape(MEDIA_TYPE)}\s*;\s*json-header-size=(\d{{1,9}})", re.I)


def content_type(json_bytes: int) -> str:
    """Return the content type of a body whose JSON object has this many bytes."""
    return f"{MEDIA_TYPE};json-header-size={json_bytes}"


def holds_tensors(content_type: str | None) -> bool:
    """Return whether a body of this content type holds tensors."""
    return content_type is not None and content_type[: len(MEDIA_TYPE)].lower() == MEDIA_TYPE


def json_bytes_of(content_type: str) -> int:
    """Return how long the JSON object is, in bytes.

    Raises:
        InputRejectedError: the content type does not say it.
    """
    match = _WITH_SIZE.fullmatch(content_type.strip())
    if match is None:
        raise InputRejectedError(f"ContentType must be {MEDIA_TYPE};json-header-size=NUMBER")
    return int(match[1])
