import io
import json

import numpy as np
import pytest
from onnx import TensorProto

from modelyard.domain.errors import (
    InputRejectedError,
    ModelLoadError,
    PredictionError,
    UnsupportedAcceptError,
    UnsupportedContentTypeError,
)
from modelyard.domain.values import Payload
from modelyard.runtimes import registry
from modelyard.runtimes.codecs import npy_codec
from tests.models import onnx_models


def loaded(folder):
    return registry.load(registry.plan_load(folder, allow_code=False))


@pytest.fixture
def linear(tmp_path):
    onnx_models.linear_onnx(tmp_path, 2, 1)
    return loaded(tmp_path)


@pytest.fixture
def two_inputs(tmp_path):
    onnx_models.sum_and_difference(tmp_path)
    return loaded(tmp_path)


@pytest.fixture
def echo(tmp_path):
    def build(element, dimensions=(None,)):
        onnx_models.echo(tmp_path, element, dimensions)
        return loaded(tmp_path)

    return build


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(b'{"x": [[1, 2, 3, 4]]}', "application/json", id="by name"),
        pytest.param(b"[[1, 2, 3, 4]]", None, id="bare"),
        pytest.param(b"[1, 2, 3, 4]", "application/json", id="flat row"),
        pytest.param(b"1,2,3,4\n", "text/csv", id="csv"),
        pytest.param(b"[1, 2, 3, 4]\n", "application/jsonlines", id="lines"),
        pytest.param(b'{"x": [1, 2, 3, 4]}\n', "application/jsonlines", id="lines by name"),
        pytest.param(npy_codec.encode(np.arange(1.0, 5.0)), "application/x-npy", id="npy"),
    ],
)
def test_one_input_is_taken_in_every_way(linear, body, content_type):
    assert linear.predict(Payload(body, content_type)).body == b"[[21.0]]"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/json", b"[[21.0],[1.0]]"),
        ("application/jsonlines", b"[21.0]\n[1.0]\n"),
        ("text/csv", b"21.0\n1.0\n"),
    ],
)
def test_one_output_is_answered_in_every_text(linear, accept, expected):
    payload = Payload(b"[[1, 2, 3, 4], [0, 0, 0, 0]]", accept=accept)

    assert linear.predict(payload).body == expected


def test_npy_is_answered_in_the_models_type(linear):
    answer = linear.predict(Payload(b"[1, 2, 3, 4]", accept="application/x-npy"))

    array = np.load(io.BytesIO(answer.body))
    assert (array.dtype, array.tolist()) == (np.float32, [[21.0]])


@pytest.mark.parametrize(
    ("body", "got"),
    [
        pytest.param(b"[[1, 2, 3], [4, 5, 6]]", r"\[2, 3\]", id="wrong width"),
        pytest.param(b"[[[1, 2, 3, 4]]]", r"\[1, 1, 4\]", id="too deep"),
        pytest.param(b"7", r"\[\]", id="scalar"),
        pytest.param(b"[]", r"\[1, 0\]", id="nothing"),
    ],
)
def test_wrong_shape_is_rejected_with_both_shapes(linear, body, got):
    with pytest.raises(InputRejectedError, match=rf"input 'x' takes float32 \[\*, 4\], got {got}"):
        linear.predict(Payload(body))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(
            b'{"dataframe_split": {"data": [[1]]}}',
            r"input 'x' takes float32 \[\*, 4\], got \[1, 1\]",
            id="mlflow",
        ),
        pytest.param(
            b'{"inputs": [{"name": "y", "data": [1]}]}',
            "as Triton and KServe take them: this model takes an object of 'x', or rows",
            id="tensors",
        ),
        pytest.param(b'{"y": [[1]]}', "takes the inputs 'x', got 'y'", id="another name"),
        pytest.param(b"{}", "takes the inputs 'x', got none", id="no name"),
        pytest.param(b'["a", "b", "c", "d"]', "input 'x': the values are", id="text"),
        pytest.param(b"[[1, 2], [3]]", "not an array", id="ragged"),
    ],
)
def test_wrong_values_are_rejected(linear, body, message):
    with pytest.raises(InputRejectedError, match=message):
        linear.predict(Payload(body))


def test_several_outputs_are_an_object_by_name(two_inputs):
    answer = two_inputs.predict(Payload(b'{"a": [5, 6], "b": [[1, 2]]}'))

    assert json.loads(answer.body) == {"sum": [[6.0, 8.0]], "difference": [[4.0, 4.0]]}


def test_several_inputs_come_as_lines_of_objects(two_inputs):
    lines = b'{"a": [1, 1], "b": [0, 0]}\n{"a": [2, 2], "b": [1, 1]}\n'

    answer = two_inputs.predict(Payload(lines, "application/jsonlines"))

    assert json.loads(answer.body)["sum"] == [[1.0, 1.0], [3.0, 3.0]]


@pytest.mark.parametrize("content_type", ["text/csv", "application/x-npy"])
def test_several_inputs_do_not_fit_an_array_type(two_inputs, content_type):
    with pytest.raises(UnsupportedContentTypeError, match="carries one input, the model takes"):
        two_inputs.predict(Payload(b"1,2", content_type))


def test_several_inputs_need_names(two_inputs):
    with pytest.raises(InputRejectedError, match="send an object of 'a', 'b'"):
        two_inputs.predict(Payload(b"[1, 2]"))


def test_several_outputs_do_not_fit_csv(two_inputs):
    with pytest.raises(UnsupportedAcceptError, match="the model answers sum, difference"):
        two_inputs.predict(Payload(b'{"a": [1, 2], "b": [1, 2]}', accept="text/csv"))


def test_output_of_three_dimensions_does_not_fit_csv(echo):
    predictor = echo(TensorProto.FLOAT, (None, None, None))

    with pytest.raises(UnsupportedAcceptError, match="has 3 dimensions"):
        predictor.predict(Payload(b"[[[1]]]", accept="text/csv"))


def test_classes_with_probabilities_are_objects(tmp_path):
    onnx_models.zip_map(tmp_path)

    answer = loaded(tmp_path).predict(Payload(b"[[0.25, 0.75]]"))

    assert json.loads(answer.body) == [{"no": 0.25, "yes": 0.75}]


@pytest.mark.parametrize(
    ("element", "body"),
    [
        pytest.param(TensorProto.INT64, b"[1,-2]", id="int64"),
        pytest.param(TensorProto.UINT8, b"[0,255]", id="uint8"),
        pytest.param(TensorProto.DOUBLE, b"[0.1]", id="double"),
        pytest.param(TensorProto.FLOAT16, b"[0.5]", id="half"),
        pytest.param(TensorProto.BOOL, b"[true,false]", id="boolean"),
        pytest.param(TensorProto.STRING, b'["Houston","Z\xc3\xbcrich"]', id="text"),
    ],
)
def test_declared_types_come_back_as_they_went_in(echo, element, body):
    assert echo(element).predict(Payload(body)).body == body


@pytest.mark.parametrize(
    ("element", "body"),
    [
        pytest.param(TensorProto.INT64, b"[1.5]", id="fraction"),
        pytest.param(TensorProto.UINT8, b"[256]", id="overflow"),
        pytest.param(TensorProto.STRING, b"[1]", id="number as text"),
    ],
)
def test_value_outside_the_declared_type_is_rejected(echo, element, body):
    with pytest.raises(InputRejectedError, match="input 'x': the values"):
        echo(element).predict(Payload(body))


def test_result_that_is_not_finite_is_null(echo):
    assert echo(TensorProto.DOUBLE).predict(Payload(b"[NaN,1,Infinity]")).body == b"[null,1.0,null]"


def test_fixed_batch_is_checked(echo):
    with pytest.raises(InputRejectedError, match=r"takes float32 \[3\], got \[2\]"):
        echo(TensorProto.FLOAT, (3,)).predict(Payload(b"[1, 2]"))


def test_failure_inside_the_graph_is_the_models(tmp_path):
    from onnx import helper

    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    inputs = [
        onnx_models.tensor("x", [None]),
        onnx_models.tensor("shape", [1], TensorProto.INT64),
    ]
    outputs = [onnx_models.tensor("y", [None])]
    onnx_models.save(tmp_path / "model.onnx", nodes, inputs, outputs)

    with pytest.raises(PredictionError, match="the model failed: "):
        loaded(tmp_path).predict(Payload(b'{"x": [1, 2, 3], "shape": [7]}'))


def test_weights_beside_the_model_are_read_and_kept(tmp_path):
    onnx_models.external_weights(tmp_path, 2, 1)
    predictor = loaded(tmp_path)

    assert predictor.predict(Payload(b"[1, 2, 3, 4]")).body == b"[[21.0]]"
    assert predictor.needs_files


def test_weights_outside_the_artifact_are_refused(tmp_path):
    inside = tmp_path / "artifact"
    inside.mkdir()
    path = onnx_models.external_weights(inside, 2, 1)
    (inside / "weights.bin").rename(tmp_path / "weights.bin")
    path.write_bytes(onnx_models.relocated(path, "../weights.bin"))

    with pytest.raises(ModelLoadError, match="escapes model directory") as refused:
        loaded(inside)

    assert str(tmp_path) not in refused.value.message


def test_input_that_no_body_can_carry_is_a_load_error(tmp_path):
    onnx_models.sequence_length(tmp_path)

    with pytest.raises(ModelLoadError, match=r"input 'x' is a seq\(tensor\(float\)\)"):
        loaded(tmp_path)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(b"5", "application/json", id="bare"),
        pytest.param(b'{"x": 5}', "application/json", id="by name"),
        pytest.param(npy_codec.encode(np.array(5.0)), "application/x-npy", id="npy"),
    ],
)
def test_scalar_stays_a_scalar(echo, body, content_type):
    assert echo(TensorProto.FLOAT, ()).predict(Payload(body, content_type)).body == b"5.0"


@pytest.mark.parametrize(
    ("element", "dimensions", "body"),
    [
        pytest.param(TensorProto.STRING, (None,), b"[]", id="text"),
        pytest.param(TensorProto.STRING, (None, 0), b"[[]]", id="text of two dimensions"),
        pytest.param(TensorProto.INT64, (None,), b"[]", id="integers"),
        pytest.param(TensorProto.BOOL, (None,), b"[]", id="booleans"),
    ],
)
def test_empty_array_has_the_declared_type(echo, element, dimensions, body):
    assert echo(element, dimensions).predict(Payload(body)).body == body


@pytest.mark.parametrize(
    ("element", "body"),
    [
        pytest.param(TensorProto.UINT64, b"[18446744073709551615,1]", id="beyond int64"),
        pytest.param(TensorProto.UINT64, b"[9223372036854775808,9007199254740993]", id="mixed"),
        pytest.param(TensorProto.INT64, b"[-9223372036854775808,9007199254740993]", id="int64"),
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "application/jsonlines", "text/csv"])
def test_integers_keep_every_digit(echo, element, body, content_type):
    lines = body.strip(b"[]").replace(b",", b"\n")
    sent = body if content_type == "application/json" else lines

    assert echo(element).predict(Payload(sent, content_type)).body == body


def test_integer_beside_a_float_keeps_every_digit(echo):
    answer = echo(TensorProto.INT64).predict(Payload(b"[9007199254740993, 1.0]"))

    assert answer.body == b"[9007199254740993,1]"


@pytest.mark.parametrize(
    ("element", "body"),
    [
        pytest.param(TensorProto.UINT64, b"[18446744073709551616]", id="beyond uint64"),
        pytest.param(TensorProto.UINT64, b"[18446744073709551615, -1]", id="negative"),
        pytest.param(TensorProto.INT64, b"[9223372036854775808]", id="beyond int64"),
        pytest.param(TensorProto.INT64, b"[-9223372036854775809]", id="below int64"),
        pytest.param(TensorProto.INT64, b"[1e300, 1]", id="large float"),
        pytest.param(TensorProto.INT64, b"[Infinity]", id="infinity"),
        pytest.param(TensorProto.INT64, b"[null]", id="null"),
    ],
)
def test_integer_that_does_not_fit_is_rejected(echo, element, body):
    with pytest.raises(InputRejectedError, match="input 'x': the values"):
        echo(element).predict(Payload(body))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"[1, 2]", b"[11.0,12.0]", id="left out"),
        pytest.param(b'{"a": [1, 2]}', b"[11.0,12.0]", id="left out by name"),
        pytest.param(b'{"a": [1, 2], "b": [1]}', b"[2.0,3.0]", id="given"),
        pytest.param(b'[{"a": 1}, {"a": 2}]', b"[11.0,12.0]", id="records"),
    ],
)
def test_input_with_an_initializer_may_be_left_out(tmp_path, body, expected):
    onnx_models.with_default(tmp_path)

    assert loaded(tmp_path).predict(Payload(body)).body == expected


def test_inputs_that_may_be_left_out_are_named(tmp_path):
    onnx_models.with_default(tmp_path)

    with pytest.raises(InputRejectedError, match="takes the inputs 'a' and may take 'b', got 'c'"):
        loaded(tmp_path).predict(Payload(b'{"c": [1]}'))


TYPES = {"age": TensorProto.FLOAT, "city": TensorProto.STRING, "rooms": TensorProto.INT64}
TWO_ROWS = [[25.5, "Houston, TX", 3], [30.0, "077", 4]]


@pytest.fixture(params=[(None, 1), (None,)], ids=["matrix", "vector"])
def pipeline(request, tmp_path):
    onnx_models.columns(tmp_path, TYPES, request.param)
    return loaded(tmp_path)


def rows_of(answer):
    columns = [np.array(column, object).ravel() for column in json.loads(answer.body).values()]
    return [list(row) for row in zip(*columns, strict=True)]


def records(rows):
    return [dict(zip(TYPES, row, strict=True)) for row in rows]


def lines(values):
    return "\n".join(map(json.dumps, values)).encode()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(json.dumps(TWO_ROWS).encode(), "application/json", id="rows"),
        pytest.param(json.dumps(records(TWO_ROWS)).encode(), "application/json", id="records"),
        pytest.param(lines(TWO_ROWS), "application/jsonlines", id="lines of rows"),
        pytest.param(lines(records(TWO_ROWS)), "application/jsonlines", id="lines of records"),
        pytest.param(b'25.5,"Houston, TX",3\n30,077,4\n', "text/csv", id="csv"),
        pytest.param(
            b'{"age": [25.5, 30], "city": ["Houston, TX", "077"], "rooms": [3, 4]}',
            "application/json",
            id="columns",
        ),
    ],
)
def test_pipeline_with_one_input_per_column_takes_rows(pipeline, body, content_type):
    assert rows_of(pipeline.predict(Payload(body, content_type))) == TWO_ROWS


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(json.dumps(TWO_ROWS[0]).encode(), "application/json", id="flat row"),
        pytest.param(json.dumps(records(TWO_ROWS)[0]).encode(), "application/json", id="record"),
    ],
)
def test_pipeline_with_one_input_per_column_takes_one_row(pipeline, body, content_type):
    assert rows_of(pipeline.predict(Payload(body, content_type))) == TWO_ROWS[:1]


def test_pipeline_of_numbers_takes_npy(tmp_path):
    onnx_models.columns(tmp_path, {"a": TensorProto.FLOAT, "b": TensorProto.INT64}, (None, 1))
    body = npy_codec.encode(np.array([[0.5, 1], [1.5, 2]]))

    answer = loaded(tmp_path).predict(Payload(body, "application/x-npy"))

    assert rows_of(answer) == [[0.5, 1], [1.5, 2]]


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b'[[25, "x"]]', "application/json", "rows of 3 values, 'age', 'city', 'rooms': row 1"),
        (b'[[25, "x", 3], 7]', "application/json", "row 2 is not one"),
        (b"25\n26", "application/jsonlines", "row 1 is not one"),
        (b"[]", "application/json", "row 1 is not one"),
        (b"25,x\n", "text/csv", "has 2 columns, the model takes 3"),
        (b"old,x,3\n", "text/csv", "line 1, column 1 of the CSV body is not a number: 'old'"),
        (b"25,x,1_0\n", "text/csv", "line 1, column 3 of the CSV body is not a number: '1_0'"),
        ("٣,x,1\n".encode(), "text/csv", "line 1, column 1 of the CSV body is not a number"),
        (b"25,x,3.5\n", "text/csv", "input 'rooms': the values do not fit int64"),
        (b"[[25, 7, 3]]", "application/json", "input 'city': the values are not all text"),
        (b'[["25", "x", 3]]', "application/json", "input 'age': the values are text"),
        (b'[{"age": 25, "city": "x"}]', "application/json", "takes the inputs 'age', 'city', 'ro"),
    ],
)
def test_row_that_does_not_fit_a_pipeline_is_rejected(pipeline, body, content_type, message):
    with pytest.raises(InputRejectedError, match=message):
        pipeline.predict(Payload(body, content_type))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"city,age,member\nDallas,41,true", "text/csv"),
        (b"city,age,member\nDallas,41,true", "text/csv; header=present"),
        (b'"member" ,"city","age"\r\nTrue,Dallas,41\r\n', "text/csv; header=present"),
    ],
)
def test_csv_of_columns_may_have_a_header(tmp_path, body, content_type):
    types = {"age": TensorProto.INT64, "city": TensorProto.STRING, "member": TensorProto.BOOL}
    onnx_models.columns(tmp_path, types, [None])

    answer = json.loads(loaded(tmp_path).predict(Payload(body, content_type)).body)

    assert answer == {"age_out": [41], "city_out": ["Dallas"], "member_out": [True]}


def test_header_of_text_columns_is_no_row(tmp_path):
    onnx_models.columns(tmp_path, dict.fromkeys(("city", "state"), TensorProto.STRING), [None])
    predictor = loaded(tmp_path)

    named = predictor.predict(Payload(b"state,city\nTX,Dallas", "text/csv"))
    plain = predictor.predict(Payload(b"state,city\nTX,Dallas", "text/csv; header=absent"))

    assert json.loads(named.body) == {"city_out": ["Dallas"], "state_out": ["TX"]}
    assert json.loads(plain.body)["city_out"] == ["state", "TX"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"age,town\n41,Dallas", "the header .* has 'age', 'town'; .* takes .* 'age', 'city'"),
        (b"age,city", "a header and no row"),
        (b"age,city\n41,Dallas\nold,Austin", "line 3, column 1"),
    ],
)
def test_header_that_does_not_fit_is_refused(tmp_path, body, message):
    types = {"age": TensorProto.INT64, "city": TensorProto.STRING}
    onnx_models.columns(tmp_path, types, [None])

    with pytest.raises(InputRejectedError, match=message):
        loaded(tmp_path).predict(Payload(body, "text/csv; header=present"))


def test_header_of_the_only_input_is_left_out(linear):
    payload = Payload(b"a,b,c,d\n1,2,3,4", "text/csv; header=present")

    assert linear.predict(payload).body == b"[[21.0]]"


def test_flat_list_is_a_column_where_the_width_is_one(echo):
    assert echo(TensorProto.FLOAT, (None, 1)).predict(Payload(b"[1, 2]")).body == b"[[1.0],[2.0]]"


def test_lines_of_scalars_are_a_row_each(echo, linear):
    payload = Payload(b"1\n2\n", "application/jsonlines")

    with pytest.raises(InputRejectedError, match=r"takes float32 \[\*, 4\], got \[2, 1\]"):
        linear.predict(payload)
    assert echo(TensorProto.FLOAT, (None, 1)).predict(payload).body == b"[[1.0],[2.0]]"


@pytest.mark.parametrize(
    "body",
    [
        b"1\n2\n3\n",
        b"[1]\n[2]\n[3]\n",
        b'{"x": 1}\n{"x": 2}\n{"x": 3}\n',
        b'{"x": [1]}\n{"x": [2]}\n{"x": [3]}\n',
    ],
    ids=["scalars", "lists", "records of scalars", "records of lists"],
)
def test_three_lines_are_three_rows_where_any_width_fits(echo, body):
    answer = echo(TensorProto.FLOAT, (None, None)).predict(Payload(body, "application/jsonlines"))

    assert answer.body == b"[[1.0],[2.0],[3.0]]"


@pytest.mark.parametrize("body", [b"New York\n077\n", b'"New York"\n077'], ids=["plain", "quoted"])
def test_text_is_taken_from_csv_as_it_stands(echo, body):
    answer = echo(TensorProto.STRING).predict(Payload(body, "text/csv"))

    assert answer.body == b'["New York","077"]'


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/json", b'{"label":[1,0],"scores":[[0.25,0.75],[1.0,0.0]]}'),
        (
            "application/jsonlines",
            b'{"label":1,"scores":[0.25,0.75]}\n{"label":0,"scores":[1.0,0.0]}\n',
        ),
        ("text/csv", b"1\n0\n"),
    ],
)
def test_classifier_answers_labels_and_scores_where_both_fit(tmp_path, accept, expected):
    onnx_models.classifier(tmp_path)

    answer = loaded(tmp_path).predict(Payload(b"[[0.25, 0.75], [1, 0]]", accept=accept))

    assert answer.body == expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/json;output=scores", b"[[0.25,0.75],[0.5,0.125]]"),
        ("text/csv;output=scores", b"0.25,0.75\n0.5,0.125\n"),
        ("text/csv;output=label", b"1\n0\n"),
        ("application/jsonlines;output=scores", b"[0.25,0.75]\n[0.5,0.125]\n"),
    ],
)
def test_call_names_an_output(tmp_path, accept, expected):
    onnx_models.classifier(tmp_path)
    body = b"[[0.25, 0.75], [0.5, 0.125]]"

    assert loaded(tmp_path).predict(Payload(body, None, accept)).body == expected


def test_artifact_names_its_output(tmp_path):
    onnx_models.sum_and_difference(tmp_path)
    (tmp_path / "modelyard.json").write_text('{"output": "difference"}')
    body = b'{"a": [[3, 4]], "b": [[1, 1]]}'

    assert loaded(tmp_path).predict(Payload(body)).body == b"[[2.0,3.0]]"
    assert loaded(tmp_path).predict(Payload(body, None, "*/*;output=sum")).body == b"[[4.0,5.0]]"
    inputs = {"a": np.array([[3.0, 4.0]]), "b": np.array([[1.0, 1.0]])}
    assert list(loaded(tmp_path).infer(inputs, [])) == ["difference"]
    assert list(loaded(tmp_path).infer(inputs, ["sum"])) == ["sum"]


def test_output_that_a_graph_lacks_is_refused(linear):
    with pytest.raises(InputRejectedError, match="no output 'z'; it has y"):
        linear.predict(Payload(b"[1, 2, 3, 4]", None, "*/*;output=z"))


def test_maps_of_classes_are_columns_in_csv(tmp_path):
    onnx_models.zip_map(tmp_path)

    answer = loaded(tmp_path).predict(Payload(b"[[0.25, 0.75]]", None, "text/csv"))

    assert answer.body == b"0.25,0.75\n"


def test_classifier_answers_npy_with_its_labels(tmp_path):
    onnx_models.classifier(tmp_path)

    answer = loaded(tmp_path).predict(Payload(b"[[0, 1]]", accept="application/x-npy"))

    assert np.load(io.BytesIO(answer.body)).tolist() == [1]
