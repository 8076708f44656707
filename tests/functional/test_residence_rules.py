"""Models that are loaded without a call, because the config says so."""

from pathlib import Path

import pytest

from tests.functional import artifacts
from tests.serving import Server, eventually

CONFIG = """
- name: e
  kind: MultiModelEndpoint
  models: {path: models}
  residence:
    - {models: ["hot*"], keep_loaded: true, preload: all}
    - {models: ["brief*"], idle_unload: 0s}
    - {preload: last}
"""


def loaded(server: Server) -> set[str]:
    listed = server.http.get("/endpoints/e/models").json()["models"]
    return {model["modelName"] for model in listed if model["status"] == "LOADED"}


@pytest.mark.long
@pytest.mark.local_door("functions have no start and no background")
def test_models_are_preloaded_and_idle_ones_unloaded(tmp_path: Path) -> None:
    for name in ("hot", "called", "never", "brief"):
        path = tmp_path / "models" / f"{name}.ubj"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(artifacts.booster())
    config = tmp_path / "modelyard.yaml"
    config.write_text(CONFIG)
    options = ("--workers", "2", "--cache-dir", str(tmp_path / "cache"))

    with Server(str(config), *options) as server:
        eventually(lambda: loaded(server) == {"hot.ubj"})
        for name in ("called.ubj", "brief.ubj"):
            server.client().invoke_endpoint(
                EndpointName="e", TargetModel=name, ContentType="text/csv", Body=b"1,2,3,4,5,6"
            )["Body"].read()
        eventually(lambda: loaded(server) == {"hot.ubj", "called.ubj"})
    with Server(str(config), *options) as server:
        eventually(lambda: loaded(server) == {"hot.ubj", "called.ubj"})
