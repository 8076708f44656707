"""What every runtime keeps, whatever framework it runs: each serves slope * sum(row) + bias."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

import pytest

from modelyard.domain import protocol_bodies
from modelyard.domain.errors import (
    InputRejectedError,
    UnsupportedAcceptError,
    UnsupportedContentTypeError,
)
from modelyard.domain.ports import Predictor
from modelyard.domain.values import Payload
from modelyard.runtimes import registry, tensor_calls
from tests.models.lightgbm_models import linear_text
from tests.models.onnx_models import linear_onnx
from tests.models.script_models import linear_script
from tests.models.sklearn_models import linear_joblib, linear_skops
from tests.models.xgboost_models import linear_xgboost

THREADS = 8


@dataclass(frozen=True)
class Runtime:
    """How one runtime is fed."""

    build: Callable[[Path, float, float], Path]
    features: int = 4
    name: str = ""


RUNTIMES = [
    pytest.param(Runtime(linear_xgboost, features=6, name="xgboost"), id="xgboost"),
    pytest.param(Runtime(linear_text, name="lightgbm"), id="lightgbm"),
    pytest.param(Runtime(linear_onnx, name="onnx"), id="onnx"),
    pytest.param(Runtime(linear_skops, name="sklearn"), id="sklearn skops"),
    pytest.param(Runtime(linear_joblib, name="sklearn"), id="sklearn joblib"),
    pytest.param(Runtime(linear_script, name="script"), id="script"),
]


@pytest.fixture(params=RUNTIMES)
def runtime(request):
    return request.param


@pytest.fixture
def plan(runtime, tmp_path):
    runtime.build(tmp_path, 2.0, 1.0)
    return registry.plan_load(tmp_path, allow_code=True)


@pytest.fixture
def predictor(plan):
    loaded: Predictor = registry.load(plan)
    yield loaded
    loaded.close()


def csv_rows(runtime: Runtime, *values: float) -> bytes:
    """Return rows that repeat one value each."""
    return "".join(",".join([str(value)] * runtime.features) + "\n" for value in values).encode()


def flat(body: bytes) -> list[float]:
    """Return an answer's numbers; ONNX models answer a column."""
    return [row[0] if isinstance(row, list) else row for row in json.loads(body)]


def expected(runtime: Runtime, value: float) -> float:
    return 2.0 * runtime.features * value + 1.0


def test_plan_names_the_runtime(plan, runtime):
    assert plan.runtime == runtime.name
    assert plan.memory_bytes > 0


def test_loaded_model_states_its_memory(predictor):
    assert predictor.memory_bytes > 0


def test_single_row_is_answered(predictor, runtime):
    answer = predictor.predict(Payload(csv_rows(runtime, 3), "text/csv"))

    assert flat(answer.body) == [expected(runtime, 3)]


def test_answer_is_json_unless_the_caller_says(predictor, runtime):
    answer = predictor.predict(Payload(csv_rows(runtime, 3), "text/csv", accept="*/*"))

    assert answer.content_type == "application/json"


def test_rows_are_answered_in_order(predictor, runtime):
    answer = predictor.predict(Payload(csv_rows(runtime, 3, 1, 2), "text/csv"))

    assert flat(answer.body) == [expected(runtime, value) for value in (3, 1, 2)]


def test_csv_is_answered_to_who_accepts_it(predictor, runtime):
    payload = Payload(csv_rows(runtime, 3), "text/csv", accept="image/png, text/csv;q=0.5")

    answer = predictor.predict(payload)

    assert answer.content_type == "text/csv"
    assert float(answer.body) == expected(runtime, 3)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"a,b,c,d\n", id="words"),
        pytest.param(b"1,2\n3\n", id="ragged"),
        pytest.param(b"\xff\xfe", id="not text"),
    ],
)
def test_malformed_body_is_rejected(predictor, body):
    with pytest.raises(InputRejectedError):
        predictor.predict(Payload(body, "text/csv"))


def test_unknown_content_type_is_refused(predictor):
    with pytest.raises(UnsupportedContentTypeError, match="image/png is not an accepted"):
        predictor.predict(Payload(b"1", "image/png"))


def test_unknown_accept_is_refused(predictor, runtime):
    with pytest.raises(UnsupportedAcceptError, match="image/png is not an accepted"):
        predictor.predict(Payload(csv_rows(runtime, 1), "text/csv", accept="image/png"))


def test_model_works_on_after_it_rejected_a_body(predictor, runtime):
    with pytest.raises(InputRejectedError):
        predictor.predict(Payload(b"x", "text/csv"))

    answer = predictor.predict(Payload(csv_rows(runtime, 3), "text/csv"))

    assert flat(answer.body) == [expected(runtime, 3)]


def test_threads_get_their_own_answers(predictor, runtime):
    start = Barrier(THREADS)

    def ask(value: int) -> list[float]:
        start.wait()
        bodies = [csv_rows(runtime, value, step) for step in range(25)]
        return [flat(predictor.predict(Payload(body, "text/csv")).body)[0] for body in bodies]

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(ask, range(THREADS)))

    assert answers == [[expected(runtime, value)] * 25 for value in range(THREADS)]


def test_models_of_one_runtime_do_not_mix(runtime, tmp_path):
    folders = [tmp_path / "twice", tmp_path / "thrice"]
    for folder, slope in zip(folders, (2.0, 3.0), strict=True):
        folder.mkdir()
        runtime.build(folder, slope, 0.0)
    twice, thrice = (registry.load(registry.plan_load(it, allow_code=True)) for it in folders)

    payload = Payload(csv_rows(runtime, 1), "text/csv")

    assert flat(thrice.predict(payload).body) == [3.0 * runtime.features]
    assert flat(twice.predict(payload).body) == [2.0 * runtime.features]


def test_files_may_go_once_loaded_unless_the_model_needs_them(predictor, plan, runtime):
    if not predictor.needs_files:
        plan.model_file.unlink()

    answer = predictor.predict(Payload(csv_rows(runtime, 3), "text/csv"))

    assert flat(answer.body) == [expected(runtime, 3)]
    assert predictor.needs_files == (runtime.name == "script")


def tensors(rows: list[list[float]], **members: object) -> Payload:
    """Return rows as a tensor, as clients of the Open Inference Protocol send them."""
    shape = [len(rows), len(rows[0])]
    tensor = {"name": "x", "shape": shape, "datatype": "FP32", "data": rows}
    body = json.dumps({"inputs": [tensor], **members}).encode()
    return Payload(body, protocol_bodies.content_type(len(body)))


def test_rows_in_a_tensor_are_answered_as_rows_of_text(predictor, runtime):
    rows = [[float(value)] * runtime.features for value in (3, 1, 2)]

    answer = tensor_calls.predict(predictor, tensors(rows))

    [output] = json.loads(answer.body)["outputs"]
    assert answer.content_type == "application/json"
    assert output["data"] == [expected(runtime, value) for value in (3, 1, 2)]
    assert output["shape"][0] == 3


def test_an_unknown_output_is_rejected(predictor, runtime):
    rows = [[3.0] * runtime.features]

    with pytest.raises(InputRejectedError, match="no output 'nothing'"):
        tensor_calls.predict(predictor, tensors(rows, outputs=[{"name": "nothing"}]))


def test_signature_has_the_columns_of_the_model(predictor, runtime):
    signature = predictor.signature

    sizes = [(one.datatype[:2], one.shape) for one in signature.inputs]
    assert sizes == ([("FP", (-1, runtime.features))] if runtime.name != "script" else [])
    assert signature.platform


def test_instances_are_answered_as_rows_of_text(predictor, runtime):
    rows = [[float(value)] * runtime.features for value in (3, 1, 2)]
    payload = Payload(json.dumps({"instances": rows}).encode(), protocol_bodies.TENSORFLOW_SERVING)

    answer = tensor_calls.predict(predictor, payload)

    predictions = flat(json.dumps(json.loads(answer.body)["predictions"]))
    assert predictions == [expected(runtime, value) for value in (3, 1, 2)]


def test_columns_of_a_data_frame_are_rows_in_their_order(predictor, runtime):
    if runtime.name == "script":
        pytest.skip("the script gets the columns by name and decides")
    columns = [f"c{index}" for index in range(runtime.features)]
    split = {"columns": columns, "data": [[float(value)] * len(columns) for value in (3, 1)]}
    payload = Payload(json.dumps({"dataframe_split": split}).encode(), protocol_bodies.MLFLOW)

    answer = tensor_calls.predict(predictor, payload)

    predictions = flat(json.dumps(json.loads(answer.body)["predictions"]))
    assert predictions == [expected(runtime, value) for value in (3, 1)]
