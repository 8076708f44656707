"""The routes of the Open Inference Protocol v2 over an inference side that follows a script."""

import json
from typing import Any

import pytest

from modelyard.domain import errors, protocol_bodies
from modelyard.domain.endpoints import AccessRule, Endpoint
from modelyard.domain.requests import Answer, DescribeModel, Invoke, Load, Unload
from modelyard.domain.values import (
    HttpResponse,
    ModelId,
    ModelResidence,
    ModelStatus,
    Prediction,
    Signature,
    TargetModel,
    TensorSpec,
)
from tests.unit.router.web.test_site import Scene, with_keys

V2 = "/endpoints/housing/v2"
INFER = f"{V2}/models/m.json/infer"
OUTPUTS = b'{"id":"r1","outputs":[{"name":"y","datatype":"INT8","shape":[1],"data":[1]}]}'
SIGNATURE = Signature("onnx_onnxv1", (TensorSpec("x", "FP32", (-1, 4)),))


def scene_of(*outcomes: Any, model: str = "m.json", **rules: Any) -> Scene:
    scene = Scene(endpoints=[Endpoint("housing", "memory:/", **rules), Scene.API])
    scene.backend.script(model, *outcomes)
    return scene


def infer(scene: Scene, path: str = INFER, *headers: tuple[bytes, bytes]) -> HttpResponse:
    return scene.answer("POST", path.encode(), *headers)


def told(response: HttpResponse) -> Any:
    assert dict(response.headers)["content-type"] == "application/json"
    return json.loads(response.body)


@pytest.mark.parametrize("prefix", ["/v2", V2, "/prod/v2", f"/prod{V2}"])
@pytest.mark.parametrize("name", ["m.json", "x/models/y.json", "x%2Fmodels%2Fy.json", "infer"])
def test_a_model_is_called_under_any_spelling_of_its_path(prefix: str, name: str) -> None:
    plain = name.replace("%2F", "/")
    scene = scene_of(Answer(prediction=Prediction(OUTPUTS, "application/json")), model=plain)

    response = infer(scene, f"{prefix}/models/{name}/infer")

    assert told(response) == {"model_name": plain, **json.loads(OUTPUTS)}
    [call] = scene.backend.calls
    assert isinstance(call.request, Invoke)
    assert call.request.payload.content_type == protocol_bodies.content_type(1)


def test_a_version_is_what_is_below_the_name_of_the_model() -> None:
    scene = scene_of(Answer(prediction=Prediction(OUTPUTS)), model="m/2")

    response = infer(scene, f"{V2}/models/m/versions/2/infer")

    assert told(response) == {"model_name": "m", "model_version": "2", **json.loads(OUTPUTS)}


def test_binary_outputs_keep_their_place_behind_the_json_part() -> None:
    body = b'{"outputs":[]}' + bytes(range(8))
    prediction = Prediction(body, protocol_bodies.content_type(14))

    response = infer(scene_of(Answer(prediction=prediction)))

    headers = dict(response.headers)
    json_bytes = int(headers["inference-header-content-length"])
    assert headers["content-type"] == "application/octet-stream"
    assert json.loads(response.body[:json_bytes]) == {"model_name": "m.json", "outputs": []}
    assert response.body[json_bytes:] == bytes(range(8))


@pytest.mark.parametrize("text", [b"2", b"-1", b"x", b"\xb2", b"9" * 20])
def test_the_length_of_the_json_part_is_checked(text: bytes) -> None:
    response = infer(scene_of(), INFER, (b"inference-header-content-length", text))

    assert response.status == 400
    assert "must be a number up to 1" in told(response)["error"]


def test_a_body_in_an_unknown_encoding_is_refused() -> None:
    response = infer(scene_of(), INFER, (b"content-encoding", b"br"))

    assert (response.status, told(response)["error"]) == (
        400,
        "Content-Encoding br is not supported; allowed: gzip, deflate, identity",
    )


ERRORS = [
    (errors.TargetModelNotFoundError("no"), 404),
    (errors.InputRejectedError("no"), 400),
    (errors.PredictionError("no"), 500),
    (errors.PredictionError("no", original_status=422), 422),
    (errors.ModelCrashedError("no"), 500),
    (errors.CapacityError("no"), 503),
    (errors.DependencyError("no"), 503),
]


@pytest.mark.parametrize(("error", "status"), ERRORS)
@pytest.mark.parametrize("rest", ["/infer", "/ready", ""])
def test_an_error_has_the_form_of_the_protocol(
    error: errors.ModelyardError, status: int, rest: str
) -> None:
    scene = scene_of(Answer(error=error))

    method = "POST" if rest == "/infer" else "GET"
    response = scene.answer(method, f"{V2}/models/m.json{rest}".encode())

    assert (response.status, told(response)) == (status, {"error": "no"})


@pytest.mark.parametrize("rest", ["/infer", "/ready", ""])
def test_a_model_that_is_loading_is_not_ready_whatever_the_endpoint_says(rest: str) -> None:
    error = errors.ModelNotReadyError("loading", 1.5)
    scene = scene_of(Answer(error=error), not_ready_status=429)

    method = "POST" if rest == "/infer" else "GET"
    response = scene.answer(method, f"{V2}/models/m.json{rest}".encode())

    assert (response.status, told(response)) == (503, {"error": "loading"})
    assert dict(response.headers)["retry-after"] == "2"


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/endpoints/nobody/v2/models/m/infer", 404, "endpoint 'nobody' not found"),
        ("/endpoints/iris/v2/models/m/infer", 400, "iris is a Cortex API: call it at /iris"),
        (f"{V2}/models/../infer", 400, "segments"),
        (f"{V2}/models/m/versions/../infer", 400, "version '..' is not valid"),
        (f"{V2}/nothing", 404, "Not Found"),
    ],
)
def test_a_path_that_leads_nowhere_is_told_in_words(path: str, status: int, message: str) -> None:
    response = infer(scene_of(), path)

    assert response.status == status
    assert message in told(response)["error"]


def test_an_endpoint_is_named_where_there_are_several() -> None:
    scene = Scene(endpoints=[Endpoint("a", "memory:/"), Endpoint("b", "memory:/")])

    for method, path in (("POST", "/v2/models/m/infer"), ("GET", "/v2/health/live")):
        response = scene.answer(method, path.encode())

        assert response.status == 404
        assert "put /endpoints/ENDPOINT before" in told(response)["error"]


def test_health_and_metadata_of_the_server() -> None:
    scene = scene_of()

    live, ready, server = (
        told(scene.answer("GET", f"{V2}{rest}".encode()))
        for rest in ("/health/live", "/health/ready", "")
    )

    assert live == ready == {"live": True, "ready": True}
    assert (server["name"], "binary_tensor_data" in server["extensions"]) == ("modelyard", True)


def test_the_server_is_not_ready_while_a_process_is_missing() -> None:
    scene = scene_of()
    scene.missing.append("worker-2")

    live, ready = (scene.answer("GET", f"{V2}/health/{one}".encode()) for one in ("live", "ready"))

    assert (live.status, ready.status) == (200, 503)
    assert told(ready) == {"error": "not running: worker-2"}


def test_metadata_of_a_model_are_what_it_says() -> None:
    scene = scene_of(Answer(signature=SIGNATURE))

    found = told(scene.answer("GET", f"{V2}/models/m.json".encode()))

    tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
    assert found == {
        "name": "m.json",
        "platform": "onnx_onnxv1",
        "inputs": [tensor],
        "outputs": [],
    }
    assert isinstance(scene.backend.calls[0].request, DescribeModel)


def test_whether_a_model_is_ready_loads_it() -> None:
    scene = scene_of(Answer())

    found = told(scene.answer("GET", f"{V2}/models/m.json/ready".encode()))

    assert found == {"name": "m.json", "ready": True}
    assert isinstance(scene.backend.calls[0].request, Load)


def test_models_are_loaded_and_unloaded() -> None:
    gone = Answer(error=errors.ModelNotLoadedError("not loaded"))
    scene = scene_of(Answer(), Answer(), gone)
    path = f"{V2}/repository/models/m.json"

    done = [
        scene.answer("POST", f"{path}/{act}".encode(), body=b"{}")
        for act in ("load", "unload", "unload")
    ]

    assert [(one.status, told(one)) for one in done] == [(200, {})] * 3
    asked = [type(call.request) for call in scene.backend.calls]
    assert asked[:3] == [Load, Unload, Unload]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"parameters":{"config":"{}"}}', "the parameter 'config' is not supported"),
        (b"[]", "must be a JSON object"),
        (b"{", "the body is not JSON"),
    ],
)
def test_a_load_brings_no_model_of_its_own(body: bytes, message: str) -> None:
    path = f"{V2}/repository/models/m.json/load"

    response = scene_of().answer("POST", path.encode(), body=body)

    assert response.status == 400
    assert message in told(response)["error"]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_names_are_listed_as_kserve_lists_them(version: str) -> None:
    scene = scene_of(access=(AccessRule("anonymous", ("m.json", "x/*")),))

    response = scene.answer("GET", f"/endpoints/housing/{version}/models".encode())

    assert told(response) == {"models": ["m.json", "x/models", "x/models/y.json"]}


@pytest.mark.parametrize("path", ["/v2/models/m.json/config", f"{V2}/models/m.json/config"])
def test_a_model_has_a_configuration_for_clients_of_triton(path: str) -> None:
    signature = Signature(
        "onnx_onnxv1",
        (TensorSpec("x", "FP32", (-1, 4)),),
        (TensorSpec("y", "BYTES", (-1,)),),
    )

    response = scene_of(Answer(signature=signature)).answer("GET", path.encode())

    assert told(response) == {
        "name": "m.json",
        "platform": "onnx_onnxv1",
        "backend": "",
        "max_batch_size": 0,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 4]}],
        "output": [{"name": "y", "data_type": "TYPE_STRING", "dims": [-1]}],
    }


@pytest.mark.parametrize("rest", ["/stats", "/m.json/stats", "/m.json/versions/1/stats"])
def test_statistics_of_models_are_refused_in_words(rest: str) -> None:
    scene = scene_of()

    response = scene.answer("GET", f"{V2}/models{rest}".encode())

    assert response.status == 400
    assert "statistics" in told(response)["error"]
    assert scene.backend.calls == []


def test_the_index_lists_the_models_that_the_caller_may_call() -> None:
    rule = AccessRule("anonymous", ("m.json", "x/*"))
    scene = scene_of(access=(rule,))
    loaded = ModelResidence(ModelId("housing", TargetModel("m.json")), ModelStatus.LOADED)
    scene.backend.script_survey(0, Answer(residences=(loaded,)))

    every, ready = (
        told(scene.answer("POST", f"{V2}/repository/index".encode(), body=body))
        for body in (b"{}", b'{"ready":true}')
    )

    assert [one["name"] for one in every] == ["m.json", "x/models", "x/models/y.json"]
    assert ready == [{"name": "m.json", "state": "READY", "reason": ""}]


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("POST", "/models/z.json/infer"),
        ("POST", "/models/z.json/versions/1/infer"),
        ("GET", "/models/z.json"),
        ("GET", "/models/z.json/ready"),
        ("GET", "/models/z.json/config"),
        ("GET", "/models/%7A.json/ready"),
        ("GET", "/models//z.json/ready"),
        ("POST", "/repository/models/z.json/load"),
        ("POST", "/repository/models/z.json/unload"),
    ],
)
def test_rules_hold_on_every_route(method: str, rest: str) -> None:
    scene = scene_of(Answer(), model="z.json", access=(AccessRule("anonymous", ("m.json",)),))

    response = scene.answer(method, f"{V2}{rest}".encode(), body=b"{}")

    assert response.status == 403
    assert "is not allowed to call" in told(response)["error"]
    assert scene.backend.calls == []


@pytest.mark.parametrize(
    "rest", ["/health/live", "", "/models", "/models/stats", "/repository/index"]
)
def test_a_caller_without_any_rule_sees_nothing(rest: str) -> None:
    scene = scene_of(access=(AccessRule("somebody", ("*",)),))

    method = "POST" if rest.startswith("/repository") else "GET"
    response = scene.answer(method, f"{V2}{rest}".encode(), body=b"{}")

    assert response.status == 403


@pytest.mark.parametrize("path", [INFER, "/v2/health/live", f"{V2}/models/m.json"])
def test_an_unknown_caller_is_refused_in_the_form_of_the_protocol(path: str) -> None:
    refusal = with_keys().call("GET", path.encode()).refusal

    assert refusal is not None
    assert refusal.status == 403
    assert "a key is needed" in told(refusal)["error"]
