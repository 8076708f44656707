"""The warmer function: it does the work of the queues, on the shards that serve the models.

A warm message loads its model; an asynchronous invocation calls it.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from modelyard.aws import sqs_queue
from modelyard.aws.emf_metrics import EmfMetrics
from modelyard.aws.function_settings import WarmerSettings
from modelyard.aws.function_table import parse_function_table
from modelyard.aws.keep_awake import invoke_all, is_keep_awake
from modelyard.aws.lambda_backend import LambdaBackend, LambdaClients
from modelyard.aws.logs import configure_function_logging
from modelyard.aws.sqs_queue import SqsQueue
from modelyard.domain.async_call import ASYNC_CALLS
from modelyard.domain.endpoints import LOCAL, EndpointTable, ServerLocation
from modelyard.domain.errors import DependencyError
from modelyard.domain.message_form import MessageForm
from modelyard.domain.system_clock import SystemClock
from modelyard.domain.values import Delivery
from modelyard.domain.warm_message import WARM_MESSAGES
from modelyard.repositories.objects import Objects
from modelyard.repositories.topics import Topics
from modelyard.router.async_calls import AsyncInvoker
from modelyard.router.router import Router
from modelyard.router.warming import Warmer

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOAD_MARGIN_S = 5.0
"""How long before the timeout of its function a load ends, so that the environment survives."""
KEEP_AWAKE_TIMEOUT_S = 10.0
"""How long to wait until Lambda accepts an invocation that nobody waits for."""
RETURN_MARGIN_S = 20
"""If a warmer crashes, its message is delivered again this long after the warmer's timeout."""

Event = dict[str, Any]


class WarmerFunction:
    """Processes events of the queues. Each message is deleted or retried individually."""

    def __init__(
        self,
        queues: Sequence["ProcessedQueue[Any]"],
        metrics: EmfMetrics,
        keep_awake: Callable[[], int],
    ) -> None:
        """`keep_awake` invokes every inference function; it returns how many there are."""
        self._queues = {queue.name: queue for queue in queues}
        self._metrics = metrics
        self._keep_awake = keep_awake

    def handle(self, event: Event, context: Any) -> Event:
        """Return the messages that stay on their queue (partial batch response)."""
        if is_keep_awake(event):
            logger.info("functions kept awake", extra={"functions": self._keep_awake()})
            return {}
        remaining_s = context.get_remaining_time_in_millis() / 1000
        try:
            failed = [
                record["messageId"]
                for record in event["Records"]
                if not self._is_done(record, remaining_s)
            ]
        finally:
            self._metrics.flush()
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

    def _is_done(self, record: Event, remaining_s: float) -> bool:
        """Process a message. If it is damaged, or meets a defect, the others are still processed.

        It is delivered again until it is a dead letter.
        """
        try:
            queue = self._queues[record["eventSourceARN"].rpartition(":")[2]]
            return queue.process(record, remaining_s)
        except Exception:
            logger.exception("message failed", extra={"message_id": record["messageId"]})
            return False


class ProcessedQueue(Generic[T]):
    """A queue, the form of its messages, and what processes them."""

    def __init__(
        self,
        url: str,
        queue: SqsQueue[T],
        form: MessageForm[T],
        process: Callable[[Delivery[T]], Coroutine[Any, Any, bool]],
    ) -> None:
        self.name = url.rpartition("/")[2]
        self._queue = queue
        self._form = form
        self._process = process

    def process(self, record: Event, remaining_s: float) -> bool:
        """Process a message; return whether it is done. Errors of the queue stop no work."""
        attempt = int(record["attributes"]["ApproximateReceiveCount"])
        request = self._form.parse(record["body"])
        delivery = Delivery(request, record["receiptHandle"], attempt)
        try:
            self._queue.hide(delivery, remaining_s + RETURN_MARGIN_S)
        except DependencyError as error:  # a second delivery is possible; loading twice is harmless
            logger.warning("message not hidden", extra={"reason": error.message})
        try:
            return asyncio.run(self._process(delivery))
        except DependencyError as error:  # it is delivered again; a loaded model answers quickly
            logger.warning("message not settled", extra={"reason": error.message})
            return False


def handler_of(environ: Mapping[str, str]) -> Callable[[Event, Any], Event]:
    """Return the Lambda handler of the warmer.

    Raises:
        ConfigurationError: environment variables are missing or wrong.
    """
    configure_function_logging()
    settings = WarmerSettings.from_environ(environ)
    clock, metrics, clients = SystemClock(), EmfMetrics(), LambdaClients()
    deployed = parse_function_table(Path(settings.endpoints_file).read_bytes()).endpoints
    backends = {
        item.endpoint.name: LambdaBackend(item, clients.reading_for, clock) for item in deployed
    }
    windows_s = {item.endpoint.name: item.timeout_s - LOAD_MARGIN_S for item in deployed}
    endpoints = EndpointTable(item.endpoint for item in deployed)
    url = settings.warm_queue_url
    queue = SqsQueue(url, sqs_queue.build_client, clock, WARM_MESSAGES)
    warmer = Warmer(
        endpoints=endpoints,
        backend_of=backends.__getitem__,
        queue=queue,
        metrics=metrics,
        window_of=windows_s.__getitem__,
    )
    queues: list[ProcessedQueue[Any]] = [ProcessedQueue(url, queue, WARM_MESSAGES, warmer.process)]
    if settings.async_queue_url:
        url = settings.async_queue_url
        async_queue = SqsQueue(url, sqs_queue.build_client, clock, ASYNC_CALLS)
        invoker = AsyncInvoker(
            router=Router(
                endpoints=endpoints,
                backend_of=backends.__getitem__,
                warm_queue=queue,
                metrics=metrics,
                clock=clock,
            ),
            queue=async_queue,
            objects=Objects(),
            topics=Topics(),
            location=ServerLocation(environ.get("AWS_REGION", LOCAL), settings.account),
            clock=clock,
            longest_s_of=windows_s.__getitem__,
        )
        queues.append(ProcessedQueue(url, async_queue, ASYNC_CALLS, invoker.process))

    def keep_awake() -> int:
        return invoke_all(clients.reading_for(KEEP_AWAKE_TIMEOUT_S), deployed)

    return WarmerFunction(queues, metrics, keep_awake).handle
