"""`make chart`: renders the Helm chart and validates it against the schemas of Kubernetes.

Runs in an environment of its own, with Go from PyPI. `helm template` is used where there is a helm.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

CHART = Path(__file__).parents[2] / "container" / "chart"
VERSIONS = ("1.28", "1.33")
OF_OPERATORS = {"ServiceMonitor", "HTTPRoute", "BackendTrafficPolicy", "DestinationRule"}
"""Kinds that Kubernetes itself has no schema for."""
BASE = {"ServiceAccount", "Service", "PodDisruptionBudget", "StatefulSet"}
MODEL_CONFIG = "- name: housing\n  kind: MultiModelEndpoint\n  models: {path: s3://my-bucket/h}\n"
CASES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "defaults": ({}, BASE),
    "everything": (
        {
            "config": MODEL_CONFIG,
            "autoscaling": {"enabled": True},
            "cache": {"storageClassName": "gp3"},
            "credentialsSecret": "aws",
            "keysSecret": "keys",
            "serviceAccount": {"annotations": {"a.example/role": "reader"}},
            "env": {"MODELYARD_SYNC_WINDOW": "40s"},
            "serviceMonitor": {"enabled": True},
            "affinity": {"kind": "envoy-gateway", "gateway": {"name": "public", "namespace": "gw"}},
            "podAnnotations": {"a.example/b": "c"},
            "nodeSelector": {"kubernetes.io/arch": "arm64"},
            "tolerations": [{"key": "models", "operator": "Exists"}],
        },
        BASE | {"ConfigMap", "HorizontalPodAutoscaler"} | OF_OPERATORS - {"DestinationRule"},
    ),
    "istio": ({"endpoint": "h", "affinity": {"kind": "istio"}}, BASE | {"DestinationRule"}),
}


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as Helm merges them: mappings member by member."""
    found = dict(base)
    for name, value in changes.items():
        old = found.get(name)
        found[name] = merged(old, value) if isinstance(value, dict) and old else value
    return found


def rendered(changes: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Return the documents of the chart with changed values."""
    if shutil.which("helm"):
        values = folder / "values.json"
        values.write_text(json.dumps(changes))
        output = _output("helm", "template", "models", CHART, "--values", values)
    else:
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        data = {
            "Values": merged(yaml.safe_load((CHART / "values.yaml").read_text()), changes),
            "Chart": {"Name": chart["name"], "AppVersion": chart["appVersion"]},
            "Release": {"Name": "models", "Service": "Helm"},
        }
        texts = {path.name: path.read_text() for path in (CHART / "templates").iterdir()}
        program = folder / "render"
        if not program.exists():
            _output(_go(), "build", "-o", program, Path(__file__).with_name("render.go"))
        output = _output(program, given=json.dumps({"Templates": texts, "Data": data}))
    return [document for document in yaml.safe_load_all(output) if document]


def problems_of(documents: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what the schemas refuse."""
    for document in documents:
        for version in VERSIONS:
            if document["kind"] in OF_OPERATORS:
                continue
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{document['kind']}, Kubernetes {version}: {error.message} at {error.path}"


def main() -> int:
    """Render and validate every case; returns the exit code."""
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (changes, kinds) in CASES.items():
            documents = rendered(changes, Path(folder))
            found = {document["kind"] for document in documents}
            problems += [f"{name}: {text}" for text in problems_of(documents)]
            if found != kinds:
                problems.append(f"{name}: found {sorted(found)}, not {sorted(kinds)}")
            print(f"{name}: {len(documents)} documents")
    print("\n".join(problems) or f"valid for Kubernetes {' and '.join(VERSIONS)}")
    return bool(problems)


def _go() -> Path:
    return Path(sys.executable).with_name("go")


def _output(*command: str | Path, given: str = "") -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
