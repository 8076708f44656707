"""The warm queue on AWS: a FIFO queue with one group for each model.

A group has one message on its way at a time, so a model is warmed by one warmer. A storm of
"not ready" makes one message for each bucket of time. The bucket is shorter than the shortest
life of a message that keeps failing: a message that deduplication drops always has a twin that
is still on the queue, or that has done its work within the same bucket.
"""

import functools
import hashlib
from collections.abc import Callable
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from modelyard.domain import messages
from modelyard.domain.errors import DependencyError
from modelyard.domain.ports import Clock
from modelyard.domain.values import WarmDelivery, WarmRequest
from modelyard.domain.warm_message import parse_warm_message, render_warm_message

DEDUPLICATION_BUCKET_S = 30
MAX_HIDDEN_S = 43_200
"""The longest visibility timeout SQS knows."""


def build_client() -> Any:
    """Return an SQS client; region and credentials come from the usual AWS settings."""
    config = Config(
        connect_timeout=2,
        read_timeout=5,
        retries={"mode": "standard", "total_max_attempts": 2},
        user_agent_extra="modelyard",
    )
    return get_session().create_client("sqs", config=config)


class SqsQueue:
    """`WarmQueue` over SQS; messages come as events of the queue or by `receive`."""

    def __init__(self, url: str, client: Callable[[], Any], clock: Clock) -> None:
        """`client` is called at first need: it takes a fifth of a second that few calls need."""
        self._url = url
        self._client = functools.cache(client)
        self._clock = clock

    def prepare(self) -> None:
        """Make the client before anybody waits for it."""
        self._client()

    def send(self, request: WarmRequest) -> None:
        """Store the request unless one for the same model came within the same bucket of time.

        Raises:
            DependencyError: the queue does not take it.
        """
        body = render_warm_message(request)
        bucket = int(self._clock.time() // DEDUPLICATION_BUCKET_S)
        self._ask(
            "send_message",
            MessageBody=body,
            MessageGroupId=_digest(body),
            MessageDeduplicationId=_digest(f"{bucket}/{body}"),
        )

    def receive(self) -> WarmDelivery | None:
        """Return the next visible message, hidden from others for the queue's visibility time."""
        answer = self._ask(
            "receive_message",
            MaxNumberOfMessages=1,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        messages = answer.get("Messages", [])
        if not messages:
            return None
        message = messages[0]
        attempt = int(message["Attributes"]["ApproximateReceiveCount"])
        return WarmDelivery(parse_warm_message(message["Body"]), message["ReceiptHandle"], attempt)

    def delete(self, delivery: WarmDelivery) -> None:
        """Forget the message."""
        self._ask("delete_message", ReceiptHandle=delivery.receipt)

    def retry(self, delivery: WarmDelivery, delay_s: float) -> None:
        """Show the message again after `delay_s`; the redrive policy buries it in the end."""
        self.hide(delivery, delay_s)

    def hide(self, delivery: WarmDelivery, hidden_s: float) -> None:
        """Keep the message from others from now on for `hidden_s`, whatever the queue says."""
        self._ask(
            "change_message_visibility",
            ReceiptHandle=delivery.receipt,
            VisibilityTimeout=min(int(hidden_s), MAX_HIDDEN_S),
        )

    def _ask(self, operation: str, **members: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client(), operation)(
                QueueUrl=self._url, **members
            )
        except (ClientError, BotoCoreError) as error:
            raise DependencyError(messages.warm_queue_unusable(error)) from error
        return answer


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()
