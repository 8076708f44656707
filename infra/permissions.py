"""The permissions of the deployment: all statements of all roles are made here."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aws_cdk import Aws, Stack
from aws_cdk import aws_efs as efs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct


def service_role(scope: Construct, name: str, log_group: logs.LogGroup) -> iam.Role:
    """Return a role that a function can assume and that may write the function's log."""
    role = iam.Role(
        scope,
        name,
        assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
    )
    log_group.grant_write(role)
    return role


def may_attach_to_network(role: iam.Role) -> None:
    """Let Lambda create and delete the network interfaces of functions in a VPC.

    These actions do not support resources; subnets and groups cannot restrict them.
    """
    allow(
        role,
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
        on=["*"],
    )


def may_mount(role: iam.Role, file_system: efs.FileSystem, access_point: efs.AccessPoint) -> None:
    """Let a role read and write a file system, only through its access point."""
    arn = Stack.of(role).format_arn(
        service="elasticfilesystem",
        resource="file-system",
        resource_name=file_system.file_system_id,
    )
    allow(
        role,
        "elasticfilesystem:ClientMount",
        "elasticfilesystem:ClientWrite",
        on=[arn],
        when={"StringEquals": {"elasticfilesystem:AccessPointArn": access_point.access_point_arn}},
    )


def may_read(role: iam.Role, locations: Iterable[tuple[str, str]]) -> None:
    """Let a role read models, including a given version, and list them."""
    _may_get(role, locations, "s3:GetObject", "s3:GetObjectVersion")


def may_list(role: iam.Role, locations: Iterable[tuple[str, str]]) -> None:
    """Let a role list models and read the size of one (HeadObject needs s3:GetObject)."""
    _may_get(role, locations, "s3:GetObject")


def _may_get(role: iam.Role, locations: Iterable[tuple[str, str]], *actions: str) -> None:
    for bucket, key in locations:
        allow(role, *actions, on=model_arns(bucket, key))
        folder = f"{key}/" if _may_be_object(key) else key
        when = {"StringLike": {"s3:prefix": [f"{folder}*"]}}
        allow(role, "s3:ListBucket", on=[bucket_arn(bucket)], when=when)


def bucket_arn(bucket: str) -> str:
    """Return the ARN of a bucket."""
    return f"arn:{Aws.PARTITION}:s3:::{bucket}"


def model_arns(bucket: str, key: str) -> list[str]:
    """Return the ARNs of the objects of a location."""
    if _may_be_object(key):
        return [f"{bucket_arn(bucket)}/{key}", f"{bucket_arn(bucket)}/{key}/*"]
    return [f"{bucket_arn(bucket)}/{key}*"]


def may_invoke(role: iam.Role, functions: Sequence[lambda_.IFunction]) -> None:
    """Let a role invoke only these functions."""
    allow(role, "lambda:InvokeFunction", on=[function.function_arn for function in functions])


def allow(
    role: iam.Role, *actions: str, on: list[str], when: Mapping[str, Any] | None = None
) -> None:
    """Add one statement to a role."""
    role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=on, conditions=when))


def _may_be_object(key: str) -> bool:
    return bool(key) and not key.endswith("/")
