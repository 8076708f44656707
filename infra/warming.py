"""The queues, their dead-letter queues and the warmer function, which processes both."""

from aws_cdk import Duration, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.assets import ENDPOINTS_FILE, PYTHON, function_code
from infra.inference import ARCHITECTURES, TRACING
from infra.log_groups import log_group
from infra.permissions import (
    allow,
    may_invoke,
    may_publish,
    may_read_objects,
    may_trace,
    may_write_objects,
    service_role,
)
from infra.settings import DeploySettings, location
from modelyard.aws.deployed import (
    ASYNC_MAX_RECEIVES,
    MAX_RECEIVES,
    MAX_WARMERS,
    WARM_BATCH_SIZE,
    WARMER_MEMORY_MB,
    warm_visibility_s,
    warmer_timeout_s,
)
from modelyard.aws.function_settings import WarmerSettings


class Warming(Construct):
    """Loads models in the background, and makes asynchronous invocations."""

    def __init__(self, scope: Construct, name: str, *, settings: DeploySettings) -> None:
        super().__init__(scope, name)
        longest_s = max(item.functions.timeout_s for item in settings.endpoints)
        self._timeout_s = warmer_timeout_s(longest_s)
        self._settings = settings
        self._visibility = Duration.seconds(warm_visibility_s(longest_s))
        self.dead_letters, self.queue = self._with_dead_letters("", MAX_RECEIVES)
        self.async_dead_letters: sqs.Queue | None = None
        self.async_queue: sqs.Queue | None = None
        if settings.async_places:
            self.async_dead_letters, self.async_queue = self._with_dead_letters(
                "Async", ASYNC_MAX_RECEIVES
            )

    @property
    def async_queue_url(self) -> str:
        """The URL of the queue of asynchronous invocations, or an empty text."""
        return "" if self.async_queue is None else self.async_queue.queue_url

    @property
    def queues(self) -> list[sqs.Queue]:
        """The queues that the warmer processes."""
        return [self.queue] if self.async_queue is None else [self.queue, self.async_queue]

    def add_warmer(
        self, layers: list[lambda_.LayerVersion], functions: list[lambda_.DockerImageFunction]
    ) -> lambda_.Function:
        """Return the warmer, which is triggered by the queue and invokes these functions."""
        self.log_group = log_group(self, "Logs", self._settings.deployment)
        role = service_role(self, "Role", self.log_group)
        tracing = self._settings.deployment.tracing
        if tracing == "xray":
            may_trace(role)
        may_invoke(role, functions)
        allow(
            role,
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:GetQueueAttributes",
            on=[queue.queue_arn for queue in self.queues],
        )
        for places in self._settings.async_places:
            may_write_objects(role, map(location, {places.output, places.failure}))
            may_read_objects(role, map(location, places.inputs))
            may_publish(role, filter(None, (places.success_topic, places.error_topic)))
        warmer = lambda_.Function(
            self,
            "Function",
            runtime=PYTHON,
            architecture=ARCHITECTURES[self._settings.deployment.architecture][0],
            handler="handler.handler",
            code=function_code("warmer"),
            layers=layers,
            memory_size=WARMER_MEMORY_MB,
            timeout=Duration.seconds(self._timeout_s),
            tracing=TRACING[tracing],
            role=role.without_policy_updates(),  # the event source would add its own permissions
            log_group=self.log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            environment=WarmerSettings(
                ENDPOINTS_FILE,
                self.queue.queue_url,
                self.async_queue_url,
                Stack.of(self).account,
            ).to_environ(),
        )
        for queue in self.queues:
            warmer.add_event_source(
                event_sources.SqsEventSource(
                    queue,
                    batch_size=WARM_BATCH_SIZE,
                    report_batch_item_failures=True,
                    max_concurrency=MAX_WARMERS,
                )
            )
        return warmer

    def _with_dead_letters(self, prefix: str, max_receives: int) -> tuple[sqs.Queue, sqs.Queue]:
        """Return a new dead-letter queue and the queue whose messages go there."""
        dead_letters = self._queue(f"{prefix}DeadLetters", retention_period=Duration.days(14))
        queue = self._queue(
            f"{prefix}Queue",
            visibility_timeout=self._visibility,
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=dead_letters, max_receive_count=max_receives
            ),
        )
        return dead_letters, queue

    def _queue(
        self,
        name: str,
        *,
        visibility_timeout: Duration | None = None,
        retention_period: Duration | None = None,
        dead_letter_queue: sqs.DeadLetterQueue | None = None,
    ) -> sqs.Queue:
        return sqs.Queue(
            self,
            name,
            fifo=True,
            enforce_ssl=True,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            visibility_timeout=visibility_timeout,
            retention_period=retention_period,
            dead_letter_queue=dead_letter_queue,
        )
