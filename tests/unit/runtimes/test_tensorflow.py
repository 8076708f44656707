"""SavedModels and Keras files on SageMaker endpoints: detection, bodies, answers, refusals."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain import protocol_bodies
from modelyard.domain.errors import (
    CodeNotAllowedError,
    InputRejectedError,
    ModelLoadError,
    UnsupportedContentTypeError,
)
from modelyard.domain.values import Payload, TensorSpec
from modelyard.runtimes import registry, tensor_calls
from tests.properties import examples

JSON = "application/json"
pytestmark = pytest.mark.long  # TensorFlow takes seconds to import


@pytest.fixture(scope="module")
def models():
    from tests.models import tensorflow_models

    return tensorflow_models


@pytest.fixture(scope="module")
def folder_of(models, tmp_path_factory):
    """Build the artifact of a name once and return its folder."""
    root = tmp_path_factory.mktemp("tensorflow")
    (root / "words.txt").write_text("red\ngreen\n")

    def linear(folder):
        models.linear(folder / "1", 1, 0)
        models.linear(folder / "12", 2, 1)

    builders = {
        "linear": linear,
        "two": models.sum_and_difference,
        "several": lambda folder: models.sum_and_difference(folder, ("classify", "predict")),
        "echo": models.echo,
        "reader": models.file_reader,
        "words": lambda folder: models.vocabulary(folder, root / "words.txt"),
        "estimator": lambda folder: models.estimator_export(folder / "export" / "Servo" / "16"),
        "keras": lambda folder: models.keras_file(folder / "net.keras"),
        "h5": lambda folder: models.keras_file(folder / "net.h5"),
        "exported": lambda folder: models.keras_export(folder / "1"),
    }

    def build(name):
        if not (root / name).exists():
            builders[name](root / name)
        return root / name

    return build


@pytest.fixture(scope="module")
def load(folder_of):
    loaded = {}

    def once(name, *, allow_code=True):
        if name not in loaded:
            loaded[name] = registry.load(registry.plan_load(folder_of(name), allow_code=allow_code))
        return loaded[name]

    yield once
    for predictor in loaded.values():
        predictor.close()


def answer(predictor, body, content_type=JSON, accept=None):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.loads(predictor.predict(Payload(content, content_type, accept)).body)


def test_model_is_a_guest_that_is_not_forked(folder_of):
    plan = registry.plan_load(folder_of("linear"), allow_code=False)

    assert plan.own_process
    assert plan.memory_bytes > 0


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"[[1, 2, 3, 4], [1, 1, 1, 1]]", JSON),
        (b'{"instances": [[1, 2, 3, 4], [1, 1, 1, 1]]}', JSON),
        (b'{"signature_name": "", "instances": [{"x": [1, 2, 3, 4]}, {"x": [1, 1, 1, 1]}]}', JSON),
        (b'[{"x": [1, 2, 3, 4]}, {"x": [1, 1, 1, 1]}]', JSON),
        (b"[1, 2, 3, 4]\n[1, 1, 1, 1]\n", "application/jsonlines"),
        (b"1,2,3,4\n1,1,1,1\n", "text/csv"),
    ],
)
def test_rows_are_answered_as_by_tensorflow_serving(load, body, content_type):
    assert answer(load("linear"), body, content_type) == {"predictions": [[21], [9]]}


@pytest.mark.parametrize("body", [b"[1, 2, 3, 4]", b'{"x": [1, 2, 3, 4]}'])
def test_single_row_is_a_batch_of_one(load, body):
    assert answer(load("linear"), body) == {"predictions": [[21]]}


def test_several_outputs_are_objects_by_row_or_columns_by_name(load):
    rows = answer(load("two"), {"instances": [{"a": [1, 2], "b": [1, 1]}]})
    columns = answer(load("two"), {"inputs": {"a": [[1, 2]], "b": [[1, 1]]}})

    assert rows == {"predictions": [{"difference": [0, 1], "sum": [2, 3]}]}
    assert columns == {"outputs": {"difference": [[0, 1]], "sum": [[2, 3]]}}


def test_call_names_an_output_else_the_endpoint(folder_of, load):
    body = json.dumps({"instances": [{"a": [1, 2], "b": [1, 1]}]}).encode()
    plan = registry.plan_load(folder_of("two"), allow_code=True)
    told = registry.load(replace(plan, output="difference"))

    asked = load("two").predict(Payload(body, JSON, "application/json;output=sum"))
    usual = told.predict(Payload(body, JSON))
    overruled = told.predict(Payload(body, JSON, custom_attributes="output=sum"))

    assert json.loads(asked.body) == json.loads(overruled.body) == {"predictions": [[2, 3]]}
    assert json.loads(usual.body) == {"predictions": [[0, 1]]}
    assert list(told.infer({"a": np.array([[1, 2]]), "b": np.array([[1, 1]])}, [])) == [
        "difference"
    ]
    with pytest.raises(InputRejectedError, match="no output 'x'; it has difference, sum"):
        load("two").predict(Payload(body, JSON, "application/json;output=x"))
    with pytest.raises(ModelLoadError, match="no output 'x'"):
        registry.load(replace(plan, output="x"))


def test_signature_is_chosen_by_name(load):
    body = {"instances": [{"a": [1, 2], "b": [1, 1]}]}
    with pytest.raises(InputRejectedError, match="one of the model's: classify, predict"):
        answer(load("several"), body)

    assert answer(load("several"), body | {"signature_name": "classify"})["predictions"]


def test_values_of_each_type_come_back(models, load):
    values = {"bool": [True], "string": ["é"]}
    real = [name for name in models.ECHOED if not name.startswith("complex")]
    sent = {name: values.get(name, [3]) for name in real}
    empty = {name: [] for name in models.ECHOED if name not in sent}

    with pytest.raises(Exception, match="complex128, which JSON does not have"):
        answer(load("echo"), {"inputs": sent | empty})
    outputs = load("echo").infer({n: np.array(v) for n, v in (sent | empty).items()}, real)

    assert {name: array.tolist() for name, array in outputs.items()} == sent


def test_bytes_are_sent_in_base64_through_both_protocols(load):
    body = json.dumps({"instances": [{"b64": base64.b64encode(b"green").decode()}, "blue"]})
    serving = Payload(body.encode(), protocol_bodies.TENSORFLOW_SERVING, None)

    assert answer(load("words"), body.encode()) == {"predictions": [1, -1]}
    assert json.loads(tensor_calls.predict(load("words"), serving).body)["predictions"] == [1, -1]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[[1, 2]]", r"input 'x' takes float32 \[\*, 4\], got \[1, 2\]"),
        (b'[["a", "b", "c", "d"]]', "cannot be converted"),
        (b'{"instances": []}', "one item for each row"),
        (b'{"instances": [[1]], "inputs": [[1]]}', "must have one of instances, inputs"),
        (b'{"instances": [{"x": [1]}, {"y": [1]}]}', "objects with the same keys"),
        (b'{"instances": [[1]], "signature_name": 5}', "signature_name must be one of"),
        (b'{"instances": [{"b64": "?"}]}', "b64 must be bytes in base64"),
        (b'{"instances": ' + b"[" * 300 + b"1" + b"]" * 300 + b"}", "nested 32 deep"),
        (b'{"instances": [[1e39, 1, 1, 1]]}', "a number does not fit float32"),
        (b"{", "not JSON|JSON"),
    ],
)
def test_body_that_does_not_fit_is_refused(load, body, words):
    with pytest.raises(InputRejectedError, match=words):
        answer(load("linear"), body)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_error_of_a_keras_layer_is_its_reason(models, tmp_path):
    models.keras_embedding(tmp_path / "net.keras", words=5)
    model = registry.load(registry.plan_load(tmp_path, allow_code=True))

    with pytest.raises(
        InputRejectedError, match=r"refuses the input: indices\[0,0\] = 9 is not in"
    ):
        answer(model, {"instances": [[9]]})


def test_other_content_type_is_refused_as_by_the_container(load):
    with pytest.raises(UnsupportedContentTypeError):
        answer(load("linear"), b"", "application/x-npy")


def test_signature_names_inputs_and_outputs(load):
    signature = load("linear").signature

    assert signature.inputs == (TensorSpec("x", "FP32", (-1, 4)),)
    assert signature.outputs == (TensorSpec("y", "FP32", (-1, 1)),)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", ["keras", "h5"])
def test_keras_file_answers_like_keras(models, folder_of, load, name):
    rows = np.random.default_rng(7).normal(size=(1000, 4)).astype(np.float32)
    model = models.tf.keras.models.load_model(folder_of(name) / f"net.{name}")

    found = answer(load(name), {"instances": rows.tolist()})["predictions"]

    assert np.allclose(found, model.predict(rows, verbose=0), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", ["net.weights.h5", "net.h5"])
def test_weights_alone_are_refused_in_words(models, folder_of, tmp_path, name):
    model = models.tf.keras.models.load_model(folder_of("keras") / "net.keras")
    model.save_weights(tmp_path / "net.weights.h5")
    (tmp_path / "net.weights.h5").rename(tmp_path / name)

    with pytest.raises(ModelLoadError, match="holds weights alone: save the whole model"):
        registry.load(registry.plan_load(tmp_path, allow_code=True))


@pytest.mark.parametrize(
    ("name", "operator"),
    [
        ("reader", "ReadFile"),
        ("words", "InitializeTableFromTextFileV2"),
        ("estimator", "RestoreV2"),
    ],
)
def test_graph_that_reaches_for_files_needs_allow_code(folder_of, name, operator):
    plan = registry.plan_load(folder_of(name), allow_code=False)

    with pytest.raises(CodeNotAllowedError, match=operator):
        registry.load(plan)


def test_keras_export_needs_no_allow_code(folder_of):
    predictor = registry.load(registry.plan_load(folder_of("exported"), allow_code=False))

    assert answer(predictor, b"[[1, 2, 3, 4]]") == {"predictions": [[10, 10]]}
    predictor.close()


def test_graphs_that_tensorflow_would_run_themselves_count_as_a_whole(folder_of, tmp_path):
    from modelyard.runtimes import saved_model_operators

    proto = saved_model_operators.saved_model_pb2.SavedModel()
    proto.ParseFromString((folder_of("two") / "saved_model.pb").read_bytes())
    assert saved_model_operators.reaching_out(folder_of("two")) == []

    proto.meta_graphs.append(proto.meta_graphs[0])
    (tmp_path / "saved_model.pb").write_bytes(proto.SerializeToString())

    assert "SaveV2" in saved_model_operators.reaching_out(tmp_path)


@given(where=st.floats(0, 1), junk=st.binary(max_size=40))
@settings(max_examples=examples(20))
def test_damaged_graph_is_a_typed_error_or_read(folder_of, tmp_path_factory, where, junk):
    from modelyard.runtimes import saved_model_operators

    content = (folder_of("two") / "saved_model.pb").read_bytes()
    cut = int(where * len(content))
    folder = Path(tmp_path_factory.mktemp("damaged"))
    (folder / "saved_model.pb").write_bytes(content[:cut] + junk + content[cut + len(junk) :])
    try:
        found = saved_model_operators.reaching_out(folder)
    except ModelLoadError as error:
        assert "saved_model.pb is damaged" in error.message
    else:
        assert found == sorted(set(found))


def test_truncated_graph_is_refused(folder_of, tmp_path):
    content = (folder_of("two") / "saved_model.pb").read_bytes()
    (tmp_path / "saved_model.pb").write_bytes(content[: len(content) // 2])
    plan = registry.plan_load(tmp_path, allow_code=False)

    with pytest.raises(ModelLoadError, match="damaged"):
        registry.load(plan)


def test_file_that_is_no_keras_model_is_refused(tmp_path):
    (tmp_path / "net.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    plan = registry.plan_load(tmp_path, allow_code=True)

    with pytest.raises(ModelLoadError, match="the tensorflow model cannot be loaded"):
        registry.load(plan)
