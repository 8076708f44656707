"""LightGBM models and pipelines with columns, as users call them."""

import json
from pathlib import Path

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tests.functional import artifacts
from tests.functional.served import Served, over_each_repository
from tests.models import archives, lightgbm_models

ROWS = np.random.default_rng(3).normal(size=(1000, lightgbm_models.FEATURES))
CSV = "\n".join(",".join(map(repr, row)) for row in ROWS.tolist()).encode()
TEXT = lightgbm_models.trained().model_to_string().encode()


@over_each_repository
@pytest.mark.parametrize(
    ("target", "uploads"),
    [
        ("a.tar.gz", {"a.tar.gz": archives.tar_gz_of({"model.txt": TEXT})}),
        ("a.zip", {"a.zip": archives.zip_of({"lightgbm.model": TEXT, "notes.txt": b"hello"})}),
        ("a.txt", {"a.txt": TEXT}),
        ("a.lgb", {"a.lgb": TEXT}),
        ("a", {"a/model.txt": TEXT, "a/README.md": b"# A"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_thousand_rows_are_answered_as_by_the_framework(
    served: Served, target: str, uploads: dict[str, bytes]
) -> None:
    for key, content in uploads.items():
        served.repository.put(f"lightgbm/{key}", content)

    answer = served.invoke(f"lightgbm/{target}", CSV)

    expected = lightgbm.Booster(model_str=TEXT.decode()).predict(ROWS)
    assert np.array_equal(json.loads(answer["Body"].read()), expected)


def test_hostile_model_is_refused_and_others_are_answered(served: Served, unharmed: None) -> None:
    hostile = TEXT.replace(b"left_child=", b"left_child=99999999 ")
    served.repository.put("hostile.txt", hostile)

    with pytest.raises(served.sdk.exceptions.ModelError, match="LightGBM model is damaged: tree 0"):
        served.invoke("hostile.txt", CSV)


def test_pipeline_takes_records_and_names_its_output(served: Served) -> None:
    """A pipeline is a pickle, so this goes through a process of its own."""
    frame = pd.DataFrame(
        {"age": [30, 60, 40, 50], "city": ["Dallas", "Austin", "Austin", "Dallas"]}
    )
    columns = ColumnTransformer([("texts", OneHotEncoder(), ["city"])], remainder="passthrough")
    pipeline = make_pipeline(columns, LogisticRegression()).fit(frame, ["no", "yes", "yes", "no"])
    target = served.publish(artifacts.packed(lambda to: joblib.dump(pipeline, to / "model.joblib")))
    body = frame.to_json(orient="records").encode()

    sdk = served.server.client(retries={"mode": "standard", "total_max_attempts": 30})
    answer = sdk.invoke_endpoint(
        EndpointName="code",
        TargetModel=target,
        Body=body,
        ContentType="application/json",
        Accept="application/json;output=predict_proba",
    )

    assert np.array_equal(json.loads(answer["Body"].read()), pipeline.predict_proba(frame))


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_python_function_of_mlflow_is_served_from_its_folder(
    served: Served, tmp_path: Path
) -> None:
    import mlflow.pyfunc

    (tmp_path / "doubled.py").write_text(
        "import mlflow\n\n\n"
        "class Doubled(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        "        return (model_input['x'] * 2).to_numpy()\n\n\n"
        "mlflow.models.set_model(Doubled())\n"
    )
    folder = tmp_path / "model"
    mlflow.pyfunc.save_model(folder, python_model=str(tmp_path / "doubled.py"), pip_requirements=[])
    for path in filter(Path.is_file, folder.rglob("*")):
        key = f"mlflow-doubled/{path.relative_to(folder).as_posix()}"
        served.repository.put(key, path.read_bytes())
    body = json.dumps({"dataframe_records": [{"x": 1}, {"x": 2.5}]}).encode()

    answer = served.invoke("mlflow-doubled", body, "code", ContentType="application/json")

    assert json.loads(answer["Body"].read()) == {"predictions": [2.0, 5.0]}
    with pytest.raises(served.sdk.exceptions.ModelError, match="MLmodel runs code of the artifact"):
        served.invoke("mlflow-doubled", body, "safe", ContentType="application/json")
