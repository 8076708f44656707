"""The warmer function: loads the model of a warm message on the shard that will serve it."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelyard.aws import sqs_queue
from modelyard.aws.emf_metrics import EmfMetrics
from modelyard.aws.function_settings import WarmerSettings
from modelyard.aws.function_table import parse_function_table
from modelyard.aws.lambda_backend import LambdaBackend, LambdaClients
from modelyard.aws.logs import configure_function_logging
from modelyard.aws.sqs_queue import SqsQueue
from modelyard.domain.endpoints import EndpointTable
from modelyard.domain.errors import DependencyError
from modelyard.domain.system_clock import SystemClock
from modelyard.domain.values import Delivery, WarmDelivery
from modelyard.domain.warm_message import parse_warm_message
from modelyard.router.warming import Warmer

logger = logging.getLogger(__name__)

LOAD_MARGIN_S = 5.0
"""How long before the timeout of its function a load ends, so that the environment survives."""
RETURN_MARGIN_S = 20
"""If a warmer crashes, its message is delivered again this long after the warmer's timeout."""

Event = dict[str, Any]


class WarmerFunction:
    """Processes events of the warm queue. Each message is deleted or retried individually."""

    def __init__(self, warmer: Warmer, queue: SqsQueue, metrics: EmfMetrics) -> None:
        self._warmer = warmer
        self._queue = queue
        self._metrics = metrics

    def handle(self, event: Event, context: Any) -> Event:
        """Return the messages that stay on the queue (partial batch response)."""
        remaining_s = context.get_remaining_time_in_millis() / 1000
        try:
            failed = [
                record["messageId"]
                for record in event["Records"]
                if not self._warm(record, remaining_s)
            ]
        finally:
            self._metrics.flush()
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

    def _warm(self, record: Event, remaining_s: float) -> bool:
        """Load the model; return whether the message is done. Errors of the queue stop no load."""
        delivery = _delivery(record)
        try:
            self._queue.hide(delivery, remaining_s + RETURN_MARGIN_S)
        except DependencyError as error:  # a second delivery is possible; loading twice is harmless
            logger.warning("message not hidden", extra={"reason": error.message})
        try:
            return asyncio.run(self._warmer.process(delivery))
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
    queue = SqsQueue(settings.warm_queue_url, sqs_queue.build_client, clock)
    warmer = Warmer(
        endpoints=EndpointTable(item.endpoint for item in deployed),
        backend_of=backends.__getitem__,
        queue=queue,
        metrics=metrics,
        window_of=windows_s.__getitem__,
    )
    return WarmerFunction(warmer, queue, metrics).handle


def _delivery(record: Event) -> WarmDelivery:
    attempt = int(record["attributes"]["ApproximateReceiveCount"])
    return Delivery(parse_warm_message(record["body"]), record["receiptHandle"], attempt)
