"""Config files: a `ConfigurationError`, or endpoints with legal names."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from modelyard.aws.function_table import (
    EndpointFunctions,
    FunctionTable,
    parse_function_table,
    render_function_table,
)
from modelyard.config.endpoint_config import is_endpoint_name
from modelyard.config.files import load_config

PREDICTOR = "class PythonPredictor:\n    def __init__(self, config): pass\n"


def target(data: bytes) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "models").mkdir()
        (folder / "predictor.py").write_text(PREDICTOR)
        path = folder / "modelyard.yaml"
        path.write_bytes(data)
        config = load_config(path)
    for endpoint in (found.endpoint for found in config.endpoints):
        assert is_endpoint_name(endpoint.name)
        assert endpoint.sync_window_s >= 0
    deployed = tuple(EndpointFunctions(found.endpoint, "f") for found in config.endpoints)
    table = FunctionTable(deployed, config.splitters)
    assert parse_function_table(render_function_table(table)) == table


def seeds() -> Iterator[bytes]:
    yield b"""- name: housing
  kind: MultiModelEndpoint
  models: {path: models, allow_code: false, revalidate: 10s, caching: Enabled}
  compute: {memory: 2048MiB, shards: 4, timeout: 360s, runtime: auto}
  sync_window: 25s
  access: [{principal: team-*, allow: ["a/*"], deny: ["a/b"]}]
"""
    yield b"""- name: iris
  kind: RealtimeAPI
  predictor: {type: python, path: predictor.py, models: {paths: [{name: a, path: models}]}}
  networking: {endpoint: /iris}
"""
    yield b"""- &a {name: yard, kind: Deployment, auth: key}
- {name: x, kind: TaskAPI, more: [*a, *a, 0x1f, 1e3, ~, 2026-11-25, "\\u00e9"]}
"""
    yield b"""- name: iris
  kind: RealtimeAPI
  predictor: {type: python, path: predictor.py}
- name: split
  kind: TrafficSplitter
  apis: [{name: iris, weight: 100}]
"""
