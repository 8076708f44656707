"""The commands `deploy`, `diff` and `destroy`: the stacks of a config file on AWS."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelyard.cli.console import errors_as_red_lines, out, print_problem, print_step, print_warning
from modelyard.cli.options import FILE
from modelyard.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from modelyard.aws.preflight import DeploymentPlan
    from modelyard.config.endpoint_config import Config
    from modelyard.config.schema import Deployment

config_argument = click.argument("config", type=FILE)
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


@click.command()
@config_argument
@yes_option
@click.option("--check-only", is_flag=True, help="Check the account and this machine; then stop.")
def deploy(config: Path, yes: bool, check_only: bool) -> None:
    """Deploy the endpoints of CONFIG to AWS.

    Checks the account and this machine first, and prints the outputs in the end.
    """
    from modelyard.cli.cdk import Cdk

    with errors_as_red_lines():
        deployment, plan = _planned(config)
        cdk = Cdk(config)
        cdk.check()
        _check(deployment, plan)
        if check_only:
            return
        print_step("Downloading the packages of router and warmer")
        cdk.make_wheels(deployment.architecture)
        print_step("Deploying; the first time, the image takes some minutes")
        outputs = cdk.deploy(asks=not yes)
        _print_outputs(outputs.get(plan.name, {}))


@click.command()
@config_argument
def diff(config: Path) -> None:
    """Print what `deploy` would change."""
    from modelyard.cli.cdk import Cdk

    with errors_as_red_lines():
        deployment, _ = _planned(config)
        cdk = Cdk(config)
        cdk.check()
        cdk.make_wheels(deployment.architecture)
        cdk.diff()


@click.command()
@config_argument
@yes_option
def destroy(config: Path, yes: bool) -> None:
    """Delete the stacks of CONFIG.

    Buckets of models stay, and what is in them.
    """
    from modelyard.cli.cdk import Cdk

    with errors_as_red_lines():
        deployment, _ = _planned(config)
        cdk = Cdk(config)
        cdk.check()
        cdk.make_wheels(deployment.architecture)
        cdk.destroy(asks=not yes)


def _planned(path: Path) -> tuple["Deployment", "DeploymentPlan"]:
    from modelyard.aws.preflight import DeploymentPlan
    from modelyard.config.files import load_config
    from modelyard.config.schema import default_deployment

    config = load_config(path)
    deployment = config.deployment or default_deployment()
    functions = reserved = 0
    for item in config.endpoints:
        compute, is_alone = item.compute, item.endpoint.is_api or deployment.affinity == "tenant"
        assert compute is not None  # every resource of a config file has it
        shards = 1 if is_alone else compute.shards
        functions += shards
        reserved += shards * (compute.reserved_concurrency or 0)
    plan = DeploymentPlan(
        deployment.name,
        _buckets(config),
        creates_buckets=deployment.bucket == "create",
        functions=functions,
        reserved_executions=reserved,
        creates_network=deployment.vpc is None,
    )
    return deployment, plan


def _buckets(config: "Config") -> tuple[str, ...]:
    """Return the names of all buckets that have models.

    Raises:
        ConfigurationError: models are not in S3.
    """
    found = set()
    for item in config.endpoints:
        project = item.project
        if project is None:
            repositories = [item.endpoint.repository]
        else:
            repositories = [location.repository for location in project.locations]
        for uri in repositories:
            if not uri.startswith("s3://"):
                where = "a folder of this machine" if uri.startswith("file:") else uri
                raise ConfigurationError(
                    f"{item.endpoint.name}: models are in {where}; allowed on AWS:"
                    " s3://bucket/prefix"
                )
            found.add(uri.removeprefix("s3://").partition("/")[0])
    return tuple(sorted(found))


def _check(deployment: "Deployment", plan: "DeploymentPlan") -> None:
    """Print every finding.

    Raises:
        ConfigurationError: the deployment would fail.
    """
    from modelyard.aws.preflight import preflight
    from modelyard.cli.cdk import image_builder
    from modelyard.clients.sdk import import_boto3

    is_fatal = False
    session = import_boto3().session.Session()
    for findings in (image_builder(deployment.architecture), preflight(plan, session)):
        for finding in findings:
            is_fatal |= finding.is_fatal
            line = f"{finding.subject}: {finding.detail}"
            if finding.is_good:
                print_step(line)
            elif finding.is_fatal:
                print_problem(line)
            else:
                print_warning(line)
    if is_fatal:
        raise ConfigurationError("Nothing was deployed.")


def _print_outputs(outputs: Mapping[str, str]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in outputs.items():
        table.add_row(escape(name), escape(value))
    out().print(table)
