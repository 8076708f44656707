"""The API in front of the router, and what a deployment prints about it."""

import json
import shlex

import pytest

from tests.infra.synthesis import Resource, Synthesis, one, outputs, resources, text


def methods(synthesis: Synthesis) -> dict[str, Resource]:
    """Return the methods by verb and path."""
    paths = {
        name: resource["PathPart"]
        for name, resource in resources(synthesis.service, "ApiGateway::Resource").items()
    }
    return {
        f"{method['HttpMethod']} /{paths[method['ResourceId']['Ref']]}": method
        for method in resources(synthesis.service, "ApiGateway::Method").values()
    }


def authorization(synthesis: Synthesis) -> dict[str, str]:
    return {name: method["AuthorizationType"] for name, method in methods(synthesis).items()}


def test_calls_are_signed_but_those_of_browsers_and_health_checks(plain: Synthesis) -> None:
    assert authorization(plain) == {
        "ANY /{proxy+}": "AWS_IAM",
        "OPTIONS /{proxy+}": "NONE",
        "GET /ping": "NONE",
    }


def test_calls_with_keys_reach_the_router_unsigned(changed: Synthesis) -> None:
    assert authorization(changed) == {"ANY /{proxy+}": "NONE"}


def test_every_method_calls_the_alias_and_waits_as_long_as_the_gateway_can(
    plain: Synthesis,
) -> None:
    for method in methods(plain).values():
        integration = method["Integration"]
        assert (integration["Type"], integration["TimeoutInMillis"]) == ("AWS_PROXY", 29_000)
        assert "functions/<RouterLive" in text(integration["Uri"])


def test_bodies_of_any_type_arrive_as_bytes(plain: Synthesis) -> None:
    api = one(plain.service, "ApiGateway::RestApi")

    assert api["BinaryMediaTypes"] == ["*/*"]
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    assert "Policy" not in api


def test_private_api_lets_in_its_vpc_endpoints_only(private: Synthesis) -> None:
    api = one(private.service, "ApiGateway::RestApi")

    allow, deny = api["Policy"]["Statement"]
    assert api["EndpointConfiguration"] == {"Types": ["PRIVATE"]}
    assert (allow["Effect"], allow["Action"]) == ("Allow", "execute-api:Invoke")
    assert (deny["Effect"], deny["Action"]) == ("Deny", "execute-api:Invoke")
    assert deny["Condition"] == {"StringNotEquals": {"aws:SourceVpce": ["vpce-0123456789abcdef0"]}}
    assert authorization(private) == {"ANY /{proxy+}": "NONE"}


@pytest.mark.parametrize(
    ("kind", "status", "error_type"),
    [
        ("THROTTLED", "429", "ThrottlingException"),
        ("QUOTA_EXCEEDED", "429", "ThrottlingException"),
        ("REQUEST_TOO_LARGE", "413", "ValidationError"),
        ("INTEGRATION_TIMEOUT", "504", "ServiceUnavailable"),
        ("INTEGRATION_FAILURE", "502", "ServiceUnavailable"),
        ("UNAUTHORIZED", "401", "AccessDeniedException"),
        ("ACCESS_DENIED", "403", "AccessDeniedException"),
        ("INVALID_SIGNATURE", "403", "InvalidSignatureException"),
        ("EXPIRED_TOKEN", "403", "ExpiredTokenException"),
        ("MISSING_AUTHENTICATION_TOKEN", "403", "AccessDeniedException"),
        ("DEFAULT_4XX", None, "ValidationError"),
        ("DEFAULT_5XX", None, "InternalFailure"),
    ],
)
def test_refusals_of_the_gateway_look_like_sagemakers(
    plain: Synthesis, kind: str, status: str | None, error_type: str
) -> None:
    made = resources(plain.service, "ApiGateway::GatewayResponse").values()

    (refusal,) = (item for item in made if item["ResponseType"] == kind)

    header = "gatewayresponse.header."
    template = refusal["ResponseTemplates"]["application/json"]
    body = json.loads(template.replace("$context.error.messageString", '"words"'))
    assert refusal.get("StatusCode") == status
    assert refusal["ResponseParameters"][f"{header}x-amzn-ErrorType"] == f"'{error_type}'"
    assert refusal["ResponseParameters"][f"{header}x-amzn-RequestId"] == "context.requestId"
    assert body == {"__type": error_type, "Message": "words"}


def test_stage_writes_an_access_log_and_throttles(plain: Synthesis, changed: Synthesis) -> None:
    for synthesis, rate, burst in ((plain, 100, 200), (changed, 7, 9)):
        stage = one(synthesis.service, "ApiGateway::Stage")
        (every,) = stage["MethodSettings"]

        assert "<RouterAccessLogs" in text(stage["AccessLogSetting"]["DestinationArn"])
        line = json.loads(stage["AccessLogSetting"]["Format"])
        assert {"requestId", "status", "path", "caller", "latencyMs"} <= line.keys()
        assert (every["ThrottlingRateLimit"], every["ThrottlingBurstLimit"]) == (rate, burst)
        assert every["LoggingLevel"] == "ERROR"
        assert every["DataTraceEnabled"] is False  # it would log bodies
        assert every["MetricsEnabled"] is True  # an alarm is of them


URL = "https://<RouterApi30C329D4>.execute-api.<AWS::Region>.<AWS::URLSuffix>/"


def test_printed_command_is_right_for_how_callers_are_let_in(
    plain: Synthesis, changed: Synthesis, private: Synthesis
) -> None:
    for synthesis, expected in (
        (plain, []),
        (changed, ["--key", "KEY"]),
        (private, ["--no-sign"]),
    ):
        line = outputs(synthesis.service)["Invoke"]
        before, url, after = line.partition(URL)
        assert url
        assert shlex.split(before) == [
            *("modelyard", "invoke", "houses", "1,2,3", "--target-model", "MODEL"),
            *("--content-type", "text/csv", "--url"),
        ]
        assert after.split()[1:] == expected  # the first word is the rest of the URL


def test_printed_cli_line_is_right_for_how_callers_are_let_in(
    plain: Synthesis, changed: Synthesis, private: Synthesis
) -> None:
    for synthesis, expected in (
        (plain, []),
        (changed, ["--no-sign-request", "--custom-attributes", "KEY"]),
        (private, ["--no-sign-request"]),
    ):
        words = shlex.split(outputs(synthesis.service)["Cli"].replace("<", "").replace(">", ""))
        assert words[3:6] == ["aws", "sagemaker-runtime", "invoke-endpoint"]
        start = words.index("AWS::Region", words.index("--region")) + 1
        assert words[start : words.index("--endpoint-name")] == expected
        assert words[words.index("--endpoint-name") + 1] == "houses"


def test_printed_helpers_are_those_that_callers_need(
    plain: Synthesis, changed: Synthesis, private: Synthesis, cortex: Synthesis
) -> None:
    printed = {
        name: set(outputs(synthesis.service))
        for name, synthesis in {
            "iam": plain,
            "key": changed,
            "none": private,
            "cortex": cortex,
        }.items()
    }

    everywhere = {"EndpointUrl", "RouterFunction", "Bucket1", "DeadLetters"}
    everywhere |= {"Dashboard", "LogGroups"}
    calls = {"Upload", "Invoke", "Cli", "Lambda"}
    assert printed == {
        "iam": everywhere | calls | {"Bucket2", "ClientSetup"},
        "key": everywhere | calls | {"CreateKey"},
        "none": everywhere | calls,
        "cortex": everywhere | {"ClientSetup", "Curl"},
    }
    assert outputs(plain.service)["DeadLetters"].startswith(
        "modelyard dead-letters --queue-url <WarmingDeadLetters"
    )
    assert outputs(changed.service)["CreateKey"].endswith("--path /modelyard/yard/keys")
    assert outputs(plain.service)["Upload"] == "aws s3 cp MODEL s3://a-bucket/houses/"


def test_printed_lambda_line_has_the_members_the_router_takes(plain: Synthesis) -> None:
    printed = outputs(plain.service)
    words = shlex.split(printed["Lambda"].replace("<", "").replace(">", ""))

    payload = json.loads(words[1])

    assert payload == {
        "EndpointName": "houses",
        "TargetModel": "MODEL",
        "ContentType": "text/csv",
        "Body": "1,2,3",
    }
    assert words[words.index("--function-name") + 1].endswith(":live")
    assert printed["RouterFunction"].endswith(":live")


def test_printed_curl_line_goes_to_the_path_of_the_api(cortex: Synthesis) -> None:
    line = outputs(cortex.service)["Curl"]

    assert line.endswith("/mpg")
    assert "--aws-sigv4 aws:amz:<AWS::Region>:execute-api" in line
