"""Models with different packages, and other versions of scikit-learn, side by side."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import joblib
import pytest
from sklearn.linear_model import LogisticRegression

from modelyard.inference.environments.environments import Environments
from modelyard.runtimes.requirements import Requirements
from tests.models.script_models import script
from tests.models.wheels import write_wheel
from tests.serving import Server, body

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),  # pip installs scikit-learn twice
    pytest.mark.local_door("functions have the packages of their image"),
]
MODELS = 50
ROOM_FOR = 10
SCRIPT = """
    import tinypkg

    def model_fn(model_dir):
        return bytearray({weight})

    def transform_fn(model, data, content_type, accept):
        return f"{number} {{tinypkg.VERSION}}", "text/plain"
"""
OLD_SKLEARN = ["scikit-learn==1.2.2", "numpy<2"]
TRAIN = """
import joblib, sys
from sklearn.linear_model import LogisticRegression
model = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
joblib.dump(model, sys.argv[1])
print(model.predict_proba([[0.25]]).tolist()[0])
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def serve(models: Path, cache_dir: Path, *options: str, **environment: str) -> Server:
    options = ("--endpoint", "e", "--allow-code", "--install", *options)
    return Server(models, *options, cache_dir=cache_dir, environment=environment)


def test_fifty_models_of_two_environments_in_the_memory_of_ten(
    tmp_path: Path, models: Path
) -> None:
    for version in ("1.0", "2.0"):
        write_wheel(tmp_path / "index", "tinypkg", version)
    for number in range(MODELS):
        source = SCRIPT.format(number=number, weight=32 << 20)
        code = script(models / f"model-{number}", source) / "code"
        (code / "requirements.txt").write_text(f"tinypkg=={1 + number % 2}.0\n")
    memory = ("--workers", "1", "--memory", f"{ROOM_FOR * 48}MiB")
    pip_log = tmp_path / "pip.log"
    index = {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "index"),
        "PIP_LOG": str(pip_log),
    }

    with serve(models, tmp_path / "cache", *memory, **index) as server:
        sdk = server.client(retries={"mode": "standard", "total_max_attempts": 30})

        def answer(number: int) -> str:
            called = sdk.invoke_endpoint(
                EndpointName="e", TargetModel=f"model-{number}", Body=b"", ContentType="text/plain"
            )
            text: str = called["Body"].read().decode()
            return text

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(answer, [*range(MODELS)] * 2))
        loaded = [name for name, model in server.models("e").items() if model["memoryBytes"]]

    assert answers == [f"{number} {1 + number % 2}.0" for number in range(MODELS)] * 2
    assert 0 < len(loaded) <= ROOM_FOR
    assert pip_log.read_text().count("Successfully installed tinypkg") == 2


def test_pickles_of_two_versions_of_scikit_learn_side_by_side_on_two_servers(
    tmp_path: Path, models: Path
) -> None:
    """Nothing but the pickle tells that it needs scikit-learn 1.2; needs a package index."""
    asked = Requirements.of_lines("old", tmp_path, OLD_SKLEARN)
    old = Environments(tmp_path / "other").create(asked, lambda line: None)
    command = [str(old.python), "-c", TRAIN, str(models / "old.joblib")]
    expected_old = json.loads(subprocess.check_output(command))
    new = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    joblib.dump(new, models / "new.joblib")
    pip_log, cache = tmp_path / "pip.log", tmp_path / "cache"

    with ExitStack() as stack:
        servers = [
            stack.enter_context(serve(models, cache, PIP_LOG=str(pip_log))) for _ in range(2)
        ]
        clients = [
            server.client(retries={"mode": "standard", "total_max_attempts": 30})
            for server in servers
        ]

        def answer(client: Any, name: str) -> Any:
            called = client.invoke_endpoint(
                EndpointName="e",
                TargetModel=name,
                Body=b"[[0.25]]",
                ContentType="application/json",
                CustomAttributes="output=predict_proba",
            )
            return body(called)

        calls = [(client, name) for client in clients for name in ("old.joblib", "new.joblib")]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda call: answer(*call), calls))
        details = [
            servers[0].models("e")[name].get("detail") for name in ("old.joblib", "new.joblib")
        ]

    assert answers == [[expected_old], new.predict_proba([[0.25]]).tolist()] * 2
    assert details == ["", ""]
    assert pip_log.read_text().count("Successfully installed") == 1
