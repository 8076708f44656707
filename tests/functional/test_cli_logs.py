"""`modelyard logs` on log groups in CloudWatch, in the place of which moto is."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from modelyard.aws.function_logs import EndpointLogs, LogGroup
from modelyard.cli.main import app


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["logs", *words], env={"COLUMNS": "200"})


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployment with two endpoints, as far as logs are concerned."""

    name: str
    client: Any

    def group(self, part: str) -> str:
        return f"{self.name}-{part}Logs0123ABCD-XYZ"

    def write(self, part: str, *events: object) -> None:
        group, stream = self.group(part), uuid.uuid4().hex
        self.client.create_log_stream(logGroupName=group, logStreamName=stream)
        now_ms = int(time.time() * 1000)
        lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
        self.client.put_log_events(
            logGroupName=group,
            logStreamName=stream,
            logEvents=[{"timestamp": now_ms, "message": line} for line in lines],
        )


@pytest.fixture
def deployed(s3_bucket: str) -> Iterator[Deployed]:
    name = f"d{uuid.uuid4().hex[:8]}"
    logs, stacks = boto3.client("logs"), boto3.client("cloudformation")
    found = Deployed(name, logs)
    groups = {
        "Router": {},
        "Inferencehouses": {"modelyard:endpoint": "houses"},
        "Inferencewords": {"modelyard:endpoint": "words"},
    }
    for part, tags in groups.items():
        logs.create_log_group(logGroupName=found.group(part), tags=tags)
    outputs = {"LogGroups": {"Value": " ".join(map(found.group, groups))}}
    topic = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}, "Outputs": outputs}
    stacks.create_stack(StackName=name, TemplateBody=json.dumps(topic))
    yield found
    logs.close()
    stacks.close()


def test_lines_of_one_model_come_from_router_and_functions(deployed: Deployed) -> None:
    def invocation(endpoint: str, target: str) -> dict[str, Any]:
        event = {"endpoint": endpoint, "target": target}
        return {"level": "INFO", "message": "invocation", "requestId": "r", **event}

    deployed.write(
        "Router",
        invocation("houses", "a.onnx"),
        invocation("houses", "b.onnx"),
        invocation("words", "a.onnx"),
    )
    deployed.write("Inferencehouses", "a.onnx printed this", "b/a.onnx printed that")
    deployed.write("Inferencewords", "a.onnx of another endpoint")

    result = run("houses", "a.onnx", "--deployment", deployed.name)

    assert result.exit_code == 0, result.output
    assert [line.partition("  ")[2] for line in sorted(result.output.splitlines())] == [
        "inference  a.onnx printed this",
        "router  INFO invocation endpoint=houses target=a.onnx",
    ]


def test_without_a_model_all_lines_of_the_endpoint_are_shown(deployed: Deployed) -> None:
    deployed.write("Router", "of houses", "of words")
    deployed.write("Inferencehouses", "anything")

    output = run("houses", "--deployment", deployed.name).output

    assert {line.split("  ")[2] for line in output.splitlines()} == {"of houses", "anything"}


def test_older_lines_are_left_out(deployed: Deployed) -> None:
    deployed.write("Inferencehouses", "now")

    assert run("houses", "--deployment", deployed.name, "--since", "1ms").output == ""


def test_line_is_returned_once_also_if_it_appears_late(deployed: Deployed) -> None:
    groups = [LogGroup(deployed.group("Inferencehouses"), "houses")]
    followed = EndpointLogs(deployed.client, groups, "houses", None, time.time() - 60)

    deployed.write("Inferencehouses", "first")
    seen = [followed.new_lines()]
    deployed.write("Inferencehouses", "second")
    seen += [followed.new_lines(), followed.new_lines()]

    assert [[line.text for line in lines] for lines in seen] == [["first"], ["second"], []]


@pytest.mark.parametrize(
    ("endpoint", "deployment", "words"),
    [
        ("trees", None, "has no endpoint trees; it has: houses, words"),
        ("houses", "nowhere", "there is no deployment nowhere in us-east-1; --deployment names it"),
    ],
)
def test_wrong_names_are_refused(
    deployed: Deployed, endpoint: str, deployment: str | None, words: str
) -> None:
    result = run(endpoint, "--deployment", deployment or deployed.name)

    assert result.exit_code == 1
    assert words in result.stderr


def test_unknown_region_is_told_with_how_to_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")

    result = run("houses")

    assert result.exit_code == 1
    assert "set AWS_DEFAULT_REGION" in result.stderr
