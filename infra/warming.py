"""The warm queue, its dead-letter queue and the warmer function."""

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.assets import ENDPOINTS_FILE, PYTHON, function_code
from infra.inference import ARCHITECTURES
from infra.log_groups import log_group
from infra.permissions import allow, may_invoke, service_role
from infra.settings import DeploySettings
from modelyard.aws.deployed import (
    MAX_RECEIVES,
    MAX_WARMERS,
    WARM_BATCH_SIZE,
    WARMER_MEMORY_MB,
    warm_visibility_s,
    warmer_timeout_s,
)
from modelyard.aws.function_settings import WarmerSettings


class Warming(Construct):
    """Loads models in the background that were not loaded within a call."""

    def __init__(self, scope: Construct, name: str, *, settings: DeploySettings) -> None:
        super().__init__(scope, name)
        longest_s = max(item.functions.timeout_s for item in settings.endpoints)
        self._timeout_s = warmer_timeout_s(longest_s)
        self._settings = settings
        self.dead_letters = self._queue("DeadLetters", retention_period=Duration.days(14))
        self.queue = self._queue(
            "Queue",
            visibility_timeout=Duration.seconds(warm_visibility_s(longest_s)),
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=self.dead_letters, max_receive_count=MAX_RECEIVES
            ),
        )

    def add_warmer(
        self, layers: list[lambda_.LayerVersion], functions: list[lambda_.DockerImageFunction]
    ) -> lambda_.Function:
        """Return the warmer, which is triggered by the queue and invokes these functions."""
        self.log_group = log_group(self, "Logs", self._settings.deployment)
        role = service_role(self, "Role", self.log_group)
        may_invoke(role, functions)
        allow(
            role,
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:GetQueueAttributes",
            on=[self.queue.queue_arn],
        )
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
            role=role.without_policy_updates(),  # the event source would add its own permissions
            log_group=self.log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            environment=WarmerSettings(ENDPOINTS_FILE, self.queue.queue_url).to_environ(),
        )
        warmer.add_event_source(
            event_sources.SqsEventSource(
                self.queue,
                batch_size=WARM_BATCH_SIZE,
                report_batch_item_failures=True,
                max_concurrency=MAX_WARMERS,
            )
        )
        return warmer

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
