"""Lambda's event source mapping for an SQS queue, with one message per invocation."""

import asyncio
import json
import logging
from typing import Any

from modelyard.aws.deployed import MAX_WARMERS, WARM_BATCH_SIZE
from modelyard.local.emulation.definitions import FunctionCall, Outcome
from modelyard.local.emulation.functions import Functions, ThrottledError

logger = logging.getLogger(__name__)

POLL_S = 1
"""How long one request waits for a message. AWS waits longer; here it would delay the stop."""
PAUSE_AFTER_ERROR_S = 1.0


class QueueTrigger:
    """Invokes a function with each message and deletes the messages that it processed."""

    def __init__(
        self, functions: Functions, function_name: str, client: Any, queue_url: str, queue_arn: str
    ) -> None:
        self._functions = functions
        self._function_name = function_name
        self._client = client
        self._url = queue_url
        self._arn = queue_arn
        self._places = asyncio.Semaphore(MAX_WARMERS)

    async def run(self) -> None:
        """Poll until cancelled. SQS itself keeps the order within a FIFO group."""
        async with asyncio.TaskGroup() as deliveries:
            while True:
                await self._places.acquire()
                message = await self._receive()
                if message is None:
                    self._places.release()
                else:
                    deliveries.create_task(self._deliver(message))

    async def _receive(self) -> dict[str, Any] | None:
        try:
            answer = await asyncio.to_thread(
                self._client.receive_message,
                QueueUrl=self._url,
                MaxNumberOfMessages=WARM_BATCH_SIZE,
                WaitTimeSeconds=POLL_S,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        except Exception as error:  # polling continues after any error of the SDK, as on AWS
            logger.error("queue cannot be polled", extra={"reason": str(error)})
            await asyncio.sleep(PAUSE_AFTER_ERROR_S)
            return None
        return next(iter(answer.get("Messages", [])), None)

    async def _deliver(self, message: dict[str, Any]) -> None:
        event = json.dumps({"Records": [sqs_record(message, self._arn)]}).encode()
        try:
            outcome = await self._functions.invoke(self._function_name, FunctionCall(event))
            if is_processed(outcome, message["MessageId"]):
                await asyncio.to_thread(
                    self._client.delete_message,
                    QueueUrl=self._url,
                    ReceiptHandle=message["ReceiptHandle"],
                )
        except ThrottledError:
            logger.warning("no execution environment for a message")  # it becomes visible again
        except Exception as error:  # an error with one message must not stop the polling
            logger.error("message not settled", extra={"reason": str(error)})
        finally:
            self._places.release()


def sqs_record(message: dict[str, Any], queue_arn: str) -> dict[str, Any]:
    """Return a received message as the record of an event."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": message.get("MessageAttributes", {}),
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": queue_arn.split(":")[3],
    }


def is_processed(outcome: Outcome, message_id: str) -> bool:
    """Return whether the function processed the message (partial batch responses).

    As on AWS, a failed function, an unreadable answer and an empty or unknown identifier mean that
    no message of the batch was processed.
    """
    if outcome.is_error:
        return False
    try:
        failures = (json.loads(outcome.payload) or {}).get("batchItemFailures") or []
        return not failures
    except (ValueError, AttributeError):
        return False
