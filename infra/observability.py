"""The alarms, which each ask for one action (docs/operations.md), and the dashboard."""

from collections.abc import Mapping

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_efs as efs
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.dashboard import PERIOD, Panels, endpoint_metric, file_system_metric
from infra.router import RouterApi
from infra.settings import DeploySettings
from infra.warming import Warming
from modelyard.domain.metrics import INVOCATIONS, NOT_READY

OLDEST_MESSAGE_S = 1800
SERVER_ERRORS = 0.01
NOT_READY_RATIO = 0.2
LOW_CREDITS = 100 * (1 << 30)


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
        is_frugal = settings.deployment.profile == "frugal"
        for function_name, function in functions.items():
            if not is_frugal:
                throttles = function.metric_throttles(statistic="Sum")
                self._alarm(f"Throttles-{function_name}", throttles, 0)
        if file_system is not None and settings.deployment.efs_throughput == "bursting":
            self._credits_alarm(file_system)
        self.dashboard_name: str | None = None
        if not is_frugal:
            panels = Panels(settings, router, warming, functions, file_system)
            dashboard = cloudwatch.Dashboard(self, "Dashboard")
            dashboard.add_widgets(*panels)
            self.dashboard_name = dashboard.dashboard_name

    def _queue_alarms(self, warming: Warming) -> None:
        dead = warming.dead_letters.metric_approximate_number_of_messages_visible
        self._alarm("DeadLetters", dead(statistic="Maximum"), 0)
        if warming.async_dead_letters is not None:
            lost = warming.async_dead_letters.metric_approximate_number_of_messages_visible
            self._alarm("AsyncDeadLetters", lost(statistic="Maximum"), 0)
        oldest = warming.queue.metric_approximate_age_of_oldest_message(statistic="Maximum")
        self._alarm("OldestMessage", oldest, OLDEST_MESSAGE_S)

    def _credits_alarm(self, file_system: efs.FileSystem) -> None:
        balance = file_system_metric(file_system, "BurstCreditBalance", "Minimum")
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


def _topic(scope: Construct, arn: str | None) -> sns.ITopic | None:
    return None if arn is None else sns.Topic.from_topic_arn(scope, "AlarmTopic", arn)


def _not_ready_ratio(endpoint_name: str) -> cloudwatch.MathExpression:
    return cloudwatch.MathExpression(
        expression="late / FILL(calls, 1)",
        using_metrics={
            "late": endpoint_metric(endpoint_name, NOT_READY, "Sum"),
            "calls": endpoint_metric(endpoint_name, INVOCATIONS, "Sum"),
        },
        period=PERIOD,
        label="share of calls that were not ready",
    )
