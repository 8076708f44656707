"""Deployments synthesised in this process: no Docker, no credentials, no network, but Node."""

import json
import os
import shutil
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")
if shutil.which("node") is None:
    raise RuntimeError("tests/infra need Node 20 or newer on the path: jsii runs the CDK with it")

from infra.settings import DeploySettings, load_settings

ROOT = Path(__file__).parents[2]
PROJECTS = Path(__file__).parent / "projects"
FLAGS = json.loads((ROOT / "cdk.json").read_text())["context"]
LOOKED_AT = {"without_wheels": "1"}
"""What is deployed needs `make layers`; what is only looked at does not."""

Resource = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Synthesis:
    """What one config file becomes."""

    folder: Path
    settings: DeploySettings

    @property
    def data(self) -> Resource:
        """The template of what the models lie on."""
        return self._template(f"{self.settings.name}-data")

    @property
    def service(self) -> Resource:
        """The template of what serves."""
        return self._template(self.settings.name)

    def found_by_stack(self) -> dict[str, set[str]]:
        """Return the names of the rules that cdk-nag finds broken in each stack."""
        report = json.loads((self.folder / "validation-report.json").read_text())
        found: dict[str, set[str]] = defaultdict(set)
        for plugin in report["pluginReports"]:
            for violation in plugin["violations"]:
                for construct in violation["violatingConstructs"]:
                    stack = construct["constructPath"].partition("/")[0]
                    found[stack].add(violation["ruleName"])
        return found

    @property
    def templates(self) -> list[Path]:
        return sorted(self.folder.glob("*.template.json"))

    @cache  # noqa: B019 - as long as the session
    def _template(self, name: str) -> Resource:
        template: Resource = json.loads((self.folder / f"{name}.template.json").read_text())
        return template


def synthesise(config: Path, folder: Path, **context: Any) -> Synthesis:
    """Write the assembly of a config file into a folder."""
    from infra.app import build_app  # seconds, and a Node process: only for those who ask

    build_app(FLAGS | LOOKED_AT | {"config": str(config)} | context, folder).synth()
    return Synthesis(folder, load_settings(config, {}))


def examine(config: Path, folder: Path) -> Synthesis:
    """Synthesise without the reasons of `infra.compliance`: cdk-nag reports all that it finds."""
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        synthesise(config, folder, check="1", without_reasons="1")
    return Synthesis(folder, load_settings(config, {}))


def resources(template: Resource, kind: str) -> dict[str, Resource]:
    """Return the properties of all resources of a type, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] == f"AWS::{kind}"
    }


def one(template: Resource, kind: str) -> Resource:
    """Return the properties of the only resource of a type."""
    (found,) = resources(template, kind).values()
    return found


def text(value: Any) -> str:
    """Return a value of a template as readable text: references as `<name>`."""
    match value:
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::ImportValue": name}:
            return f"<{name}>"
        case {"Fn::Join": [glue, parts]}:
            return str(glue).join(map(text, parts))
        case {"Fn::Sub": words}:
            return str(words)
        case _:
            return str(value)


def outputs(template: Resource) -> dict[str, str]:
    """Return what a deployment prints."""
    return {name: text(output["Value"]) for name, output in template["Outputs"].items()}


def functions(template: Resource, prefix: str) -> dict[str, Resource]:
    """Return the functions whose logical ids begin with a prefix."""
    found = resources(template, "Lambda::Function")
    return {name: function for name, function in found.items() if name.startswith(prefix)}
