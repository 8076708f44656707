"""Who may do what: every role of the deployment is made of these statements, and of no others."""

from collections.abc import Iterable, Sequence

from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct


def service_role(scope: Construct, name: str, log_group: logs.LogGroup) -> iam.Role:
    """Return a role that a function may take and that may write its log."""
    role = iam.Role(
        scope,
        name,
        assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
    )
    log_group.grant_write(role)
    return role


def may_attach_to_network(role: iam.Role) -> None:
    """Let Lambda make and remove the network interfaces of functions in a VPC.

    These actions know no resources; subnets and groups do not narrow them.
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


def may_read(role: iam.Role, locations: Iterable[tuple[str, str]]) -> None:
    """Let a role read the models below prefixes of buckets, and list what is there."""
    for bucket, prefix in locations:
        arn = f"arn:aws:s3:::{bucket}"
        allow(role, "s3:GetObject", "s3:GetObjectVersion", on=[f"{arn}/{prefix}*"])
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[arn],
                conditions={"StringLike": {"s3:prefix": [f"{prefix}*"]}},
            )
        )


def may_invoke(role: iam.Role, functions: Sequence[lambda_.IFunction]) -> None:
    """Let a role call exactly these functions."""
    allow(role, "lambda:InvokeFunction", on=[function.function_arn for function in functions])


def allow(role: iam.Role, *actions: str, on: list[str]) -> None:
    """Add one statement."""
    role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=on))
