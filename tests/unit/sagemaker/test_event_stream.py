from botocore.eventstream import EventStreamBuffer

from modelyard.domain.values import Prediction
from modelyard.sagemaker.event_stream import PART_BYTES, render_stream


def parts(content: bytes) -> list[bytes]:
    """Return the payloads of the events as the SDK decodes them, checksums included."""
    buffer = EventStreamBuffer()
    buffer.add_data(content)
    events = list(buffer)
    kinds = [event.headers[":event-type"] for event in events]
    assert kinds == ["PayloadPart"] * len(events)
    return [event.payload for event in events]


def test_prediction_is_divided_into_parts() -> None:
    body = bytes(range(256)) * 4096 + b"and a rest"

    found = parts(render_stream(Prediction(body, "application/x-npy")).body)

    assert b"".join(found) == body
    assert [len(part) for part in found] == [PART_BYTES, len(body) - PART_BYTES]


def test_content_type_of_the_model_has_a_header_of_its_own() -> None:
    response = render_stream(Prediction(b"1", "text/csv", "trace=1"))

    headers = dict(response.headers)
    assert headers["content-type"] == "application/vnd.amazon.eventstream"
    assert headers["x-amzn-sagemaker-content-type"] == "text/csv"
    assert headers["x-amzn-sagemaker-custom-attributes"] == "trace=1"


def test_empty_prediction_is_an_empty_stream() -> None:
    assert parts(render_stream(Prediction(b"")).body) == []
