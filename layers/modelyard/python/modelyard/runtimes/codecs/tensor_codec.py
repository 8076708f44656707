"""Bodies of the Open Inference Protocol v2: tensors as JSON, or in binary form behind the JSON.

The binary form is that of Triton's extension "binary tensor data": values in row-major order and
little-endian, each value of the datatype BYTES behind its length in four bytes.
"""

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from modelyard.domain.errors import InputRejectedError, PredictionError
from modelyard.domain.requests import MAX_ANSWER_BYTES
from modelyard.runtimes.codecs import answer_size, array_codec, json_codec

Array = np.ndarray[Any, Any]

BYTES = "BYTES"
_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_DATATYPES = {dtype: name for name, dtype in _DTYPES.items()}
_BASE64 = "base64"
"""What MLServer's clients name the type of texts that are encoded in JSON. Their other types say
nothing that the datatype does not say, too."""
_LENGTH_BYTES = 4
_MAX_DIMENSIONS = 32
_REFUSED_PARAMETERS = {
    "sequence_id": "sequences are not supported",
    "shared_memory_region": "shared memory is not supported: send the data in the body",
    "classification": "the classification extension is not supported: ask for the scores",
}


@dataclass(frozen=True, slots=True)
class WantedOutput:
    """An output that a request names."""

    name: str
    is_binary: bool


@dataclass(frozen=True, slots=True)
class TensorRequest:
    """An inference request."""

    id: str | None
    inputs: Mapping[str, Array]
    outputs: tuple[WantedOutput, ...]
    is_binary: bool
    """Whether outputs have binary form, for which the request does not say it."""


def datatype_of(dtype: np.dtype[Any]) -> str | None:
    """Return the name of a datatype in the protocol; None where it has none."""
    return BYTES if dtype.kind in "OSU" else _DATATYPES.get(dtype.newbyteorder("<"))


def decode(body: bytes, json_bytes: int) -> TensorRequest:
    """Return the request in a body whose first `json_bytes` are a JSON object.

    Raises:
        InputRejectedError: it is not a valid request; the message names the input.
    """
    if json_bytes > len(body):
        raise InputRejectedError(
            f"the JSON part should have {json_bytes} bytes, the body has {len(body)}"
        )
    request = json_codec.decode(body[:json_bytes])
    if not isinstance(request, dict):
        raise InputRejectedError("the body must be a JSON object with the member inputs")
    parameters = _parameters(request)
    return TensorRequest(
        id=_optional_text(request, "id"),
        inputs=_inputs(_objects(request, "inputs"), memoryview(body)[json_bytes:]),
        outputs=tuple(_wanted(one, parameters) for one in _objects(request, "outputs", least=0)),
        is_binary=_flag(parameters, "binary_data_output"),
    )


def encode(request: TensorRequest, outputs: Mapping[str, Array]) -> tuple[bytes, int]:
    """Return the body of the response, and how many bytes of it are JSON.

    Raises:
        InputRejectedError: the response would be too large.
        PredictionError: an output has a type that the protocol does not have.
    """
    wanted = {output.name: output.is_binary for output in request.outputs}
    rendered, tail = [], []
    for name, array in outputs.items():
        datatype = datatype_of(array.dtype)
        if datatype is None:
            raise PredictionError(f"output {name!r} is {array.dtype.name}, which is no datatype")
        head = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        if wanted.get(name, request.is_binary):
            data = _binary(array)
            tail.append(data)
            rendered.append({**head, "parameters": {"binary_data_size": len(data)}})
        else:
            rendered.append({**head, "data": _listed(array)})
    identity = {} if request.id is None else {"id": request.id}
    text = json_codec.encode({**identity, "outputs": rendered})
    return b"".join((text, *tail)), len(text)


def _inputs(items: list[dict[str, Any]], tail: memoryview) -> dict[str, Array]:
    inputs: dict[str, Array] = {}
    start = 0
    for item in items:
        name = _text(item, "name")
        if name in inputs:
            raise InputRejectedError(f"input {name!r} occurs twice")
        try:
            size_bytes = _binary_size(item)
            data = None if size_bytes is None else tail[start : start + size_bytes]
            inputs[name] = _array(item, data)
            start += size_bytes or 0
        except InputRejectedError as error:
            raise InputRejectedError(f"input {name[:80]!r}: {error.message}") from error
    if start != len(tail):
        raise InputRejectedError(f"{len(tail)} bytes follow the JSON part, the inputs have {start}")
    return inputs


def _array(item: dict[str, Any], data: memoryview | None) -> Array:
    datatype, shape = _text(item, "datatype"), _shape(item)
    if datatype != BYTES and datatype not in _DTYPES:
        raise InputRejectedError(
            f"datatype {datatype[:40]!r}; allowed: {', '.join([*_DTYPES, BYTES])}"
        )
    is_base64 = datatype == BYTES and _parameters(item).get("content_type") == _BASE64
    if data is not None:
        flat = _from_binary(data, datatype)
    elif "data" in item:
        flat = _from_json(item["data"], datatype, shape)
        flat = _objects_array(list(map(_of_base64, flat))) if is_base64 else flat
    else:
        raise InputRejectedError("neither data nor binary_data_size is given")
    if flat.size != math.prod(shape):
        raise InputRejectedError(f"{flat.size} values do not have the shape {list(shape)}")
    try:
        return flat.reshape(shape)
    except ValueError as error:  # NumPy has limits, also where a size is 0
        raise InputRejectedError("shape is not possible") from error


def _from_binary(data: memoryview, datatype: str) -> Array:
    if datatype == BYTES:
        return _texts_in(data)
    dtype = _DTYPES[datatype]
    if len(data) % dtype.itemsize:
        raise InputRejectedError(f"{len(data)} bytes are no values of {datatype}")
    if datatype == "BOOL" and any(value > 1 for value in set(data)):
        raise InputRejectedError("a BOOL must be the byte 0 or 1")
    return np.frombuffer(data, dtype)


def _texts_in(data: memoryview) -> Array:
    texts, start = [], 0
    while start < len(data):
        end = start + _LENGTH_BYTES
        length = int.from_bytes(data[start:end], "little")
        if end + length > len(data):
            raise InputRejectedError("the lengths of the texts exceed the data")
        texts.append(_decoded(bytes(data[end : end + length])))
        start = end + length
    return _objects_array(texts)


def _from_json(data: Any, datatype: str, shape: tuple[int, ...]) -> Array:
    """Return the values in JSON, which may be nested as the shape says, as a flat array."""
    if not isinstance(data, list):
        raise InputRejectedError("data must be a list")
    if datatype == BYTES:
        return _objects_array(_flat_texts(data)) if data else np.empty(0, object)
    dtype = _DTYPES[datatype]
    array = array_codec.from_values(data) if data else np.empty(0, dtype)
    if array.ndim > 1 and array.shape != shape:
        raise InputRejectedError(f"data is nested as {list(array.shape)}, not as the shape says")
    kinds = {"b": "b", "f": "iuf"}.get(dtype.kind, "iu")
    if array.size and array.dtype.kind not in kinds:
        array = _integers(data, datatype) if kinds == "iu" else _wrong(datatype)
    return array_codec.cast(array.reshape(-1), dtype)


def _integers(data: list[Any], datatype: str) -> Array:
    """Return integers that NumPy has read as floats, for example 2**64 - 1 beside 1."""
    values = np.array(data, dtype=object).reshape(-1).tolist()
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        _wrong(datatype)
    try:
        return np.array(values, _DTYPES[datatype])
    except OverflowError as error:
        raise InputRejectedError(f"the values do not fit {datatype}") from error


def _wrong(datatype: str) -> Any:
    raise InputRejectedError(f"the values are not {datatype}")


def _flat_texts(data: list[Any]) -> list[str]:
    try:
        texts: list[str] = np.array(data, dtype=object).reshape(-1).tolist()
    except ValueError:  # lists beside texts
        return cast(list[str], _wrong(BYTES))
    return texts if all(isinstance(value, str) for value in texts) else _wrong(BYTES)


def _of_base64(text: str) -> str:
    try:
        return _decoded(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:  # text beyond ASCII is a ValueError
        raise InputRejectedError("a value is not base64, as content_type says") from error


def _objects_array(texts: list[str]) -> Array:
    array = np.empty(len(texts), object)
    array[:] = texts
    return array


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputRejectedError("a value of BYTES is not UTF-8 text") from error


def _binary(array: Array) -> bytes:
    if array.dtype.kind in "OSU":
        texts = [_encoded(value) for value in array.reshape(-1).tolist()]
        return b"".join(len(text).to_bytes(_LENGTH_BYTES, "little") + text for text in texts)
    if array.nbytes > MAX_ANSWER_BYTES:
        answer_size.refuse_values(array.size, array.itemsize)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _encoded(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode(errors="surrogatepass")
    raise PredictionError(f"the model returned a {type(value).__name__} among texts")


def _listed(array: Array) -> list[Any]:
    answer_size.refuse_texts(array)
    values: list[Any] = array.reshape(-1).tolist()
    if array.dtype.kind in "OSU":
        return [_decoded_answer(_encoded(value)) for value in values]
    return values


def _decoded_answer(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise PredictionError(
            "the model returned bytes that are not UTF-8: ask for binary data"
        ) from error


def _wanted(item: dict[str, Any], request_parameters: dict[str, Any]) -> WantedOutput:
    parameters = _parameters(item)
    default = _flag(request_parameters, "binary_data_output")
    return WantedOutput(_text(item, "name"), _flag(parameters, "binary_data", default))


def _parameters(item: dict[str, Any]) -> dict[str, Any]:
    parameters = item.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InputRejectedError("parameters must be an object")
    for name, message in _REFUSED_PARAMETERS.items():
        if parameters.get(name):
            raise InputRejectedError(message)
    return parameters


def _binary_size(item: dict[str, Any]) -> int | None:
    size_bytes = _parameters(item).get("binary_data_size")
    if size_bytes is None:
        return None
    if type(size_bytes) is not int or size_bytes < 0:
        raise InputRejectedError("binary_data_size must be a number of bytes")
    return size_bytes


def _objects(request: dict[str, Any], name: str, least: int = 1) -> list[dict[str, Any]]:
    items = request.get(name)
    if items is None and not least:
        return []
    if not isinstance(items, list) or len(items) < least:
        raise InputRejectedError(f"the member {name} must be a list of objects")
    if not all(isinstance(item, dict) for item in items):
        raise InputRejectedError(f"the member {name} must be a list of objects")
    return items


def _text(item: dict[str, Any], name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise InputRejectedError(f"{name} must be text")
    return value


def _optional_text(item: dict[str, Any], name: str) -> str | None:
    return None if item.get(name) is None else _text(item, name)


def _shape(item: dict[str, Any]) -> tuple[int, ...]:
    shape = item.get("shape")
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS:
        raise InputRejectedError("shape must be a list of sizes")
    if any(type(size) is not int or size < 0 for size in shape):
        raise InputRejectedError("shape must be a list of sizes")
    return tuple(shape)


def _flag(parameters: dict[str, Any], name: str, default: bool = False) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InputRejectedError(f"{name} must be true or false")
    return value
