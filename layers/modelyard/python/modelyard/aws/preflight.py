"""What an AWS account must have before a deployment begins."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from modelyard.domain import messages

BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
LEAST_BOOTSTRAP = 6
"""The oldest version of the CDK's bootstrap stack that the templates accept."""
FEW_EXECUTIONS = 100
"""With fewer concurrent executions in the account, calls are throttled under moderate load."""
UNRESERVED_EXECUTIONS = 100
"""Lambda refuses a reservation that leaves fewer executions to the functions without one."""
VPCS_OF_NEW_ACCOUNTS = 5


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """What will be deployed, as far as the account has to allow it."""

    name: str
    """The name of the service's stack; that of its data is `NAME-data`."""
    buckets: tuple[str, ...]
    creates_buckets: bool
    functions: int
    reserved_executions: int = 0
    """Executions at a time that the functions have for themselves."""
    creates_network: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    subject: str
    detail: str
    """What was found, or what is wrong and how to repair it."""
    is_good: bool = True
    is_fatal: bool = False
    """Whether a deployment would fail."""


def preflight(plan: DeploymentPlan, session: Any) -> Iterator[Finding]:
    """Yield the findings of each check. `session` is a boto3 session.

    A check that the caller may not make is a finding that is not fatal. Without credentials,
    nothing else is checked.
    """
    if session.region_name is None:
        yield _fatal("region", "No AWS region is configured; set AWS_REGION.")
        return
    if session.get_credentials() is None:
        yield _fatal("credentials", messages.NO_AWS_CREDENTIALS)
        return
    account = Account(plan, session)
    checks = {
        "credentials": account.identity,
        "bootstrap": account.bootstrap,
        "buckets": account.buckets,
        "concurrency": account.concurrency,
        "network": account.network,
    }
    for subject, check in checks.items():
        yield from _checked(subject, check)


def _checked(subject: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield from check()
    except (BotoCoreError, ClientError) as error:
        is_identity = subject == "credentials"
        reason = error.response["Error"]["Code"] if isinstance(error, ClientError) else error
        text = f"could not be checked: {reason}"
        yield Finding(subject, text, is_good=False, is_fatal=is_identity)


class Account:
    """The checks of one account and region. Each may raise an error of botocore."""

    def __init__(self, plan: DeploymentPlan, session: Any) -> None:
        self._plan = plan
        self._session = session

    def identity(self) -> Iterator[Finding]:
        """Check that the credentials are accepted."""
        caller = self._client("sts").get_caller_identity()
        yield Finding("credentials", f"{caller['Arn']} in {self._session.region_name}")

    def bootstrap(self) -> Iterator[Finding]:
        """Check that the CDK's bootstrap stack is there, and new enough."""
        client = self._client("ssm")
        try:
            parameter = client.get_parameter(Name=BOOTSTRAP_PARAMETER)["Parameter"]
        except client.exceptions.ParameterNotFound:
            yield _fatal("bootstrap", "The CDK is not bootstrapped here; run cdk bootstrap.")
            return
        version = int(parameter["Value"])
        if version < LEAST_BOOTSTRAP:
            text = f"version {version} is older than {LEAST_BOOTSTRAP}; run cdk bootstrap."
            yield _fatal("bootstrap", text)
        else:
            yield Finding("bootstrap", f"version {version}")

    def buckets(self) -> Iterator[Finding]:
        """Check that buckets to read exist in this region, and buckets to create do not."""
        makes = self._plan.creates_buckets and not self._has_stack(f"{self._plan.name}-data")
        for bucket in self._plan.buckets:
            region = self._region_of(bucket)
            subject = f"bucket {bucket}"
            if makes and region is not None:
                text = "exists already, so it cannot be created; remove `bucket: create`."
                yield _fatal(subject, text)
            elif region is None and not self._plan.creates_buckets:
                text = "does not exist; create it, or write `bucket: create` into the config."
                yield _fatal(subject, text)
            elif region not in (None, self._session.region_name):
                yield _fatal(subject, f"is in {region}; functions can only read buckets here.")
            else:
                yield Finding(subject, "will be created" if region is None else "exists")

    def concurrency(self) -> Iterator[Finding]:
        """Check how many calls the account's functions may run at a time."""
        limits = self._client("lambda").get_account_settings()["AccountLimit"]
        executions = limits["ConcurrentExecutions"]
        reserved = self._plan.reserved_executions
        if reserved and executions - reserved < UNRESERVED_EXECUTIONS:
            yield _fatal(
                "concurrency",
                f"the functions reserve {reserved} of {executions} executions, but Lambda keeps"
                f" {UNRESERVED_EXECUTIONS} for other functions; lower `reserved_concurrency`.",
            )
            return
        text = f"{executions} executions at a time, {self._plan.functions} inference functions"
        if executions < FEW_EXECUTIONS:
            text += "; calls above are throttled. Request a higher quota of Lambda."
        yield Finding("concurrency", text, is_good=executions >= FEW_EXECUTIONS)

    def network(self) -> Iterator[Finding]:
        """Check that the region has room for one more VPC."""
        if not self._plan.creates_network or self._has_stack(f"{self._plan.name}-data"):
            return
        pages = self._client("ec2").get_paginator("describe_vpcs").paginate()
        count = sum(len(page["Vpcs"]) for page in pages)
        text = f"{count} VPCs in this region"
        if count >= VPCS_OF_NEW_ACCOUNTS:
            text += f"; the quota is {VPCS_OF_NEW_ACCOUNTS} unless it was raised"
        yield Finding("network", text, is_good=count < VPCS_OF_NEW_ACCOUNTS)

    def _region_of(self, bucket: str) -> str | None:
        """Return the region of a bucket; None if there is no such bucket.

        Raises:
            ClientError: the bucket cannot be asked, for instance because it is someone else's.
        """
        client = self._client("s3")
        try:
            found = client.get_bucket_location(Bucket=bucket)["LocationConstraint"]
        except client.exceptions.NoSuchBucket:
            return None
        return found or "us-east-1"

    def _has_stack(self, name: str) -> bool:
        client = self._client("cloudformation")
        try:
            return bool(client.describe_stacks(StackName=name)["Stacks"])
        except client.exceptions.ClientError as error:
            if "does not exist" in str(error):
                return False
            raise

    def _client(self, service: str) -> Any:
        return self._session.client(service)


def _fatal(subject: str, text: str) -> Finding:
    return Finding(subject, text, is_good=False, is_fatal=True)
