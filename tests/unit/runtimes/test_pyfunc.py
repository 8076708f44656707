"""MLflow models of the flavour python_function: what MLflow's own server answers."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from modelyard.domain import protocol_bodies
from modelyard.domain.errors import (
    CodeNotAllowedError,
    InputRejectedError,
    ModelLoadError,
    PredictionError,
)
from modelyard.domain.values import Payload
from modelyard.runtimes import registry, tensor_calls

FRAME = pd.DataFrame({"city": ["Houston", "Dallas"], "area": [1.5, 2.0]})
RECORDS = FRAME.to_dict("records")
SPLIT = {"columns": ["area", "city"], "data": [[1.5, "Houston"], [2, "Dallas"]]}

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a saved model that answers the area times `factor`, twice that in Houston."""
    import mlflow.pyfunc  # two seconds, which only the process that runs these tests spends
    from mlflow.models import infer_signature

    warnings.simplefilter("ignore", UserWarning)  # which importing MLflow has undone

    class Prices(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            if (model_input["area"] < 0).any():
                raise ValueError("an area is negative")
            if (model_input["area"] == 0).any():
                return {1j}
            places = model_input["city"].map({"Houston": 2.0}).fillna(1.0)
            return (model_input["area"] * places * params["factor"]).to_numpy()

    path = tmp_path_factory.mktemp("mlflow") / "model"
    signature = infer_signature(FRAME, pd.Series([1.0]), params={"factor": 10.0})
    mlflow.pyfunc.save_model(path, python_model=Prices(), signature=signature, pip_requirements=[])
    return path


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Any:
    return registry.load(registry.plan_load(folder, allow_code=True))


def ask(predictor: Any, body: Any, kind: str = "application/json") -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.loads(predictor.predict(Payload(content, kind)).body)


def test_code_must_be_allowed(folder: Path) -> None:
    with pytest.raises(CodeNotAllowedError, match="MLmodel runs code of the artifact"):
        registry.plan_load(folder, allow_code=False)

    assert registry.plan_load(folder, allow_code=True).own_process


def test_only_output_is_what_the_model_returns(folder: Path, predictor: Any) -> None:
    body = json.dumps(RECORDS).encode()
    asked = Payload(body, "application/json", custom_attributes="output=predict_proba")
    plan = registry.plan_load(folder, allow_code=True)

    with pytest.raises(InputRejectedError, match="no output 'predict_proba'; it has predict"):
        predictor.predict(asked)
    with pytest.raises(ModelLoadError, match="no output 'predict_proba'"):
        registry.load(replace(plan, output="predict_proba"))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (RECORDS, "application/json"),
        (SPLIT, "application/json"),
        ([["Houston", 1.5], ["Dallas", 2]], "application/json"),
        ({"city": ["Houston", "Dallas"], "area": [1.5, 2]}, "application/json"),
        (b"area,city\n1.5,Houston\n2,Dallas\n", "text/csv"),
    ],
)
def test_rows_are_answered(predictor: Any, body: Any, kind: str) -> None:
    assert ask(predictor, body, kind) == [30.0, 20.0]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": SPLIT},
        {"dataframe_records": RECORDS, "params": {"factor": 10.0}},
        {"inputs": {"city": ["Houston", "Dallas"], "area": [1.5, 2.0]}},
    ],
)
def test_bodies_of_mlflow_get_its_answer(predictor: Any, body: Any) -> None:
    assert ask(predictor, body) == {"predictions": [30.0, 20.0]}


def test_parameters_are_passed_on(predictor: Any) -> None:
    body = {"dataframe_records": RECORDS, "params": {"factor": 1.0}}

    assert ask(predictor, body) == {"predictions": [3.0, 2.0]}


def test_routes_of_mlflow_take_it_too(predictor: Any) -> None:
    body = json.dumps({"dataframe_records": RECORDS}).encode()

    answer = tensor_calls.predict(predictor, Payload(body, protocol_bodies.MLFLOW))

    assert json.loads(answer.body) == {"predictions": [30.0, 20.0]}


@pytest.mark.parametrize("body", [[{"city": "Houston"}], [{"city": "Houston", "area": "x"}], 1])
def test_rows_that_contradict_the_signature_are_refused(predictor: Any, body: Any) -> None:
    with pytest.raises(InputRejectedError):
        ask(predictor, body)


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_answer_that_cannot_be_json_is_a_failure_of_the_model(
    predictor: Any, is_wrapped: bool
) -> None:
    rows = [{"city": "Houston", "area": 0.0}]

    with pytest.raises(PredictionError, match="JSON"):
        ask(predictor, {"dataframe_records": rows} if is_wrapped else rows)


def test_failure_of_the_model_is_its_own(predictor: Any) -> None:
    with pytest.raises(PredictionError, match="the model failed: an area is negative"):
        ask(predictor, [{"city": "Houston", "area": -1.0}])
