"""The headers of InvokeEndpoint, and what of them is a key."""

from collections.abc import Iterator
from contextlib import suppress

from modelyard.domain import keys
from modelyard.domain.errors import ModelyardError
from modelyard.runtimes.codecs import media_types
from modelyard.sagemaker.invocations import parse_invocation, parse_retry_policy

_SAGEMAKER = "x-amzn-sagemaker-"
NAMES = (
    *(f"{_SAGEMAKER}{name}" for name in ("target-model", "custom-attributes", "inference-id")),
    *(f"{_SAGEMAKER}{name}" for name in ("target-variant", "session-id", "enable-explanations")),
    *(f"{_SAGEMAKER}{name}" for name in ("target-container-hostname", "inference-component")),
    *("content-type", "accept", "user-agent", "amz-sdk-request", "x-api-key"),
)
OFFERED = (media_types.JSON, media_types.CSV, media_types.NPY)


def target(data: bytes) -> None:
    endpoint, *lines = data.split(b"\n")
    sent = [(NAMES[line[0] % len(NAMES)].encode(), line[1:]) for line in lines if line]
    key, kept = keys.split_key(sent)
    assert not any(
        value.strip().startswith(b"myk_")
        for name, value in kept
        if name in (keys.HEADER, keys.ATTRIBUTES_HEADER)
    ) or _is_second_key(sent)
    _check_key(key)
    headers = {name.decode(): value.decode("latin-1") for name, value in kept}
    assert parse_retry_policy(headers).attempts_left >= 1
    _check_types(headers)
    name = endpoint.decode("latin-1")
    invocation = parse_invocation(name, headers, b"", request_id="id", needs_target=bool(key))
    assert invocation.endpoint_name == name
    assert invocation.payload.accept == headers.get("accept")


def _is_second_key(sent: list[tuple[bytes, bytes]]) -> bool:
    """In `myk_x,myk_y` only the first is taken as a key; the second is passed on."""
    return any(value.count(b"myk_") > 1 for _, value in sent)


def _check_key(text: str | None) -> None:
    with suppress(ModelyardError):
        key = keys.parse_key(text or "")
        assert key.text == text
        assert keys.is_key_id(key.key_id)
        assert key.secret not in repr(key)


def _check_types(headers: dict[str, str]) -> None:
    with suppress(ModelyardError):
        assert media_types.answer_type(headers.get("accept"), OFFERED) in OFFERED
    with suppress(ModelyardError):
        default = media_types.CSV
        assert media_types.body_type(headers.get("content-type"), OFFERED, default=default)


def seeds() -> Iterator[bytes]:
    def line(name: str, value: str) -> bytes:
        return bytes([NAMES.index(name)]) + value.encode()

    model = line(f"{_SAGEMAKER}target-model", "a/b.tar.gz")
    yield b"\n".join([b"housing", model, line("accept", "text/csv;q=0.5, */*;q=0.1")])
    yield b"\n".join([b"a-1", model, line("user-agent", "x cfg/retry-mode#standard")])
    yield b"\n".join([b"a", model, line("amz-sdk-request", "attempt=2; max=3")])
    yield b"\n".join([b"a", line("x-api-key", f"myk_{'0' * 12}_{'a' * 64}"), model])
    yield b"\n".join([b"a", line(f"{_SAGEMAKER}custom-attributes", "myk_a_b, trace=1"), model])
    yield b"\n".join([b"a", line(f"{_SAGEMAKER}session-id", "NEW_SESSION"), model])
