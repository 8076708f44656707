"""The log lines of a deployment in CloudWatch, of one endpoint or one model."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from modelyard.domain import messages
from modelyard.domain.errors import ConfigurationError, DependencyError

OUTPUT = "LogGroups"
ENDPOINT_TAG = "modelyard:endpoint"
LATE_S = 30.0
"""How much later than others a line may become visible."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a function's log."""

    moment_s: float
    """Seconds since 1970."""
    group: str
    text: str


@dataclass(frozen=True, slots=True)
class LogGroup:
    """A log group and the endpoint that it belongs to; None for those of all endpoints."""

    name: str
    endpoint_name: str | None


class EndpointLogs:
    """The lines of one endpoint, or of one of its models, that appear over time.

    Each call of `new_lines` returns those that no earlier call returned. CloudWatch may show a line
    later than a younger one, so the last seconds are asked for again.
    """

    def __init__(
        self,
        client: Any,
        groups: list[LogGroup],
        endpoint_name: str,
        model: str | None,
        since_s: float,
    ) -> None:
        """`client` is one of CloudWatch Logs."""
        self._client = client
        self._groups = groups
        self._of_all = [endpoint_name] if model is None else [endpoint_name, model]
        self._of_endpoint = self._of_all[1:]
        self._since_s = since_s
        self._seen: dict[str, float] = {}

    def new_lines(self) -> list[LogLine]:
        """Return new lines, oldest first.

        Raises:
            DependencyError: CloudWatch cannot be asked.
        """
        with _asking():
            found = {
                event["eventId"]: LogLine(event["timestamp"] / 1000, group.name, event["message"])
                for group in self._groups
                for event in self._events(group)
            }
        new = [line for key, line in found.items() if key not in self._seen]
        self._seen |= {key: line.moment_s for key, line in found.items()}
        newest_s = max(self._seen.values(), default=self._since_s)
        self._since_s = max(self._since_s, newest_s - LATE_S)
        self._seen = {key: at for key, at in self._seen.items() if at >= self._since_s}
        return sorted(new, key=lambda line: line.moment_s)

    def _events(self, group: LogGroup) -> Iterator[dict[str, Any]]:
        words = self._of_all if group.endpoint_name is None else self._of_endpoint
        pattern = {"filterPattern": _quoted(words[-1])} if words else {}
        pages = self._client.get_paginator("filter_log_events").paginate(
            logGroupName=group.name, startTime=int(self._since_s * 1000), **pattern
        )
        for page in pages:
            for event in page["events"]:
                if all(_names(event["message"], word) for word in words):
                    yield event


def follow(
    session: Any, deployment: str, endpoint_name: str, model: str | None, since_s: float
) -> EndpointLogs:
    """Return the logs of an endpoint, or of one of its models, from a moment on.

    Raises:
        ConfigurationError: there is no such deployment, or it has no such endpoint.
        DependencyError: AWS cannot be asked.
    """
    with _asking():
        client = session.client("logs")
        groups = [*_groups(session, client, deployment)]
    if endpoint_name not in {group.endpoint_name for group in groups}:
        known = ", ".join(sorted(group.endpoint_name for group in groups if group.endpoint_name))
        raise ConfigurationError(
            f"the deployment {deployment} has no endpoint {endpoint_name}; it has: {known}"
        )
    asked = [group for group in groups if group.endpoint_name in (None, endpoint_name)]
    return EndpointLogs(client, asked, endpoint_name, model, since_s)


def _groups(session: Any, client: Any, deployment: str) -> Iterator[LogGroup]:
    """Yield the log groups of the functions; tags tell which endpoint they belong to."""
    from botocore.exceptions import ClientError

    try:
        stack = session.client("cloudformation").describe_stacks(StackName=deployment)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        raise ConfigurationError(
            f"there is no deployment {deployment} in {session.region_name}; --deployment names it"
        ) from error
    account, region = stack["StackId"].split(":")[4], session.region_name
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    for name in outputs.get(OUTPUT, "").split():
        arn = f"arn:{stack['StackId'].split(':')[1]}:logs:{region}:{account}:log-group:{name}"
        tags = client.list_tags_for_resource(resourceArn=arn)["tags"]
        yield LogGroup(name, tags.get(ENDPOINT_TAG))


@contextmanager
def _asking() -> Iterator[None]:
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        NoRegionError,
    )

    try:
        yield
    except NoRegionError as error:
        raise ConfigurationError(
            "The region of the deployment is not known; set AWS_DEFAULT_REGION, or AWS_PROFILE to"
            " a profile that has one. The log of a local server is what `modelyard serve` prints."
        ) from error
    except NoCredentialsError as error:
        raise ConfigurationError(messages.NO_AWS_CREDENTIALS) from error
    except (BotoCoreError, ClientError) as error:
        raise DependencyError(f"the logs cannot be read: {error}") from error


def _names(text: str, word: str) -> bool:
    """Return whether a text has a name as a whole: `b/a.onnx` does not name `a.onnx`."""
    return re.search(rf"(?<![\w./-]){re.escape(word)}(?!\.?[\w/-])", text) is not None


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
