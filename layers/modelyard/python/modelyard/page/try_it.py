"""The form that calls a model, and the same call for other clients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from modelyard.domain import protocol_bodies
from modelyard.domain.errors import InvalidRequestError
from modelyard.domain.values import Payload, Signature, TensorSpec

_TEXT = "BYTES"
_MAX_EXAMPLE_VALUES = 1000
_NUMPY = {"FP64": "float64", "FP32": "float32", "FP16": "float16", "BOOL": "bool", _TEXT: "object"}


@dataclass(frozen=True, slots=True)
class Field:
    """One input of a model as the form shows it."""

    name: str
    datatype: str
    shape: str
    """As JSON."""
    data: str
    """As JSON, flat or nested."""


def fields_of(signature: Signature) -> list[Field]:
    """Return the fields of the form, with values that the model takes; dimensions are 1 if free."""
    return [_field(spec) for spec in signature.inputs]


def _field(spec: TensorSpec) -> Field:
    shape = [1 if size < 0 else size for size in spec.shape]
    count = 1
    for size in shape:
        count *= size
    value: object = {_TEXT: "text", "BOOL": False}.get(spec.datatype, 1)
    values = [value] * min(count, _MAX_EXAMPLE_VALUES)
    return Field(
        spec.name, spec.datatype, orjson.dumps(shape).decode(), orjson.dumps(values).decode()
    )


def fields_in(form: Mapping[str, Sequence[str]]) -> list[Field]:
    """Return the fields that a browser sent: the lists have one item for each input."""
    names, types = form.get("name", ()), form.get("datatype", ())
    shapes, data = form.get("shape", ()), form.get("data", ())
    if not len(names) == len(types) == len(shapes) == len(data):
        raise InvalidRequestError("the form is not complete")
    return [Field(*parts) for parts in zip(names, types, shapes, data, strict=True)]


def payload_of(fields: Sequence[Field]) -> Payload:
    """Return the payload of the call.

    Raises:
        InvalidRequestError: a shape or the values of an input are not JSON.
    """
    body = orjson.dumps({"inputs": [_tensor(one) for one in fields]})
    return Payload(body, protocol_bodies.content_type(len(body)))


def _tensor(one: Field) -> dict[str, Any]:
    try:
        shape, data = orjson.loads(one.shape), orjson.loads(one.data)
    except ValueError as error:
        raise InvalidRequestError(f"input {one.name}: not JSON: {error}") from error
    return {"name": one.name, "datatype": one.datatype, "shape": shape, "data": data}


def snippets(
    base_url: str, endpoint_name: str, target_model: str, fields: Sequence[Field]
) -> dict[str, str]:
    """Return the call of the form in the words of each client, by the client's name."""
    payload = payload_of(fields)
    body = payload.body.decode()
    url = f"{base_url}/endpoints/{quote(endpoint_name)}"
    quoted = body.replace("'", "'\\''")
    return {
        "curl": f"curl '{url}/v2/models/{quote(target_model)}/infer' \\\n  -d '{quoted}'",
        "boto3": _BOTO3.format(
            url=base_url,
            endpoint=endpoint_name,
            model=target_model,
            type=payload.content_type,
            body=body,
        ),
        "tritonclient": _TRITON.format(
            host=url.partition("://")[2],
            model=target_model,
            inputs="\n".join(map(_triton_input, fields)),
        ),
    }


_BOTO3 = """\
import boto3

client = boto3.client(
    "sagemaker-runtime", endpoint_url={url!r}, region_name="us-east-1",
    aws_access_key_id="any", aws_secret_access_key="any",
)
answer = client.invoke_endpoint(
    EndpointName={endpoint!r},
    TargetModel={model!r},
    ContentType={type!r},
    Body={body!r},
)
print(answer["Body"].read().decode())"""

_TRITON = """\
import numpy as np
import tritonclient.http as triton

client = triton.InferenceServerClient({host!r})
inputs = []
{inputs}
print(client.infer({model!r}, inputs).get_response())"""


def _triton_input(one: Field) -> str:
    kind = _NUMPY.get(one.datatype, one.datatype.lower())
    data = f"np.array({one.data}, dtype={kind!r}).reshape({one.shape})"
    return (
        f"inputs.append(triton.InferInput({one.name!r}, {one.shape}, {one.datatype!r}))\n"
        f"inputs[-1].set_data_from_numpy({data})"
    )
