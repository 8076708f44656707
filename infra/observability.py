"""The dashboard, and alarms that each ask for one action (docs/operations.md)."""

from collections.abc import Mapping

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_efs as efs
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.router import RouterApi
from infra.settings import DeploySettings
from infra.warming import Warming
from modelyard.domain.metrics import (
    INVOCATIONS,
    MODEL_LATENCY,
    MODEL_LOADING_TIME,
    MODEL_LOADING_WAIT_TIME,
    NAMESPACE,
    NOT_READY,
    OVERHEAD_LATENCY,
    PER_INVOCATION,
    Metric,
)

OLDEST_MESSAGE_S = 1800
SERVER_ERRORS = 0.01
NOT_READY_RATIO = 0.2
LOW_CREDITS = 100 * (1 << 30)
_PERIOD = Duration.minutes(5)
_SHOWN_TIMES = (MODEL_LATENCY, OVERHEAD_LATENCY, MODEL_LOADING_WAIT_TIME, MODEL_LOADING_TIME)


class Observability(Construct):
    """The alarms and the dashboard of a deployment."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        settings: DeploySettings,
        router: RouterApi,
        warming: Warming,
        functions: Mapping[str, lambda_.IFunction],
        file_system: efs.FileSystem | None,
    ) -> None:
        super().__init__(scope, name)
        self._topic = _topic(self, settings.deployment.alarm_topic)
        names = [item.name for item in settings.endpoints]
        self._queue_alarms(warming)
        self._alarm(
            "ServerErrors", router.api.metric_server_error(statistic="Average"), SERVER_ERRORS
        )
        for endpoint_name in names:
            self._alarm(
                f"NotReady-{endpoint_name}", _not_ready_ratio(endpoint_name), NOT_READY_RATIO
            )
        for function_name, function in functions.items():
            throttles = function.metric_throttles(statistic="Sum")
            self._alarm(f"Throttles-{function_name}", throttles, 0)
        if file_system is not None and settings.deployment.efs_throughput == "bursting":
            self._credits_alarm(file_system)
        self._dashboard(names)

    def _queue_alarms(self, warming: Warming) -> None:
        dead = warming.dead_letters.metric_approximate_number_of_messages_visible
        self._alarm("DeadLetters", dead(statistic="Maximum"), 0)
        if warming.async_dead_letters is not None:
            lost = warming.async_dead_letters.metric_approximate_number_of_messages_visible
            self._alarm("AsyncDeadLetters", lost(statistic="Maximum"), 0)
        oldest = warming.queue.metric_approximate_age_of_oldest_message(statistic="Maximum")
        self._alarm("OldestMessage", oldest, OLDEST_MESSAGE_S)

    def _credits_alarm(self, file_system: efs.FileSystem) -> None:
        balance = cloudwatch.Metric(
            namespace="AWS/EFS",
            metric_name="BurstCreditBalance",
            dimensions_map={"FileSystemId": file_system.file_system_id},
            statistic="Minimum",
            period=_PERIOD,
        )
        self._alarm("BurstCredits", balance, LOW_CREDITS, is_low=True)

    def _alarm(
        self, name: str, metric: cloudwatch.IMetric, threshold: float, *, is_low: bool = False
    ) -> None:
        comparison = cloudwatch.ComparisonOperator
        alarm = cloudwatch.Alarm(
            self,
            name,
            metric=metric,
            threshold=threshold,
            evaluation_periods=3,
            datapoints_to_alarm=2,
            comparison_operator=comparison.LESS_THAN_THRESHOLD
            if is_low
            else comparison.GREATER_THAN_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=f"Modelyard: {name}. docs/operations.md says what to do.",
        )
        if self._topic is not None:
            alarm.add_alarm_action(actions.SnsAction(self._topic))

    def _dashboard(self, endpoint_names: list[str]) -> None:
        dashboard = cloudwatch.Dashboard(self, "Dashboard")
        self.dashboard_name = dashboard.dashboard_name
        for endpoint_name in endpoint_names:
            counts = [_metric(endpoint_name, metric, "Sum") for metric in PER_INVOCATION]
            times = [_metric(endpoint_name, metric, "p99") for metric in _SHOWN_TIMES]
            dashboard.add_widgets(
                cloudwatch.GraphWidget(title=f"{endpoint_name}: calls", left=counts, width=12),
                cloudwatch.GraphWidget(title=f"{endpoint_name}: p99, us", left=times, width=12),
            )


def _topic(scope: Construct, arn: str | None) -> sns.ITopic | None:
    return None if arn is None else sns.Topic.from_topic_arn(scope, "AlarmTopic", arn)


def _metric(endpoint_name: str, metric: Metric, statistic: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=metric.name,
        dimensions_map={"EndpointName": endpoint_name},
        statistic=statistic,
        period=_PERIOD,
    )


def _not_ready_ratio(endpoint_name: str) -> cloudwatch.MathExpression:
    return cloudwatch.MathExpression(
        expression="late / FILL(calls, 1)",
        using_metrics={
            "late": _metric(endpoint_name, NOT_READY, "Sum"),
            "calls": _metric(endpoint_name, INVOCATIONS, "Sum"),
        },
        period=_PERIOD,
        label="share of calls that were not ready",
    )
