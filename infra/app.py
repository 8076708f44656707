"""The CDK app: makes two stacks of a config file."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aws_cdk import App, Tags
from aws_cdk.aws_iam import ManagedPolicy, PermissionsBoundary

from infra.compliance import acknowledge, check
from infra.data_stack import DataStack
from infra.service_stack import ServiceStack
from infra.settings import OVERRIDES, load_settings

EXAMPLE = Path(__file__).parent / "example.yaml"
FAIL_ON_ERRORS = "@aws-cdk/core:annotationsInValidationReport"
COMMAND_LINE = Path(__file__).parent.parent / "cdk.json"


def build_app(context: Mapping[str, Any] | None = None, folder: Path | None = None) -> App:
    """Return the app for the config file in the CDK context `config`, or for the example.

    Without `context` and `folder`, they are those of the CDK's command line; without a command
    line, the context of `cdk.json` and the folder `cdk.out`. Errors that only matter to a
    deployment are then written to the assembly, which the command line refuses to deploy.

    Raises:
        ConfigurationError: the file has errors, or AWS has no way to deploy it.
    """
    if context is None and "CDK_CONTEXT_JSON" not in os.environ:
        context = json.loads(COMMAND_LINE.read_bytes())["context"] | {FAIL_ON_ERRORS: False}
    chosen = folder or os.environ.get("CDK_OUTDIR") or "cdk.out"
    app = App(context=dict(context or {}), outdir=str(chosen))
    config = app.node.try_get_context("config")
    given = {key: app.node.try_get_context(key) for key in OVERRIDES}
    overrides = {key: value for key, value in given.items() if value is not None}
    settings = load_settings(Path(config) if config else EXAMPLE, overrides)
    data = DataStack(app, f"{settings.name}-data", settings)
    service = ServiceStack(app, settings.name, settings=settings, data=data)
    Tags.of(app).add("modelyard:deployment", settings.name)
    boundary = settings.deployment.permissions_boundary
    if boundary is not None:
        policy = ManagedPolicy.from_managed_policy_arn(data, "Boundary", boundary)
        PermissionsBoundary.of(app).apply(policy)
    for warning in settings.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    if not app.node.try_get_context("without_reasons"):
        acknowledge(settings, data, service)
    if app.node.try_get_context("check"):
        check(app)
    return app
