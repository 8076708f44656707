"""The dead letters of a deployment: the messages on the SQS queue for failed warm messages."""

from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from modelyard.domain.errors import ConfigurationError, DependencyError
from modelyard.domain.values import DeadLetter, WarmRequest
from modelyard.domain.warm_message import parse_warm_message

HIDDEN_S = 30
"""How long a listed message is hidden from other readers, unless it is shown again before."""
_BATCH = 10
"""SQS returns and accepts at most ten messages in one request."""


def build_client(queue_url: str) -> Any:
    """Return an SQS client for the service and the region that a queue's URL names.

    Raises:
        ConfigurationError: the URL is not one of a queue, or the AWS settings are wrong.
    """
    url = urlsplit(queue_url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ConfigurationError(
            f"--queue-url: found {queue_url!r}; allowed: the URL of an SQS queue, such as the"
            " deployment printed it"
        )
    host = url.hostname.split(".")
    session = get_session()
    region = host[1] if host[0] == "sqs" and len(host) > 3 else None
    try:
        return session.create_client(
            "sqs",
            region_name=region,
            endpoint_url=f"{url.scheme}://{url.netloc}",
            config=Config(
                connect_timeout=5,
                read_timeout=30,
                retries={"mode": "standard", "total_max_attempts": 3},
                user_agent_extra="modelyard",
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"the AWS settings are wrong: {error}") from error


class SqsDeadLetters:
    """`DeadLetters` on a dead-letter queue of SQS."""

    def __init__(self, queue_url: str, client: Any) -> None:
        self._url = queue_url
        self._client = client

    def all(self) -> list[DeadLetter[WarmRequest]]:
        """Return the dead letters, oldest first.

        SQS has no request that only lists. The messages are received and then shown again; for
        that moment others do not see them.

        Raises:
            DependencyError: the queue cannot be read.
        """
        messages: list[dict[str, Any]] = []
        with _dependency("listed"):
            try:
                while received := self._receive():
                    messages += received
            finally:
                self._show(messages)
        return sorted(map(_letter, messages), key=attrgetter("failed_at"))

    def redrive(self) -> int:
        """Move all dead letters back to the queue they came from; return about how many.

        SQS moves them in the background.

        Raises:
            DependencyError: SQS refuses, for example because it is still moving messages.
        """
        with _dependency("moved"):
            found = self._client.get_queue_attributes(
                QueueUrl=self._url, AttributeNames=["QueueArn", "ApproximateNumberOfMessages"]
            )["Attributes"]
            self._client.start_message_move_task(SourceArn=found["QueueArn"])
        return int(found["ApproximateNumberOfMessages"])

    def _receive(self) -> list[dict[str, Any]]:
        answer = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=_BATCH,
            VisibilityTimeout=HIDDEN_S,
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    def _show(self, messages: list[dict[str, Any]]) -> None:
        for start in range(0, len(messages), _BATCH):
            batch = messages[start : start + _BATCH]
            self._client.change_message_visibility_batch(
                QueueUrl=self._url,
                Entries=[
                    {
                        "Id": str(number),
                        "ReceiptHandle": message["ReceiptHandle"],
                        "VisibilityTimeout": 0,
                    }
                    for number, message in enumerate(batch)
                ],
            )


def _letter(message: dict[str, Any]) -> DeadLetter[WarmRequest]:
    """Return the dead letter; SQS sets the time when it moves the message to this queue."""
    failed_at = int(message["Attributes"]["SentTimestamp"]) / 1000
    return DeadLetter(parse_warm_message(message["Body"]), failed_at)


@contextmanager
def _dependency(what: str) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise DependencyError(f"the dead letters cannot be {what}: {error}") from error
