"""Which output a model answers with: a call says it, else its artifact, else its endpoint."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
import yaml
from botocore.exceptions import ClientError
from click.testing import CliRunner
from sklearn.linear_model import LinearRegression, LogisticRegression

from modelyard.cli.main import app
from tests.models import archives
from tests.serving import Server, body

ROWS = [[0.25], [2.75]]
FITTED_ON = [[0.0], [1.0], [2.0], [3.0]]
MODEL = LogisticRegression().fit(FITTED_ON, [0, 0, 1, 1])
PREDICTED = MODEL.predict(ROWS)
PROBABILITIES, DECISIONS = MODEL.predict_proba(ROWS), MODEL.decision_function(ROWS)
INPUT = {"name": "x", "shape": [2, 1], "datatype": "FP64", "data": ROWS}


@dataclass
class Outputs:
    """A server whose endpoint `e` answers with `predict_proba`."""

    server: Server
    config: Path

    def invoke(self, model: str, **members: str) -> Any:
        sdk = self.server.client(retries={"mode": "standard", "total_max_attempts": 30})
        sent = {"Body": json.dumps(ROWS), "ContentType": "application/json"}
        return body(sdk.invoke_endpoint(EndpointName="e", TargetModel=model, **(sent | members)))

    def post(self, route: str, sent: Any) -> Any:
        return self.server.http.post(f"/endpoints/e/{route}", json=sent).json()


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outputs]:
    folder = tmp_path_factory.mktemp("outputs")
    models = folder / "models"
    models.mkdir()
    content = skops.io.dumps(MODEL)
    (models / "plain.skops").write_bytes(content)
    chosen = json.dumps({"output": "decision_function"}).encode()
    told = {"model.skops": content, "modelyard.json": chosen}
    (models / "told.tar.gz").write_bytes(archives.tar_gz_of(told))
    skops.io.dump(LinearRegression().fit(FITTED_ON, [0, 1, 2, 3]), models / "line.skops")
    resource = {
        "name": "e",
        "kind": "MultiModelEndpoint",
        "models": {"path": str(models), "output": "predict_proba", "revalidate": 0},
    }
    config = folder / "modelyard.yaml"
    config.write_text(yaml.safe_dump([resource]))
    with Server(config, "--workers", "1", "--sync-window", "20s") as server:
        yield Outputs(server, config)


@pytest.mark.parametrize(
    ("model", "members", "expected"),
    [
        ("plain.skops", {}, PROBABILITIES),
        ("told.tar.gz", {}, DECISIONS),
        ("plain.skops", {"Accept": "application/json;output=decision_function"}, DECISIONS),
        ("plain.skops", {"CustomAttributes": "output=predict"}, PREDICTED),
        ("told.tar.gz", {"CustomAttributes": "trace=7,output=predict"}, PREDICTED),
    ],
    ids=["endpoint", "artifact", "call, Accept", "call, CustomAttributes", "call over artifact"],
)
def test_call_beats_artifact_beats_endpoint(
    outputs: Outputs, model: str, members: dict[str, str], expected: Any
) -> None:
    assert np.array_equal(outputs.invoke(model, **members), expected)


def test_other_protocols_answer_with_the_output_of_the_endpoint(outputs: Outputs) -> None:
    v2 = outputs.post("v2/models/plain.skops/infer", {"inputs": [INPUT]})
    named = {"inputs": [INPUT], "outputs": [{"name": "predict"}]}
    by_name = outputs.post("v2/models/plain.skops/infer", named)
    v1 = outputs.post("v1/models/plain.skops:predict", {"instances": ROWS})
    mlflow = outputs.post("models/plain.skops/invocations", {"inputs": ROWS})

    (found,) = v2["outputs"]
    assert (found["name"], found["shape"]) == ("predict_proba", [2, 2])
    assert np.array_equal(found["data"], PROBABILITIES.ravel())
    assert np.array_equal(by_name["outputs"][0]["data"], PREDICTED)
    assert np.array_equal(v1["predictions"], PROBABILITIES)
    assert np.array_equal(mlflow["predictions"], PROBABILITIES)


def test_model_without_the_output_of_its_endpoint_is_refused_in_words(outputs: Outputs) -> None:
    with pytest.raises(ClientError) as raised:
        outputs.invoke("line.skops")

    message = raised.value.response["OriginalMessage"]
    assert "no output 'predict_proba'; it has predict: change modelyard.json" in message
    assert "`models.output` of the endpoint" in message


def test_check_names_the_model_without_the_output_of_its_endpoint(outputs: Outputs) -> None:
    ran = CliRunner().invoke(app, ["check", str(outputs.config), "--json"])

    problems = {one["target_model"]: one["problems"] for one in json.loads(ran.stdout)["e"]}
    wrong = problems.pop("line.skops")
    assert ran.exit_code == 1
    assert problems == {"plain.skops": [], "told.tar.gz": []}
    assert wrong[0].startswith("the model has no output 'predict_proba'; it has predict")
