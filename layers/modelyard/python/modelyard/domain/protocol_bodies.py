"""Media types of the bodies of other protocols; the router passes these bodies on unread.

Tensors have the form of the Open Inference Protocol v2: the body begins with a JSON object, and
tensors in binary form follow it. Their type is that of NVIDIA's Triton container on SageMaker,
which says in a parameter how long the JSON object is. The other types are our own.
"""

import re

from modelyard.domain.errors import InputRejectedError

MEDIA_TYPE = "application/vnd.sagemaker-triton.binary+json"
TENSORFLOW_SERVING = "application/vnd.modelyard.tensorflow-serving+json"
"""JSON as TensorFlow Serving takes it: `instances` or `inputs`."""
MLFLOW = "application/vnd.modelyard.mlflow+json"
"""JSON as MLflow's scoring server takes it: a data frame, `instances` or `inputs`."""
MLFLOW_CSV = "application/vnd.modelyard.mlflow+csv"
"""CSV as MLflow's scoring server takes it: a data frame, whose first line has the names."""
_WITH_SIZE = re.compile(rf"{re.escape(MEDIA_TYPE)}\s*;\s*json-header-size=(\d{{1,9}})", re.I)


def content_type(json_bytes: int) -> str:
    """Return the content type of tensors whose JSON object has this many bytes."""
    return f"{MEDIA_TYPE};json-header-size={json_bytes}"


def holds_tensors(content_type: str | None) -> bool:
    """Return whether a body of this content type holds tensors."""
    return content_type is not None and content_type[: len(MEDIA_TYPE)].lower() == MEDIA_TYPE


def is_of_a_protocol(content_type: str | None) -> bool:
    """Return whether a body of this content type has one of the forms of this module."""
    if content_type is None:
        return False
    return content_type in (TENSORFLOW_SERVING, MLFLOW, MLFLOW_CSV) or holds_tensors(content_type)


def json_bytes_of(content_type: str) -> int:
    """Return how long the JSON object is, in bytes.

    Raises:
        InputRejectedError: the content type does not say it.
    """
    match = _WITH_SIZE.fullmatch(content_type.strip())
    if match is None:
        raise InputRejectedError(f"ContentType must be {MEDIA_TYPE};json-header-size=NUMBER")
    return int(match[1])
