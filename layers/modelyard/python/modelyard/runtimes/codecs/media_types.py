"""Content-Type and Accept headers: what a body is and what an answer should be."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from modelyard.domain.errors import UnsupportedAcceptError, UnsupportedContentTypeError

JSON = "application/json"
JSON_LINES = "application/jsonlines"
CSV = "text/csv"
_FORM = "application/x-www-form-urlencoded"
NPY = "application/x-npy"
NPZ = "application/x-npz"
LIBSVM = "text/libsvm"
RECORDIO = "application/x-recordio-protobuf"

# The spellings that SageMaker's containers and its samples use for the same thing.
_ALIASES = {
    "json": JSON,
    "application/jsonl": JSON_LINES,
    "application/x-jsonlines": JSON_LINES,
    "application/x-ndjson": JSON_LINES,
    "csv": CSV,
    "libsvm": LIBSVM,
    "text/x-libsvm": LIBSVM,
}


# Clients send the same few headers with each call.
_remembered = lru_cache(maxsize=256)


@_remembered
def parse(header: str) -> tuple[str, Mapping[str, str]]:
    """Split a header value into its lower-case media type and its parameters."""
    name, *parts = header.lower().split(";")
    pairs = (part.partition("=") for part in parts)
    return name.strip(), {key.strip(): value.strip().strip('"') for key, _, value in pairs}


def body_type(content_type: str | None, accepted: Sequence[str], *, default: str) -> str:
    """Return which of the `accepted` media types a body has; parameters do not matter.

    Raises:
        UnsupportedContentTypeError: none of them.
    """
    name = _canonical(parse(content_type or default)[0])
    if name in accepted:
        return name
    hint = f" It is curl's default: add -H 'Content-Type: {accepted[0]}'." if name == _FORM else ""
    raise UnsupportedContentTypeError(
        f"{content_type} is not an accepted ContentType: {', '.join(accepted)}.{hint}"
    )


def answer_type(accept: str | None, offered: Sequence[str]) -> str:
    """Return the offered media type a caller likes best: by q-value, then by its own order.

    The first offered one answers a missing header and `*/*`, as in SageMaker's containers.

    Raises:
        UnsupportedAcceptError: the caller takes none of them.
    """
    if accept is None or not accept.strip():
        return offered[0]
    for wanted in _ranked(accept):
        for candidate in offered:
            if _matches(wanted, candidate):
                return candidate
    raise UnsupportedAcceptError(f"{accept} is not an accepted Accept type: {', '.join(offered)}.")


@_remembered
def _ranked(accept: str) -> Sequence[str]:
    weighted = [parse(item) for item in accept.split(",") if item.strip()]
    ranked = sorted(weighted, key=lambda item: -_weight(item[1]))
    return [_canonical(name) for name, parameters in ranked if _weight(parameters) > 0]


def _weight(parameters: Mapping[str, str]) -> float:
    try:
        return float(parameters.get("q", "1"))
    except ValueError:
        return 0.0


def _matches(wanted: str, candidate: str) -> bool:
    family = wanted.removesuffix("*")
    return wanted in ("*/*", "*", candidate) or (
        family.endswith("/") and candidate.startswith(family)
    )


def _canonical(name: str) -> str:
    return _ALIASES.get(name, name)
