"""A server that asks for keys, the keys of two callers, and rules for both."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from modelyard.cli.main import app
from tests.functional import artifacts
from tests.serving import Server

SHOW_ATTRIBUTES = """
    def model_fn(model_dir):
        return "nothing"

    def transform_fn(model, data, content_type, accept, context):
        return repr(context.custom_attributes).encode(), "text/plain"
"""
SHOW_HEADERS = """
    class PythonPredictor:
        def __init__(self, config):
            pass

        def predict(self, headers):
            return dict(headers)
"""
RULES = [
    {"principal": "tenant-a", "allow": ["company_a/*"], "deny": ["company_a/secret*"]},
    {"principal": "admin", "allow": ["*"]},
]
WRONG = f"myk_{'0' * 12}_{'0' * 64}"
"""A key that has the form of one."""


def modelyard_says(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.stdout


@dataclass
class Guarded:
    """A server that asks for keys, and the keys of two callers."""

    server: Server
    folder: Path
    tenant_key: str
    admin_key: str

    def invoke(self, target: str, key: str | None, attributes: str = "") -> Any:
        """Call with a stock SDK; the key begins the custom attributes."""
        sent = ",".join(filter(None, (key, attributes)))
        members = {"CustomAttributes": sent} if sent else {}
        return self.server.client().invoke_endpoint(
            EndpointName="housing", TargetModel=target, Body=b"1", **members
        )

    def get(self, path: str, key: str | None) -> Any:
        return self.server.http.get(path, headers={"x-api-key": key} if key else {})


@contextmanager
def serving(folder: Path) -> Iterator[Guarded]:
    """Serve from a folder; in the end, no secret may stand in the log."""
    for name in ("company_a/one", "company_a/secret", "company_b/one"):
        path = folder / "models" / f"{name}.tar.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(artifacts.script(SHOW_ATTRIBUTES))
    (folder / "results").mkdir()
    (folder / "predictor.py").write_text(textwrap.dedent(SHOW_HEADERS))
    housing = {
        "name": "housing",
        "kind": "MultiModelEndpoint",
        "models": {"path": "models", "allow_code": True},
        "access": RULES,
        "async_invocations": {"output": "results"},
    }
    api = {
        "name": "headers",
        "kind": "RealtimeAPI",
        "predictor": {"type": "python", "path": "predictor.py"},
    }
    (folder / "modelyard.yaml").write_text(yaml.safe_dump([housing, api]))
    keys = folder / "keys"
    tenant, admin = (
        modelyard_says("keys", "create", name, "--folder", keys).strip()
        for name in ("tenant-a", "admin")
    )
    with Server(folder / "modelyard.yaml", "--keys-folder", str(keys)) as server:
        yield Guarded(server, keys, tenant, admin)
        for key in (tenant, admin):
            assert key.rpartition("_")[2] not in server.log
