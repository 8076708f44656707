import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.domain.errors import InvalidRequestError, TargetModelMissingError
from modelyard.domain.values import Invocation, Payload, RetryPolicy, TargetModel
from modelyard.sagemaker.invocations import parse_invocation, parse_retry_policy

PREFIX = "x-amzn-sagemaker-"
TARGET = {PREFIX + "target-model": "m.onnx"}
BOTO = "Boto3/1.40.0 md/Botocore#1.40.0 ua/2.1 os/linux#6 lang/python#3.11 cfg/retry-mode#{mode}"
HEADER_NAMES = [
    "content-type",
    "accept",
    "user-agent",
    "amz-sdk-request",
    *(
        PREFIX + name
        for name in (
            "custom-attributes",
            "enable-explanations",
            "inference-component",
            "inference-id",
            "prefix-aware-id",
            "session-id",
            "target-container-hostname",
            "target-model",
            "target-variant",
        )
    ),
]


def parse(headers: dict[str, str], endpoint_name: str = "housing") -> Invocation:
    return parse_invocation(endpoint_name, headers, b"1,2", request_id="id-1")


def test_all_members_reach_the_invocation() -> None:
    headers = TARGET | {
        "content-type": "text/csv",
        "accept": "application/json",
        PREFIX + "custom-attributes": "trace=7",
    }

    invocation = parse(headers)

    assert invocation == Invocation(
        endpoint_name="housing",
        target_model=TargetModel("m.onnx"),
        payload=Payload(b"1,2", "text/csv", "application/json", "trace=7"),
        retry=RetryPolicy(retries_429=True, attempts_left=1),
        request_id="id-1",
    )


def test_only_the_target_model_is_needed() -> None:
    assert parse(TARGET).payload == Payload(b"1,2")


def test_missing_target_model_names_the_request_and_the_header() -> None:
    with pytest.raises(TargetModelMissingError) as missing:
        parse({})

    assert missing.value.message.startswith("Request id-1 is missing a target model header")
    assert "X-Amzn-SageMaker-Target-Model" in missing.value.message


def test_target_model_may_be_left_out_where_none_is_needed() -> None:
    invocation = parse_invocation("cars", {}, b"", request_id="id-1", needs_target=False)

    assert invocation.target_model == ""


def test_the_one_variant_may_be_named() -> None:
    assert parse(TARGET | {PREFIX + "target-variant": "AllTraffic"}).target_model == "m.onnx"


def test_another_variant_is_not_found() -> None:
    with pytest.raises(
        InvalidRequestError,
        match="Variant blue of endpoint housing not found: its only variant is AllTraffic",
    ):
        parse(TARGET | {PREFIX + "target-variant": "blue"})


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("target-container-hostname", "is not a multi-container endpoint"),
        ("enable-explanations", "has no explainer"),
        ("inference-component", "has no inference components"),
    ],
)
def test_members_of_other_kinds_of_endpoint_are_refused(header: str, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"Endpoint housing {words}"):
        parse(TARGET | {PREFIX + header: "a"})


@pytest.mark.parametrize(
    ("header", "longest", "member"),
    [
        ("content-type", 1024, "contentType"),
        ("accept", 1024, "accept"),
        (PREFIX + "custom-attributes", 1024, "customAttributes"),
        (PREFIX + "inference-id", 64, "inferenceId"),
        (PREFIX + "session-id", 256, "sessionId"),
        (PREFIX + "prefix-aware-id", 64, "prefixAwareId"),
        (PREFIX + "target-variant", 63, "targetVariant"),
        (PREFIX + "target-container-hostname", 63, "targetContainerHostname"),
        (PREFIX + "inference-component", 63, "inferenceComponentName"),
        (PREFIX + "enable-explanations", 64, "enableExplanations"),
    ],
)
def test_each_member_is_held_to_its_constraint(header: str, longest: int, member: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"Value at '{member}'.*equal to {longest}"):
        parse(TARGET | {header: "a" * (longest + 1)})


@pytest.mark.parametrize(
    ("header", "longest"),
    [
        ("content-type", 1024),
        ("accept", 1024),
        (PREFIX + "custom-attributes", 1024),
        (PREFIX + "inference-id", 64),
        (PREFIX + "session-id", 256),
    ],
)
def test_longest_members_are_taken(header: str, longest: int) -> None:
    assert parse(TARGET | {header: "a" * longest}).target_model == "m.onnx"


def test_illegal_endpoint_name_is_refused_before_any_look_up() -> None:
    with pytest.raises(InvalidRequestError, match="'endpointName'"):
        parse(TARGET, endpoint_name="a/b")


@given(
    endpoint_name=st.text(max_size=70),
    headers=st.dictionaries(st.sampled_from(HEADER_NAMES), st.text(max_size=300)),
)
def test_any_headers_give_an_invocation_or_a_typed_error(
    endpoint_name: str, headers: dict[str, str]
) -> None:
    try:
        invocation = parse(headers, endpoint_name)
    except InvalidRequestError:
        return

    assert invocation.endpoint_name == endpoint_name
    assert invocation.target_model


@given(st.dictionaries(st.sampled_from(["user-agent", "amz-sdk-request"]), st.text()))
def test_any_headers_give_a_retry_policy(headers: dict[str, str]) -> None:
    assert parse_retry_policy(headers).attempts_left >= 1


@pytest.mark.parametrize(
    ("mode", "sdk_request", "policy"),
    [
        ("legacy", None, RetryPolicy(True, 5)),
        ("standard", None, RetryPolicy(False, 3)),
        ("adaptive", None, RetryPolicy(False, 3)),
        ("legacy", "attempt=1", RetryPolicy(True, 5)),
        ("legacy", "attempt=1; max=10", RetryPolicy(True, 10)),
        ("legacy", "ttl=20261121T100000Z; attempt=2; max=5", RetryPolicy(True, 4)),
        ("standard", "attempt=2; max=3", RetryPolicy(False, 2)),
        ("adaptive", "attempt=3; max=3", RetryPolicy(False, 1)),
        ("standard", "attempt=4; max=3", RetryPolicy(False, 1)),
        ("standard", "attempt=1; max=0", RetryPolicy(False, 1)),
        ("tomorrow", None, RetryPolicy(False, 1)),
        ("tomorrow", "attempt=1; max=4", RetryPolicy(False, 4)),
    ],
)
def test_retry_policy_is_read_from_the_sdk(
    mode: str, sdk_request: str | None, policy: RetryPolicy
) -> None:
    headers = {"user-agent": BOTO.format(mode=mode)}
    if sdk_request is not None:
        headers["amz-sdk-request"] = sdk_request

    assert parse_retry_policy(headers) == policy


@pytest.mark.parametrize(
    "headers", [{}, {"user-agent": "curl/8.5.0"}, {"amz-sdk-request": "attempt=1; max=9"}]
)
def test_client_without_an_sdk_tries_once_as_if_it_retried_429(headers: dict[str, str]) -> None:
    assert parse_retry_policy(headers) == RetryPolicy(retries_429=True, attempts_left=1)


# As sent by the SDKs before their User-Agent named the retry mode.
SILENT_SDKS = [
    "Boto3/1.26.165 Python/3.11.7 Linux/6.1.0 Botocore/1.29.165",
    "Boto3/1.17.0 Python/3.8.10 Linux/5.4 exec-env/AWS_Lambda_python3.8 Botocore/1.20.0 Resource",
    "Botocore/1.20.112 Python/3.6.15 Linux/5.4.0",
    "aws-cli/1.27.165 Python/3.11.7 Linux/6.1.0 botocore/1.29.165",
    "aws-cli/2.9.0 Python/3.9.11 Linux/5.15 exe/x86_64.ubuntu.22 prompt/off"
    " command/sagemaker-runtime.invoke-endpoint",
    "aws-sdk-java/1.12.500 Linux/5.10 OpenJDK_64-Bit_Server_VM/17.0.7+7 java/17.0.7",
    "aws-sdk-go/1.44.300 (go1.20.5; linux; amd64)",
    "aws-sdk-go-v2/1.16.0 os/linux lang/go/1.18 md/GOOS/linux api/sagemakerruntime/1.14.0",
    "aws-sdk-nodejs/2.1400.0 linux/v18.16.0 promise",
    "aws-sdk-ruby3/3.170.0 ruby/3.1.2 x86_64-linux aws-sdk-sagemakerruntime/1.44.0",
]


@pytest.mark.parametrize("agent", SILENT_SDKS)
def test_an_sdk_that_names_no_mode_gets_the_status_that_all_its_modes_retry(agent: str) -> None:
    policy = parse_retry_policy({"user-agent": agent})

    assert policy == RetryPolicy(retries_429=False, attempts_left=1)


def test_an_sdk_that_names_no_mode_says_how_often_it_retries() -> None:
    headers = {"user-agent": SILENT_SDKS[0], "amz-sdk-request": "attempt=2; max=7"}

    assert parse_retry_policy(headers) == RetryPolicy(retries_429=False, attempts_left=6)


@pytest.mark.parametrize("agent", ["python-requests/2.31.0", "my-boto3-like/1", "aws-sdk-test"])
def test_other_clients_are_no_sdk(agent: str) -> None:
    assert parse_retry_policy({"user-agent": agent}).retries_429
