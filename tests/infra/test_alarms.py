"""Every alarm: what it watches, when it goes off, and whom it tells."""

from typing import Any

import pytest

from tests.infra.synthesis import Resource, Synthesis, resources, text

TOPIC = "arn:aws:sns:us-east-1:111122223333:alarms"
GREATER, LESS = "GreaterThanThreshold", "LessThanThreshold"
EXPECTED: dict[str, tuple[str, str, str, float]] = {
    "DeadLetters": (
        "AWS/SQS ApproximateNumberOfMessagesVisible Maximum",
        "QueueName=<WarmingDeadLetters.QueueName>",
        GREATER,
        0,
    ),
    "OldestMessage": (
        "AWS/SQS ApproximateAgeOfOldestMessage Maximum",
        "QueueName=<WarmingQueue.QueueName>",
        GREATER,
        1800,
    ),
    "ServerErrors": ("AWS/ApiGateway 5XXError Average", "ApiName=yard", GREATER, 0.01),
    "BurstCredits": (
        "AWS/EFS BurstCreditBalance Minimum",
        "FileSystemId=<Cache>",
        LESS,
        100 * 2**30,
    ),
    "NotReady-houses": ("late / FILL(calls, 1)", "EndpointName=houses", GREATER, 0.2),
    "NotReady-words": ("late / FILL(calls, 1)", "EndpointName=words", GREATER, 0.2),
    **{
        f"Throttles-{name}": (
            "AWS/Lambda Throttles Sum",
            f"FunctionName=<{function}>",
            GREATER,
            0,
        )
        for name, function in {
            "router": "RouterFunction",
            "houses-0": "InferencehousesShard0",
            "houses-1": "InferencehousesShard1",
            "houses-2": "InferencehousesShard2",
            "words-0": "InferencewordsShard0",
        }.items()
    },
}


def alarms(synthesis: Synthesis) -> dict[str, Resource]:
    """Return the alarms by the names that the pages call them by."""
    return {
        alarm["AlarmDescription"].split(" ")[1].rstrip("."): alarm
        for alarm in resources(synthesis.service, "CloudWatch::Alarm").values()
    }


def watched(alarm: Resource) -> tuple[str, str]:
    """Return the metric, or the formula over metrics, and what it is of."""
    if "Metrics" not in alarm:
        metric = f"{alarm['Namespace']} {alarm['MetricName']} {alarm['Statistic']}"
        return metric, " ".join(map(dimension, alarm["Dimensions"]))
    formula, *parts = alarm["Metrics"]
    metrics = {part["Id"]: part["MetricStat"] for part in parts}
    assert {
        name: (stat["Metric"]["MetricName"], stat["Stat"]) for name, stat in metrics.items()
    } == {
        "late": ("NotReady", "Sum"),
        "calls": ("Invocations", "Sum"),
    }
    of = {tuple(map(dimension, stat["Metric"]["Dimensions"])) for stat in metrics.values()}
    return formula["Expression"], " ".join(of.pop())


def dimension(item: Resource) -> str:
    return f"{item['Name']}={bare(item['Value'])}"


def bare(value: Any) -> str:
    """Return a reference without the digest of its logical id."""
    match value:
        case {"Ref": name}:
            return f"<{name[:-8]}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name[:-8]}.{attribute}>"
        case {"Fn::ImportValue": name} if "OutputRefCache18F6EE16" in name:
            return "<Cache>"
        case _:
            return text(value)


@pytest.mark.parametrize("name", EXPECTED)
def test_alarm_goes_off_and_tells_the_topic(plain: Synthesis, name: str) -> None:
    metric, of, comparison, threshold = EXPECTED[name]

    alarm = alarms(plain)[name]

    assert watched(alarm) == (metric, of)
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == (comparison, threshold)
    assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (3, 2)
    assert alarm["TreatMissingData"] == "notBreaching"
    assert alarm["AlarmActions"] == [TOPIC]


def test_there_are_no_other_alarms(plain: Synthesis) -> None:
    assert alarms(plain).keys() == EXPECTED.keys()


def test_alarms_without_a_topic_tell_nobody(changed: Synthesis) -> None:
    assert alarms(changed)
    assert not any("AlarmActions" in alarm for alarm in alarms(changed).values())


def test_credits_are_watched_only_where_there_are_any(
    changed: Synthesis, private: Synthesis
) -> None:
    assert "BurstCredits" not in alarms(changed)  # no file system
    assert "BurstCredits" not in alarms(private)  # elastic throughput has none


@pytest.mark.parametrize("endpoint", ["houses", "words"])
def test_dashboard_shows_the_names_that_sagemaker_gave_its_metrics(
    plain: Synthesis, endpoint: str
) -> None:
    (dashboard,) = resources(plain.service, "CloudWatch::Dashboard").values()
    body = text(dashboard["DashboardBody"])

    for metric in (
        "Invocations",
        "Invocation4XXErrors",
        "Invocation5XXErrors",
        "InvocationModelErrors",
        "ModelCacheHit",
        "ModelLatency",
        "OverheadLatency",
        "ModelLoadingWaitTime",
        "ModelLoadingTime",
    ):
        assert f'["Modelyard","{metric}","EndpointName","{endpoint}"' in body


def test_dashboard_shows_the_services_that_a_deployment_runs_on(
    plain: Synthesis, changed: Synthesis
) -> None:
    (dashboard,) = resources(plain.service, "CloudWatch::Dashboard").values()
    (without_cache,) = resources(changed.service, "CloudWatch::Dashboard").values()
    body = text(dashboard["DashboardBody"])

    for namespace, metric in (
        ("ApiGateway", "5XXError"),
        ("ApiGateway", "Latency"),
        ("Lambda", "Invocations"),
        ("Lambda", "Throttles"),
        ("Lambda", "Duration"),
        ("SQS", "ApproximateNumberOfMessagesVisible"),
        ("SQS", "ApproximateAgeOfOldestMessage"),
        ("EFS", "BurstCreditBalance"),
        ("EFS", "DataReadIOBytes"),
    ):
        assert f'["AWS/{namespace}","{metric}"' in body
    assert "AWS/EFS" not in text(without_cache["DashboardBody"])
