"""From the text a caller sends to the one normalised name everything else uses."""

from modelyard.domain.values import TargetModel
from modelyard.sagemaker.constraints import TARGET_MODEL, violation


def parse_target_model(text: str) -> TargetModel:
    """Return the normalised target model: a relative name of non-empty segments joined by `/`.

    One leading slash is dropped, as SageMaker does. Two spellings of one model always give the
    same name, so that policies and caches can compare names.

    Raises:
        InvalidRequestError: empty, longer than 1024, not printable ASCII, a backslash, or a
            segment that is empty, `.` or `..`.
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
