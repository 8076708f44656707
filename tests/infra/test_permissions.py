"""Every permission of every role, and no other: what is removed or added fails here."""

import json
import re
from typing import Any

import pytest

from tests.infra.synthesis import Resource, Synthesis, resources, text

LOG = ("logs:CreateLogStream logs:PutLogEvents", "<Logs.Arn>", "")
NETWORK = (
    "ec2:AssignPrivateIpAddresses ec2:CreateNetworkInterface ec2:DeleteNetworkInterface"
    " ec2:DescribeNetworkInterfaces ec2:DescribeSubnets ec2:UnassignPrivateIpAddresses",
    "*",
    "",
)
EFS = "arn:<AWS::Partition>:elasticfilesystem:<AWS::Region>:<AWS::AccountId>"
MOUNT = (
    "elasticfilesystem:ClientMount elasticfilesystem:ClientWrite",
    f"{EFS}:file-system/<yard-data:Cache>",
    f"StringEquals elasticfilesystem:AccessPointArn {EFS}:access-point/<yard-data:CacheArtifacts>",
)
S3 = "arn:<AWS::Partition>:s3:::"
READ = "s3:GetObject s3:GetObjectVersion"
QUEUE = "<WarmingQueue.Arn>"
WORK_OFF = (
    "sqs:ChangeMessageVisibility sqs:DeleteMessage sqs:GetQueueAttributes sqs:ReceiveMessage",
    QUEUE,
    "",
)
BOTH_QUEUES = f"<WarmingAsyncQueue.Arn> {QUEUE}"
SEND = ("sqs:SendMessage", QUEUE, "")
HOUSES = " ".join(f"<InferencehousesShard{shard}.Arn>" for shard in range(3))
KEYS = "arn:<AWS::Partition>:ssm:<AWS::Region>:<AWS::AccountId>:parameter/modelyard/yard/keys/*"
TOPICS = "arn:aws:sns:eu-west-1:123456789012"
Statements = set[tuple[str, str, str]]


def invoke(functions: str) -> tuple[str, str, str]:
    return ("lambda:InvokeFunction", functions, "")


def listing(bucket: str, prefix: str) -> tuple[str, str, str]:
    return ("s3:ListBucket", S3 + bucket, f"StringLike s3:prefix {prefix}")


HOUSES_READ = {(READ, f"{S3}a-bucket/houses/*", ""), listing("a-bucket", "houses/*")}
WORDS_READ = {(READ, f"{S3}another-bucket/*", ""), listing("another-bucket", "*")}
BOTH_LISTED = {
    ("s3:GetObject", f"{S3}a-bucket/houses/* {S3}another-bucket/*", ""),
    listing("a-bucket", "houses/*"),
    listing("another-bucket", "*"),
}
HOUSES_LISTED = {
    ("s3:GetObject", f"{S3}a-bucket/houses/*", ""),
    listing("a-bucket", "houses/*"),
}
PLAIN: dict[str, Statements] = {
    "Inferencehouses": {LOG, NETWORK, MOUNT, *HOUSES_READ},
    "Inferencewords": {LOG, NETWORK, MOUNT, *WORDS_READ},
    "Warming": {LOG, invoke(f"{HOUSES} <InferencewordsShard0.Arn>"), WORK_OFF},
    "Router": {LOG, invoke(f"{HOUSES} <InferencewordsShard0.Arn>"), SEND, *BOTH_LISTED},
    "RouterApiCloudWatch": set(),
}
CHANGED: dict[str, Statements] = {
    "Inferencehouses": {LOG, NETWORK, *HOUSES_READ},
    "Warming": {
        LOG,
        invoke("<InferencehousesShard0.Arn>"),
        (WORK_OFF[0], BOTH_QUEUES, ""),
        ("s3:PutObject", f"{S3}results/async/*", ""),
        ("s3:GetObject", f"{S3}uploads/in/*", ""),
        ("sns:Publish", f"{TOPICS}:done {TOPICS}:failed", ""),
    },
    "Router": {
        LOG,
        invoke("<InferencehousesShard0.Arn>"),
        ("sqs:SendMessage", BOTH_QUEUES, ""),
        *HOUSES_LISTED,
        ("ssm:GetParameter", KEYS, ""),
    },
    "RouterApiCloudWatch": set(),
}
MPG = f"{S3}a-bucket/mpg/model {S3}a-bucket/mpg/model/*"
CORTEX: dict[str, Statements] = {
    "Inferencempg": {
        LOG,
        NETWORK,
        tuple(part.replace("yard-data", "modelyard-data") for part in MOUNT),  # type: ignore[arg-type]
        (READ, MPG, ""),
        listing("a-bucket", "mpg/model mpg/model/*"),
    },
    "Warming": {LOG, invoke("<InferencempgShard0.Arn>"), WORK_OFF},
    "Router": {
        LOG,
        invoke("<InferencempgShard0.Arn>"),
        SEND,
        ("s3:GetObject", MPG, ""),
        listing("a-bucket", "mpg/model mpg/model/*"),
    },
    "RouterApiCloudWatch": set(),
}


def granted(template: Resource) -> dict[str, Statements]:
    """Return what every role may do, in words without the digests of logical ids."""
    found: dict[str, Statements] = {}
    for role in resources(template, "IAM::Role"):
        name = role[:-8].removesuffix("Role")
        found[name] = {
            in_words(statement, name)
            for policy in resources(template, "IAM::Policy").values()
            if {"Ref": role} in policy["Roles"]
            for statement in policy["PolicyDocument"]["Statement"]
        }
    return found


def in_words(statement: Resource, role: str) -> tuple[str, str, str]:
    assert statement["Effect"] == "Allow"
    conditions = " ".join(
        f"{operator} {key} {' '.join(plain_texts(value))}"
        for operator, tested in statement.get("Condition", {}).items()
        for key, value in tested.items()
    )
    actions = " ".join(listed(statement["Action"]))
    what = " ".join(plain_texts(statement["Resource"])).replace(f"<{role}Logs.", "<Logs.")
    return actions, what, conditions


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def plain_texts(value: Any) -> list[str]:
    return [without_digests(text(item)) for item in listed(value)]


def without_digests(words: str) -> str:
    """Return the text without what CDK appends to names: `<Queue51741EC0.Arn>` is `<Queue.Arn>`."""
    words = re.sub(r":ExportsOutputRef(\w+?)[0-9A-F]{16}>", r":\1>", words)
    return re.sub(r"<(\w+?)[0-9A-F]{8}([.>])", r"<\1\2", words)


@pytest.mark.parametrize("role", PLAIN)
def test_role_may_do_exactly_this(plain: Synthesis, role: str) -> None:
    assert granted(plain.service)[role] == PLAIN[role]


@pytest.mark.parametrize("role", CHANGED)
def test_role_may_do_exactly_this_with_keys_and_without_efs(changed: Synthesis, role: str) -> None:
    assert granted(changed.service)[role] == CHANGED[role]


@pytest.mark.parametrize("role", CORTEX)
def test_role_may_do_exactly_this_for_a_cortex_api(cortex: Synthesis, role: str) -> None:
    assert granted(cortex.service)[role] == CORTEX[role]


def test_there_are_no_other_roles(
    plain: Synthesis, changed: Synthesis, cortex: Synthesis, private: Synthesis
) -> None:
    assert granted(plain.service).keys() == PLAIN.keys()
    assert granted(changed.service).keys() == CHANGED.keys()
    assert granted(cortex.service).keys() == CORTEX.keys()
    assert granted(plain.data) == granted(private.data) == {}
    assert [*granted(changed.data)] == ["VpcFlowLogsIAM"]


def test_roles_have_no_policies_beside(plain: Synthesis) -> None:
    managed = {
        name[:-8]: [text(arn) for arn in role["ManagedPolicyArns"]]
        for name, role in resources(plain.service, "IAM::Role").items()
        if "ManagedPolicyArns" in role or "Policies" in role
    }

    assert managed == {
        "RouterApiCloudWatchRole": [
            "arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
        ]
    }


def test_functions_take_the_roles_of_the_lambda_service_only(plain: Synthesis) -> None:
    for name, role in resources(plain.service, "IAM::Role").items():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        service = "apigateway" if "CloudWatch" in name else "lambda"
        assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}


def test_api_gateway_alone_may_call_the_router_and_only_its_alias(plain: Synthesis) -> None:
    permissions = resources(plain.service, "Lambda::Permission").values()

    assert len(permissions) == 3
    for permission in permissions:
        assert permission["Principal"] == "apigateway.amazonaws.com"
        assert permission["FunctionName"]["Ref"].startswith("RouterLive")
        assert "<RouterApi" in text(permission["SourceArn"])


def test_no_action_is_a_wildcard(
    plain: Synthesis, changed: Synthesis, private: Synthesis, cortex: Synthesis
) -> None:
    for synthesis in (plain, changed, private, cortex):
        for template in (synthesis.data, synthesis.service):
            for policy in resources(template, "IAM::Policy").values():
                for statement in policy["PolicyDocument"]["Statement"]:
                    assert "*" not in json.dumps(statement["Action"])


def test_s3_is_reachable_for_reading_models_only(plain: Synthesis) -> None:
    (endpoint,) = resources(plain.data, "EC2::VPCEndpoint").values()
    found = {in_words(item, "") for item in endpoint["PolicyDocument"]["Statement"]}

    assert found == {
        (READ, f"{S3}a-bucket/houses/* {S3}another-bucket/*", ""),
        ("s3:ListBucket", f"{S3}a-bucket {S3}another-bucket", ""),
    }


def test_file_system_denies_all_but_tls_and_allows_nobody(plain: Synthesis) -> None:
    (file_system,) = resources(plain.data, "EFS::FileSystem").values()

    assert file_system["FileSystemPolicy"]["Statement"] == [
        {
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": "elasticfilesystem:Client*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]
