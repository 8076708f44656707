"""Scripts import the names of SageMaker's packages where these are not installed."""

import io
import sys

import numpy as np
import pytest
from scipy import sparse

from modelyard.domain.errors import InputRejectedError, PredictionError
from modelyard.domain.values import Payload, Prediction
from modelyard.runtimes import registry
from modelyard.runtimes.scripts import toolkit
from tests.models import archives, xgboost_models
from tests.models.script_models import script


def answer(folder, lines, payload=Payload(b"[1, 2]")):  # noqa: B008
    """Return what a script answers that has these lines in its transform_fn."""
    body = "".join(f"\n    {line}" for line in lines)
    source = f"def model_fn(d): ...\ndef transform_fn(m, data, kind, accept):{body}"
    return registry.load(registry.plan_load(script(folder, source), allow_code=True)).predict(
        payload
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(
            [
                "from sagemaker_inference import content_types, decoder, encoder",
                "rows = decoder.decode(data, content_types.JSON)",
                "return encoder.encode(rows * 2, content_types.JSON)",
            ],
            Prediction(b"[2, 4]", "application/json"),
            id="toolkit",
        ),
        pytest.param(
            [
                "import sagemaker_inference.encoder as e",
                "return e.encode([[1, 2], [3, 4]], 'text/csv'), 'text/csv'",
            ],
            Prediction(b"1,2\n3,4\n", "text/csv"),
            id="csv",
        ),
        pytest.param(
            [
                "from sagemaker_containers.beta.framework import (",
                "    content_types, encoders, env, modules, transformer, worker)",
                "return worker.Response(encoders.encode([1], accept), accept, mimetype=accept)",
            ],
            Prediction(b"[1]", "application/json"),
            id="the usual lines of old scikit-learn scripts",
        ),
        pytest.param(
            [
                "from sagemaker_containers import entry_point",
                "from sagemaker_training import environment",
                "from sagemaker_xgboost_container import checkpointing, distributed",
                "from sagemaker_xgboost_container.data_utils import get_dmatrix",
                "return [entry_point.run == environment.Environment == get_dmatrix]",
            ],
            Prediction(b"[true]", "application/json"),
            id="imports of a script that also trains",
        ),
        pytest.param(
            [
                "from sagemaker_inference import (content_types, decoder, encoder, errors, utils)",
                "from sagemaker_inference.default_inference_handler import DefaultInferenceHandler",
                "class Own(DefaultInferenceHandler):",
                "    def default_input_fn(self, data, kind):",
                "        return super().default_input_fn(data, kind) * 2",
                "assert utils.parse_accept('a, b') == ['a', 'b']",
                "own = Own()",
                "return own.default_output_fn(own.default_input_fn(data, kind), 'a/b, ' + kind)",
            ],
            Prediction(b"[2, 4]", "application/json"),
            id="a handler of their own",
        ),
    ],
)
def test_scripts_use_the_names_of_their_container(tmp_path, lines, expected):
    assert answer(tmp_path, lines) == expected


def test_matrix_of_the_xgboost_container(tmp_path):
    xgboost_models.ubj(tmp_path, 7.5)
    source = """
        import os, xgboost
        from sagemaker_xgboost_container import encoder as xgb_encoders
        def model_fn(model_dir):
            return xgboost.Booster(model_file=os.path.join(model_dir, "model.ubj"))
        def input_fn(body, kind):
            if kind == "text/libsvm":
                return xgb_encoders.libsvm_to_dmatrix(body)
            return xgb_encoders.csv_to_dmatrix(body.rstrip("\\n"))
        def predict_fn(data, model):
            return [data.num_row(), data.num_col()]
    """
    predictor = registry.load(registry.plan_load(script(tmp_path, source), allow_code=True))

    assert predictor.predict(Payload(b"1,2\n3,4\n", "text/csv")).body == b"[2,2]"
    assert predictor.predict(Payload(b"1 2:3\n", "text/libsvm")).body == b"[1,3]"


def test_status_of_a_response_is_the_original_status(tmp_path):
    lines = [
        "from sagemaker_containers.beta.framework import worker",
        "return worker.Response('no rows', status=400, mimetype='text/plain')",
    ]

    with pytest.raises(PredictionError, match="no rows") as failed:
        answer(tmp_path, lines)

    assert failed.value.original_status == 400


def test_function_that_trains_says_that_it_is_not_there(tmp_path):
    lines = [
        "from sagemaker_xgboost_container.data_utils import get_dmatrix",
        "return get_dmatrix('/opt/ml/input/data/train', 'libsvm')",
    ]

    with pytest.raises(PredictionError, match="exists only where models are trained"):
        answer(tmp_path, lines)


def test_status_of_a_toolkit_error_is_the_original_status(tmp_path):
    lines = [
        "from sagemaker_inference import errors",
        "raise errors.BaseInferenceToolkitError(413, 'too many rows', 'Too Large')",
    ]

    with pytest.raises(PredictionError, match="too many rows") as failed:
        answer(tmp_path, lines)

    assert failed.value.original_status == 413


def test_content_type_that_the_toolkit_does_not_know_is_415(tmp_path):
    lines = ["from sagemaker_inference import decoder", "decoder.decode(data, 'image/png')"]

    with pytest.raises(PredictionError, match="Content type image/png is not supported") as failed:
        answer(tmp_path, lines)

    assert failed.value.original_status == 415


def test_package_that_is_installed_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "sagemaker_inference.py").write_text("ORIGIN = 'installed'")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("sagemaker_inference")]:
        monkeypatch.delitem(sys.modules, name)

    toolkit.install()
    import sagemaker_inference

    assert sagemaker_inference.ORIGIN == "installed"
    monkeypatch.delitem(sys.modules, "sagemaker_inference")


@pytest.mark.parametrize(("body", "shape"), [("1,2,3", (3,)), ("1\n2", (2,)), ("1,2\n3,4", (2, 2))])
def test_csv_is_flat_where_numpy_makes_it_flat(body, shape):
    assert toolkit.decode(body, "text/csv").shape == shape


def test_npy_is_read_without_pickles():
    with pytest.raises(InputRejectedError):
        toolkit.decode(b"\x80\x04N.", "application/x-npy")


def test_npy_goes_there_and_back():
    body = toolkit.encode(np.arange(3), "application/x-npy")

    assert toolkit.decode(body, "application/x-npy").tolist() == [0, 1, 2]


def test_csv_has_the_shortest_text_of_a_float32() -> None:
    array = np.array([[0.1, 1e-7], [np.nan, 795.9357]], np.float32)

    assert toolkit.encode(array, "text/csv") == "0.1,1e-07\nnan,795.9357\n"
    assert toolkit.encode(array.astype(float)[:1, :1], "text/csv") == "0.10000000149011612\n"


def npz(matrix) -> bytes:
    sink = io.BytesIO()
    sparse.save_npz(sink, matrix)
    return sink.getvalue()


def test_sparse_matrix_is_read_for_the_model_without_an_input_fn(tmp_path):
    source = """
        class Model:
            def predict(self, rows):
                return rows.sum(axis=1).ravel()

        def model_fn(d):
            return Model()
    """
    model = registry.load(registry.plan_load(script(tmp_path, source), allow_code=True))
    body = npz(sparse.csr_matrix([[0, 1, 2], [3, 0, 0]]))

    assert model.predict(Payload(body, "application/x-npz")).body == b"[[3,3]]"
    assert toolkit.decode(body, "application/x-npz").toarray().tolist() == [[0, 1, 2], [3, 0, 0]]


def test_sparse_matrix_with_values_outside_is_refused():
    matrix = sparse.csr_matrix([[0, 1, 2], [3, 0, 0]])
    matrix.indices[0] = 999

    with pytest.raises(InputRejectedError, match="no sparse matrix in npz"):
        toolkit.decode(npz(matrix), "application/x-npz")


def test_sparse_matrix_that_is_a_bomb_is_refused_before_it_is_unpacked():
    body = archives.zip_of({"data.npy": bytes(300 << 20)})

    with pytest.raises(InputRejectedError, match="bytes unpacked, 268435456 are allowed"):
        toolkit.decode(body, "application/x-npz")


@pytest.mark.parametrize("body", [b"", b"PK", b"[1, 2]"])
def test_what_is_no_npz_is_refused(body):
    with pytest.raises(InputRejectedError, match="no sparse matrix in npz"):
        toolkit.decode(body, "application/x-npz")
