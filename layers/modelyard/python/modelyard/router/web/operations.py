"""What OpenAPI says of each route: its request, its response and its errors."""

import re
from collections.abc import Mapping
from typing import Any

from modelyard.sagemaker.statuses import error_types

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_NUMBER: Json = {"type": "integer"}
_OBJECT: Json = {"type": "object"}
_ANY: Json = {}


def _object(required: str = "", **members: Json) -> Json:
    return {"type": "object", "required": required.split(), "properties": members}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_TENSOR = _object(
    "name shape datatype",
    name=_TEXT,
    shape=_list(_NUMBER),
    datatype=_TEXT,
    data=_list(_ANY),
    parameters=_OBJECT,
)
_TYPED_ERROR = _object(
    "__type Message",
    __type={"type": "string", "enum": error_types()},
    Message=_TEXT,
    ErrorCode=_TEXT,
)

SCHEMAS: Mapping[str, Json] = {
    "TypedError": _TYPED_ERROR,
    "ModelError": {
        "allOf": [
            _ref("TypedError"),
            _object(
                "OriginalStatusCode OriginalMessage LogStreamArn",
                OriginalStatusCode=_NUMBER,
                OriginalMessage=_TEXT,
                LogStreamArn=_TEXT,
            ),
        ]
    },
    "Endpoints": _object(
        "endpoints",
        endpoints=_list(
            _object("endpointName modelDataUrl", endpointName=_TEXT, modelDataUrl=_TEXT)
        ),
    ),
    "Model": _object(
        "modelName modelUrl status",
        modelName=_TEXT,
        modelUrl=_TEXT,
        status={
            "type": "string",
            "enum": ["LOADED", "LOADING", "LOADING_FAILED", "STAGED", "NOT_LOADED"],
        },
        version={"type": ["string", "null"]},
        repositoryBytes={"type": ["integer", "null"]},
        diskBytes={"type": ["integer", "null"]},
        memoryBytes={"type": ["integer", "null"]},
        lastUsedAt={"type": ["number", "null"], "description": "seconds since 1970"},
        detail={"type": ["string", "null"]},
    ),
    "ModelPage": _object("models", models=_list(_ref("Model")), nextPageToken=_TEXT),
    "Accepted": _object("InferenceId", InferenceId=_TEXT),
    "LoadModel": _object("model_name", model_name=_TEXT),
    "Done": _object("status", status=_TEXT),
    "Error": _object("error", error=_TEXT),
    "Tensor": _TENSOR,
    "InferenceRequest": _object(
        "inputs",
        id=_TEXT,
        parameters=_OBJECT,
        inputs=_list(_ref("Tensor")),
        outputs=_list(_object("name", name=_TEXT, parameters=_OBJECT)),
    ),
    "InferenceResponse": _object(
        "model_name outputs",
        model_name=_TEXT,
        model_version=_TEXT,
        id=_TEXT,
        outputs=_list(_ref("Tensor")),
    ),
    "ModelMetadata": _object(
        "name platform inputs outputs",
        name=_TEXT,
        versions=_list(_TEXT),
        platform=_TEXT,
        inputs=_list(_OBJECT),
        outputs=_list(_OBJECT),
    ),
    "Names": _object("models", models=_list(_TEXT)),
    "IndexEntry": _object("name state reason", name=_TEXT, state=_TEXT, reason=_TEXT),
    "PredictRequest": _object(signature_name=_TEXT, instances=_list(_ANY), inputs=_ANY),
    "Predictions": _object(predictions=_ANY, outputs=_ANY),
    "ScoringRequest": _object(
        dataframe_split=_object(columns=_list(_ANY), data=_list(_ANY)),
        dataframe_records=_list(_OBJECT),
        instances=_list(_ANY),
        inputs=_ANY,
        params=_OBJECT,
    ),
    "ScoringError": _object("error_code message", error_code=_TEXT, message=_TEXT),
}
"""The bodies of requests and responses, by name."""

_WORDS = {
    200: "the response",
    400: "the request is not valid",
    403: "the caller is unknown, or may not call this model",
    404: "there is no such endpoint, model or route",
    405: "the route has no such method",
    409: "the model is loaded already",
    413: "the body is too long",
    424: "the model failed",
    429: "the model is still loading, for clients that retry after 429",
    500: "the model failed, or a defect",
    503: "the model is still loading, or the server is busy",
    507: "the model needs more memory than there is",
    530: "something that the server needs cannot be reached",
}


def _content(schema: Json, *media_types: str) -> Json:
    return {"content": {media_type: {"schema": schema} for media_type in media_types}}


def _json(name: str) -> Json:
    return _content(_ref(name), "application/json")


def _responses(answer: Json, error: str, statuses: str) -> Json:
    """Return the response of status 200 and the errors, which all have the schema `error`."""
    return {"200": {"description": _WORDS[200], **answer}} | _errors(error, statuses)


def _errors(error: str, statuses: str) -> Json:
    return {
        status: {
            "description": _WORDS[int(status)],
            **_json("ModelError" if status == "424" else error),
        }
        for status in statuses.split()
    }


def _header(name: str, words: str) -> Json:
    return {"name": name, "in": "header", "description": words, "schema": _TEXT}


def _query(name: str, schema: Json, words: str) -> Json:
    return {"name": name, "in": "query", "description": words, "schema": schema}


def _told(
    tag: str,
    summary: str,
    responses: Json,
    *,
    body: Json | None = None,
    parameters: tuple[Json, ...] = (),
) -> Json:
    request = {} if body is None else {"requestBody": body}
    extra = {"responses": responses, "parameters": list(parameters), **request}
    return {"summary": summary, "tags": [tag], "openapi_extra": extra}


_TAG_SAGEMAKER, _TAG_MODELS, _TAG_SERVER = "SageMaker", "Models", "Server"
_TAG_OPEN, _TAG_TENSORFLOW, _TAG_MLFLOW = "Open Inference v2", "TensorFlow Serving", "MLflow"
_ENDPOINT = "/endpoints/{endpoint}"
_OBJECT_BODY = _content(_OBJECT, "application/json")
_MANAGED = "400 403 404 405"
_LOADING = f"{_MANAGED} 409 424 429 503 507 530"
_LIST = "List the models that the caller may call"
_DESCRIBE = "Describe the inputs and outputs of a model, which is loaded for it"
_CALLED = "400 403 404 413 500 503"
_BYTES: Json = {"type": "string", "format": "binary"}
_ROWS: Json = {"anyOf": [_list(_list({"type": "number"})), _ANY]}
_CORTEX = "Cortex"
_BODY: Json = {
    "content": {
        "application/json": {"schema": _ROWS},
        "text/csv": {"schema": _TEXT},
        "text/libsvm": {"schema": _TEXT},
        "application/x-npy": {"schema": _BYTES},
        "application/octet-stream": {"schema": _BYTES},
    }
}
_MODEL = (
    _header("X-Amzn-SageMaker-Target-Model", "the model, below the endpoint's repository"),
    _header("X-Amzn-SageMaker-Inference-Component", "a name that the config gives a model"),
)
_NO_STATISTICS = _told(
    _TAG_OPEN, "Refused: there are no statistics of models", _errors("Error", "400 403 404")
)
_INVOKED = "400 403 404 405 424 429 503 530"


def _asked(
    summary: str, answer: Json | None = None, *, body: Json | None = None, tag: str = _TAG_OPEN
) -> Json:
    """Return a question to one of the other protocols, which calls no model."""
    responses = _responses(answer or _OBJECT_BODY, "Error", "400 403 404 500 503")
    return _told(tag, summary, responses, body=body)


_OPERATIONS: dict[tuple[str, str], Json] = {
    ("POST", f"{_ENDPOINT}/invocations"): _told(
        _TAG_SAGEMAKER,
        "InvokeEndpoint: call a model",
        _responses(_content(_ANY, "*/*"), "TypedError", _INVOKED),
        body=_BODY,
        parameters=(
            *_MODEL,
            _header("X-Amzn-SageMaker-Custom-Attributes", "text for scripts"),
            _header("X-Amzn-SageMaker-Inference-Id", "checked, otherwise ignored"),
            _header("X-Amzn-SageMaker-Session-Id", "accepted, not used"),
            _header("X-Amzn-SageMaker-Target-Variant", "only AllTraffic exists"),
        ),
    ),
    ("POST", f"{_ENDPOINT}/async-invocations"): _told(
        _TAG_SAGEMAKER,
        "InvokeEndpointAsync: put a call on the queue; its result becomes an object",
        {"202": {"description": "the call is on the queue", **_json("Accepted")}}
        | _errors("TypedError", "400 403 404 405 530"),
        body=_content(_BYTES, "*/*"),
        parameters=(
            _header("X-Amzn-SageMaker-Target-Model", "the model; or in CustomAttributes"),
            _header("X-Amzn-SageMaker-Custom-Attributes", "modelyard.target_model=MODEL"),
            _header("X-Amzn-SageMaker-Content-Type", "the type of the body or of the object"),
            _header("X-Amzn-SageMaker-Accept", "the wanted type of the prediction"),
            _header("X-Amzn-SageMaker-InputLocation", "the object with the body"),
            _header("X-Amzn-SageMaker-Inference-Id", "returned; made if it is missing"),
            _header("X-Amzn-SageMaker-RequestTTLSeconds", "from 60 to 21600, which is the default"),
            _header("X-Amzn-SageMaker-InvocationTimeoutSeconds", "from 1 to 3600; 900"),
            _header("X-Amzn-SageMaker-S3OutputPathExtension", "a folder below that of the output"),
            _header("X-Amzn-SageMaker-Filename", "the name of the object of the output"),
        ),
    ),
    ("POST", f"{_ENDPOINT}/invocations-response-stream"): _told(
        _TAG_SAGEMAKER,
        "InvokeEndpointWithResponseStream: call a model, whose prediction becomes an event stream",
        _responses(_content(_BYTES, "application/vnd.amazon.eventstream"), "TypedError", _INVOKED),
        body=_BODY,
        parameters=(*_MODEL, _header("X-Amzn-SageMaker-Accept", "the type of the prediction")),
    ),
    ("GET", "/endpoints"): _told(
        _TAG_MODELS,
        "List the endpoints that the caller may call",
        _responses(_json("Endpoints"), "TypedError", "403"),
    ),
    ("GET", f"{_ENDPOINT}/models"): _told(
        _TAG_MODELS,
        _LIST,
        _responses(_json("ModelPage"), "TypedError", f"{_MANAGED} 530"),
        parameters=(
            _query("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "models per page"),
            _query("next_page_token", _TEXT, "nextPageToken of the page before"),
        ),
    ),
    ("POST", f"{_ENDPOINT}/models"): _told(
        _TAG_MODELS,
        "Load a model",
        _responses(_json("Done"), "TypedError", _LOADING),
        body=_json("LoadModel"),
    ),
    ("GET", f"{_ENDPOINT}/models/{{model}}"): _told(
        _TAG_MODELS,
        "Describe a model",
        _responses(_json("Model"), "TypedError", f"{_MANAGED} 530"),
    ),
    ("DELETE", f"{_ENDPOINT}/models/{{model}}"): _told(
        _TAG_MODELS,
        "Unload a model",
        _responses(_json("Done"), "TypedError", f"{_MANAGED} 530"),
    ),
    ("POST", f"{_ENDPOINT}/models/{{model}}/invocations"): _told(
        _TAG_MLFLOW,
        "Call a model as MLflow's scoring server",
        _responses(_json("Predictions"), "ScoringError", _CALLED),
        body={
            "content": {
                "application/json": {"schema": _ref("ScoringRequest")},
                "text/csv": {"schema": _TEXT},
            }
        },
    ),
    ("GET", "/ping"): _told(
        _TAG_SERVER,
        "Whether all processes run",
        {
            "200": {"description": "all run"},
            "503": {"description": "a process does not run", **_json("TypedError")},
        },
    ),
    ("GET", "/metrics"): _told(
        _TAG_SERVER,
        "Metrics for Prometheus",
        _responses(_content(_TEXT, "text/plain"), "TypedError", "403"),
    ),
    ("GET", "/v2"): _asked("Describe the server"),
    ("GET", "/v2/health/live"): _asked("Whether the server runs"),
    ("GET", "/v2/health/ready"): _asked("Whether all processes run"),
    ("GET", "/v2/models"): _asked(_LIST, _json("Names")),
    ("GET", "/v2/models/stats"): _NO_STATISTICS,
    ("GET", "/v2/models/{model}/stats"): _NO_STATISTICS,
    ("GET", "/v2/models/{model}"): _asked(_DESCRIBE, _json("ModelMetadata")),
    ("GET", "/v2/models/{model}/config"): _asked(
        f"{_DESCRIBE}, in the form of Triton's configuration"
    ),
    ("GET", "/v2/models/{model}/ready"): _asked("Load a model if it is not loaded"),
    ("POST", "/v2/models/{model}/infer"): _told(
        _TAG_OPEN,
        "Call a model with tensors",
        _responses(
            {
                "content": {
                    "application/json": {"schema": _ref("InferenceResponse")},
                    "application/octet-stream": {"schema": _BYTES},
                }
            },
            "Error",
            _CALLED,
        ),
        body={
            "content": {
                "application/json": {"schema": _ref("InferenceRequest")},
                "application/octet-stream": {"schema": _BYTES},
            }
        },
        parameters=(
            _header("Inference-Header-Content-Length", "length of the JSON before binary tensors"),
        ),
    ),
    ("POST", "/v2/repository/index"): _asked(
        _LIST,
        _content(_list(_ref("IndexEntry")), "application/json"),
        body=_content(_object(ready={"type": "boolean"}), "application/json"),
    ),
    ("POST", "/v2/repository/models/{model}/load"): _asked("Load a model", body=_OBJECT_BODY),
    ("POST", "/v2/repository/models/{model}/unload"): _asked("Unload a model", body=_OBJECT_BODY),
    ("POST", "/v1/models/{model}:predict"): _told(
        _TAG_TENSORFLOW,
        "Call a model with instances or inputs",
        _responses(_json("Predictions"), "Error", _CALLED),
        body=_json("PredictRequest"),
    ),
    ("GET", "/v1/models"): _asked(_LIST, _json("Names"), tag=_TAG_TENSORFLOW),
    ("GET", "/v1/models/{model}"): _asked(
        "Tell the status of a model, which is loaded for it", tag=_TAG_TENSORFLOW
    ),
    ("GET", "/v1/models/{model}/metadata"): _asked(_DESCRIBE, tag=_TAG_TENSORFLOW),
}

_VERSION = "/versions/{version}"


def operation(method: str, path: str) -> Json:
    """Return the arguments with which FastAPI describes a route; `path` has no stage.

    Raises:
        KeyError: no operation is known for the route.
    """
    plain = re.sub(r":path\}", "}", path)
    known = plain.replace(_VERSION, "")
    if re.match(rf"{re.escape(_ENDPOINT)}/v[12](/|$)", known):
        known = known.removeprefix(_ENDPOINT)
    told = _OPERATIONS[method, known]
    extra = told["openapi_extra"]
    names = re.findall(r"\{(\w+)\}", plain)
    in_path = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names]
    return told | {"openapi_extra": extra | {"parameters": in_path + extra["parameters"]}}


def api_operation(method: str, path: str) -> Json:
    """Return the arguments with which FastAPI describes a method of a Cortex API."""
    plain = {str(status): {"description": _WORDS[status]} for status in (400, 403, 500, 503)}
    answer = {"200": {"description": "what the class returns", **_content(_ANY, "*/*")}, **plain}
    if method == "GET":
        return _told(_CORTEX, f"Describe the API {path}", answer)
    model = (
        _query("model", _TEXT, "the model, where the API has several"),
        _query("version", _TEXT, "the version of the model; the newest without it"),
    )
    body = _content(_ANY, "application/json", "*/*")
    return _told(_CORTEX, f"Call the API {path}", answer, body=body, parameters=model)
