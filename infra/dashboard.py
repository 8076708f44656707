"""The panels of the dashboard: each endpoint, then the services that it runs on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_efs as efs
from aws_cdk import aws_lambda as lambda_

from infra.router import RouterApi
from infra.settings import DeploySettings
from infra.warming import Warming
from modelyard.domain.metrics import (
    MODEL_LATENCY,
    MODEL_LOADING_TIME,
    MODEL_LOADING_WAIT_TIME,
    NAMESPACE,
    OVERHEAD_LATENCY,
    PER_INVOCATION,
    Metric,
)

PERIOD = Duration.minutes(5)
_SHOWN_TIMES = (MODEL_LATENCY, OVERHEAD_LATENCY, MODEL_LOADING_WAIT_TIME, MODEL_LOADING_TIME)
_MAX_SHOWN = 50
"""Functions in a panel; a panel has at most 500 metrics, and lines beyond this cannot be read."""


@dataclass(frozen=True, slots=True)
class Panels:
    """The panels of a deployment."""

    settings: DeploySettings
    router: RouterApi
    warming: Warming
    functions: Mapping[str, lambda_.IFunction]
    file_system: efs.FileSystem | None

    def __iter__(self) -> Iterator[cloudwatch.GraphWidget]:
        for endpoint in self.settings.endpoints:
            name = endpoint.name
            counts = [endpoint_metric(name, metric, "Sum") for metric in PER_INVOCATION]
            yield _panel(f"{name}: calls", counts)
            times = [endpoint_metric(name, metric, "p99") for metric in _SHOWN_TIMES]
            yield _panel(f"{name}: p99, us", times)
        yield from self._api()
        yield from self._lambda()
        yield from self._queue()
        if self.file_system is not None:
            names = ("DataReadIOBytes", "DataWriteIOBytes", "MetadataIOBytes")
            read = [file_system_metric(self.file_system, name, "Sum") for name in names]
            yield _panel("EFS: bytes", read)
            balance = file_system_metric(self.file_system, "BurstCreditBalance", "Minimum")
            load = file_system_metric(self.file_system, "PercentIOLimit", "Maximum")
            yield _panel("EFS: burst credits, and percent of its limit", [balance], [load])

    def _api(self) -> Iterator[cloudwatch.GraphWidget]:
        api = self.router.api
        errors = [api.metric_client_error(), api.metric_server_error()]
        yield _panel("API Gateway: requests", [api.metric_count(), *errors])
        times = [
            api.metric_latency(statistic="p99"),
            api.metric_integration_latency(statistic="p99"),
        ]
        yield _panel("API Gateway: p99, ms", times)

    def _lambda(self) -> Iterator[cloudwatch.GraphWidget]:
        shown = [*self.functions.values()][:_MAX_SHOWN]
        calls = [function.metric_invocations() for function in shown]
        bad = [function.metric_errors() for function in shown]
        yield _panel("Lambda: invocations, and errors", calls, bad)
        times = [function.metric_duration(statistic="p99") for function in shown]
        refused = [function.metric_throttles() for function in shown]
        yield _panel("Lambda: p99 of durations in ms, and throttles", times, refused)

    def _queue(self) -> Iterator[cloudwatch.GraphWidget]:
        queue, dead = self.warming.queue, self.warming.dead_letters
        waiting = [
            queue.metric_approximate_number_of_messages_visible(statistic="Maximum"),
            queue.metric_approximate_number_of_messages_not_visible(statistic="Maximum"),
            dead.metric_approximate_number_of_messages_visible(statistic="Maximum"),
        ]
        yield _panel("SQS: warm messages and dead letters", waiting)
        oldest = queue.metric_approximate_age_of_oldest_message(statistic="Maximum")
        yield _panel("SQS: age of the oldest warm message in s", [oldest])


def endpoint_metric(endpoint_name: str, metric: Metric, statistic: str) -> cloudwatch.Metric:
    """Return a metric of an endpoint."""
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=metric.name,
        dimensions_map={"EndpointName": endpoint_name},
        statistic=statistic,
        period=PERIOD,
    )


def file_system_metric(file_system: efs.FileSystem, name: str, statistic: str) -> cloudwatch.Metric:
    """Return a metric of a file system."""
    return cloudwatch.Metric(
        namespace="AWS/EFS",
        metric_name=name,
        dimensions_map={"FileSystemId": file_system.file_system_id},
        statistic=statistic,
        period=PERIOD,
    )


def _panel(
    title: str,
    left: Sequence[cloudwatch.IMetric],
    right: Sequence[cloudwatch.IMetric] | None = None,
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(left), right=list(right or ()), width=12)
