"""A queue on AWS: a FIFO queue with one group for each request, so for each model to warm.

SQS delivers one message of a group at a time, so one warmer works on a model. Many "not ready"
answers of one model make one message for each bucket of time, by SQS's deduplication. The bucket is
shorter than the time that a failing message stays on the queue. So when deduplication drops a
message, an equal message is still on the queue, or has loaded the model within the same bucket.
"""

import functools
import hashlib
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from modelyard.domain import messages
from modelyard.domain.errors import DependencyError
from modelyard.domain.message_form import MessageForm
from modelyard.domain.ports import Clock
from modelyard.domain.values import Delivery

T = TypeVar("T")

DEDUPLICATION_BUCKET_S = 30
MAX_HIDDEN_S = 43_200
"""The longest visibility timeout that SQS allows."""


def build_client() -> Any:
    """Return an SQS client; region and credentials come from the usual AWS settings."""
    config = Config(
        connect_timeout=2,
        read_timeout=5,
        retries={"mode": "standard", "total_max_attempts": 2},
        user_agent_extra="modelyard",
    )
    return get_session().create_client("sqs", config=config)


class SqsQueue(Generic[T]):
    """`MessageQueue` and `Deliveries` over SQS; Lambda receives the messages."""

    def __init__(
        self, url: str, client: Callable[[], Any], clock: Clock, form: MessageForm[T]
    ) -> None:
        """`client` is called when it is first needed: it takes 0.2 s, which few calls need."""
        self._url = url
        self._client = functools.cache(client)
        self._clock = clock
        self._form = form

    def prepare(self) -> None:
        """Create the client now, so that no caller waits for it."""
        self._client()

    def send(self, request: T) -> None:
        """Store the request unless an equal one came within the same bucket of time.

        Raises:
            DependencyError: SQS refuses the message or cannot be reached.
        """
        body = self._form.render(request)
        bucket = int(self._clock.time() // DEDUPLICATION_BUCKET_S)
        self._ask(
            "send_message",
            MessageBody=body,
            MessageGroupId=_digest(body),
            MessageDeduplicationId=_digest(f"{bucket}/{body}"),
        )

    def delete(self, delivery: Delivery[T]) -> None:
        """Delete the message."""
        self._ask("delete_message", ReceiptHandle=delivery.receipt)

    def retry(self, delivery: Delivery[T], delay_s: float) -> None:
        """Deliver the message again after `delay_s`; the queue's redrive policy counts attempts."""
        self.hide(delivery, delay_s)

    def hide(self, delivery: Delivery[T], hidden_s: float) -> None:
        """Hide the message from now on for `hidden_s`, whatever the queue's own setting is."""
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
            raise DependencyError(messages.queue_unusable(self._form.queue, error)) from error
        return answer


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()
