import pytest

from modelyard.local.emulation.definitions import Outcome
from modelyard.local.emulation.queue_trigger import is_processed, sqs_record

MESSAGE = {"MessageId": "m", "ReceiptHandle": "r", "Body": "text", "MD5OfBody": "5"}


def test_record_has_the_members_of_an_event() -> None:
    message = MESSAGE | {"Attributes": {"ApproximateReceiveCount": "2"}}

    record = sqs_record(message, "arn:aws:sqs:eu-west-1:000000000000:warm.fifo")

    assert record["attributes"] == {"ApproximateReceiveCount": "2"}
    assert (record["messageId"], record["body"]) == ("m", "text")
    assert record["awsRegion"] == "eu-west-1"


@pytest.mark.parametrize("payload", [b"null", b"{}", b'{"batchItemFailures": []}'])
def test_message_is_taken_when_no_failure_is_named(payload: bytes) -> None:
    assert is_processed(Outcome(payload), "m")


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(b"null", is_error=True),
        Outcome(b'{"batchItemFailures": [{"itemIdentifier": "m"}]}'),
        Outcome(b'{"batchItemFailures": [{"itemIdentifier": ""}]}'),
        Outcome(b"no JSON"),
        Outcome(b"[1]"),
    ],
)
def test_message_stays_otherwise(outcome: Outcome) -> None:
    assert not is_processed(outcome, "m")
