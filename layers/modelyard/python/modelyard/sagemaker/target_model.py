"""Normalise the name of the target model in a request."""

from functools import lru_cache

from modelyard.domain.values import TargetModel
from modelyard.sagemaker.constraints import TARGET_MODEL, violation


@lru_cache(maxsize=1024)
def parse_target_model(text: str) -> TargetModel:
    """Return the normalised target model: a relative name of non-empty segments joined by `/`.

    One leading slash is removed, as in SageMaker. All spellings of a model have the same normalised
    name, so that access rules and caches can compare names.

    Raises:
        InvalidRequestError: the text is empty, longer than 1024 characters or not printable ASCII,
            or it contains a backslash or a segment that is empty, `.` or `..`.
    """
    if not text:
        raise violation("targetModel", "Member must have length greater than or equal to 1")
    name = TARGET_MODEL.check(text).removeprefix("/").strip(" ")
    if "\\" in name:
        raise violation("targetModel", "Member must not contain a backslash")
    if any(segment.strip(" ") in ("", ".", "..") for segment in name.split("/")):
        raise violation(
            "targetModel", "Member must be a relative key without empty, '.' or '..' segments"
        )
    return TargetModel(name)
