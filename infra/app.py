"""The CDK app: makes two stacks of a config file."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aws_cdk import App

from infra.compliance import acknowledge, check
from infra.data_stack import DataStack
from infra.service_stack import ServiceStack
from infra.settings import OVERRIDES, load_settings

EXAMPLE = Path(__file__).parent / "example.yaml"


def build_app(context: Mapping[str, Any] | None = None, folder: Path | None = None) -> App:
    """Return the app for the config file in the CDK context `config`, or for the example.

    The assembly is written to `folder`, by default to the one that the CDK's command line names.

    Raises:
        ConfigurationError: the file has errors, or AWS has no way to deploy it.
    """
    app = App(context=dict(context or {}), outdir=str(folder) if folder else None)
    config = app.node.try_get_context("config")
    given = {key: app.node.try_get_context(key) for key in OVERRIDES}
    overrides = {key: value for key, value in given.items() if value is not None}
    settings = load_settings(Path(config) if config else EXAMPLE, overrides)
    data = DataStack(app, f"{settings.name}-data", settings)
    service = ServiceStack(app, settings.name, settings=settings, data=data)
    for warning in settings.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    if not app.node.try_get_context("without_reasons"):
        acknowledge(settings, data, service)
    if app.node.try_get_context("check"):
        check(app)
    return app
