"""The names that scripts import from SageMaker's packages, for machines that lack those packages.

Scripts of SageMaker artifacts say `from sagemaker_inference import encoder`, `from
sagemaker_xgboost_container import encoder` or `from sagemaker_containers.beta.framework import
encoders, worker`. These packages are part of SageMaker's images and bring a whole server with
them. `install` makes their functions importable: readers, writers, content types and errors.
A package that is really installed is left alone.
"""

import importlib.util
import json
import sys
from http import HTTPStatus
from types import ModuleType
from typing import Any

import numpy as np

from modelyard.domain.errors import UnsupportedContentTypeError
from modelyard.runtimes.codecs import array_codec, libsvm_codec, media_types, npz_codec
from modelyard.runtimes.codecs.media_types import CSV, JSON, LIBSVM, NPY, NPZ

_TYPES = (JSON, CSV, NPY)


class UnsupportedFormatError(Exception):
    """A content type that the toolkit neither reads nor writes."""

    status_code = HTTPStatus.UNSUPPORTED_MEDIA_TYPE

    def __init__(self, content_type: str, **_: Any) -> None:
        super().__init__(f"Content type {content_type} is not supported by this framework.")


class ClientError(Exception):
    """An error that the caller of the endpoint made."""

    status_code = HTTPStatus.BAD_REQUEST


class BaseInferenceToolkitError(Exception):
    """An error with the HTTP status and the reason phrase that the caller is to see."""

    def __init__(
        self, status_code: int, message: str | None = None, phrase: str | None = None
    ) -> None:
        super().__init__(message or phrase or HTTPStatus(status_code).phrase)
        self.status_code = int(status_code)
        self.message = message
        self.phrase = phrase


class GenericInferenceToolkitError(BaseInferenceToolkitError):
    """The error that scripts raise."""


class Response:
    """What an output_fn may return: a body with its content type and status."""

    def __init__(
        self,
        response: Any = b"",
        accept: str | None = None,
        status: int = HTTPStatus.OK,
        headers: Any = None,
        mimetype: str | None = None,
        direct_passthrough: bool = False,
    ) -> None:
        """Keep the body, its content type (JSON if none is given) and the status.

        `accept` has no effect in SageMaker's package either, and many scripts pass it.
        """
        self.data = response
        self.mimetype = mimetype or JSON
        self.status_code = int(status)


class DefaultInferenceHandler:
    """The default functions of the toolkit, for scripts that derive a class from them."""

    def default_input_fn(self, input_data: Any, content_type: str, context: Any = None) -> Any:
        """Return the array of a body."""
        return decode(input_data, content_type)

    def default_output_fn(self, prediction: Any, accept: str, context: Any = None) -> Any:
        """Return the prediction in the first content type of `accept` that is supported."""
        for content_type in parse_accept(accept):
            if content_type in _TYPES:
                return encode(prediction, content_type), content_type
        raise UnsupportedFormatError(accept)


def parse_accept(accept: str) -> list[str]:
    """Return the content types in an Accept header, in the order in which they are listed."""
    return accept.replace(" ", "").split(",")


def training_only(*_: Any, **__: Any) -> Any:
    """Stand for a function that scripts import and call only when they train.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("this function of SageMaker's packages exists only where models are trained")


def decode(body: bytes | str, content_type: str) -> Any:
    """Return the array of a body in JSON, CSV or npy, or the sparse matrix of one in npz.

    CSV with one row or column is flat.

    Raises:
        UnsupportedFormatError: any other content type.
        InputRejectedError: the body is malformed.
    """
    content = body.encode() if isinstance(body, str) else bytes(body)
    if media_types.parse(content_type)[0] == NPZ:
        return npz_codec.decode(content)
    return array_of(content, _kind(content_type))


def array_of(body: bytes, media_type: str) -> np.ndarray[Any, Any]:
    """Return a body of one of `array_codec.TYPES` as the toolkit hands it to a script.

    CSV with one row or column is flat; a JSON object is an array of rank 0 with a dict in it, and
    a list of objects an array of dicts.

    Raises:
        InputRejectedError: the body is malformed.
    """
    if media_type == JSON:
        values = array_codec.decode_values(body, JSON)
        first = values[0] if isinstance(values, list) and values else values
        if isinstance(first, dict):
            return np.array(values, dtype=object)
        return array_codec.from_values(values, casts_to_text=True)
    array = array_codec.decode(body, media_type)
    return np.squeeze(array) if media_type == CSV else array


def encode(array_like: Any, content_type: str) -> bytes | str:
    """Return values as JSON or CSV text, or as npy bytes.

    Raises:
        UnsupportedFormatError: any other content type.
    """
    kind = _kind(content_type)
    if kind == JSON:
        return json.dumps(array_like, default=lambda value: value.tolist())
    content = write_array(array_like, kind)
    return content.decode() if kind == CSV else content


def write_array(value: Any, media_type: str) -> bytes:
    """Return an array, or what becomes one, as CSV, npy or JSON Lines.

    Raises:
        ValueError: the value is something else, such as a dict.
    """
    array = np.asarray(value)
    if array.dtype.hasobject and array.ndim == 0:
        raise ValueError(f"{media_type} carries arrays, the value is a {type(value).__name__}")
    if media_type == CSV and array.dtype in (np.float16, np.float32):
        array = array.astype(str)  # as the toolkit: 0.1, not the 0.10000000149011612 of a double
    return array_codec.encode(array, media_type)


def csv_to_dmatrix(body: bytes | str, dtype: Any = None) -> Any:
    """Return the rows of a CSV body as an `xgboost.DMatrix`; `dtype` is float in any case."""
    return matrix(body, CSV)


def libsvm_to_dmatrix(body: bytes | str) -> Any:
    """Return the rows of a libsvm body as an `xgboost.DMatrix`."""
    return matrix(body, LIBSVM)


def matrix(body: bytes | str, content_type: str, width: int = 0) -> Any:
    """Return a body as an `xgboost.DMatrix`, of at least `width` columns when it is libsvm.

    Raises:
        UnsupportedContentTypeError: neither libsvm nor a content type of arrays.
        InputRejectedError: the body is malformed.
    """
    import xgboost

    content = body.encode() if isinstance(body, str) else bytes(body)
    kind = media_types.body_type(content_type, (*array_codec.TYPES, LIBSVM), default=LIBSVM)
    if kind != LIBSVM:
        array = array_codec.decode(content, kind)
        rows = array.reshape(1, -1) if array.ndim == 1 else array
        return xgboost.DMatrix(rows.astype(np.float64), nthread=1)
    from scipy import sparse

    cells = libsvm_codec.decode(content)
    shape = len(cells.row_starts) - 1, max(width, cells.width)
    rows = sparse.csr_matrix((cells.values, cells.columns, cells.row_starts), shape)
    return xgboost.DMatrix(rows, nthread=1)


def install() -> None:
    """Make the packages importable that scripts name and that are not installed."""
    for package in {name.partition(".")[0] for name in _MODULES}:
        if package not in sys.modules and importlib.util.find_spec(package) is None:
            for name, members in _MODULES.items():
                if name.partition(".")[0] == package:
                    sys.modules[name] = _module(name, members)


def _module(name: str, members: dict[str, Any]) -> ModuleType:
    module = ModuleType(name, "Names of a package of SageMaker, provided by Modelyard.")
    vars(module).update(members, __path__=[])
    parent, _, own_name = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], own_name, module)
    return module


def _kind(content_type: str) -> str:
    try:
        return media_types.body_type(content_type, _TYPES, default=JSON)
    except UnsupportedContentTypeError as error:
        raise UnsupportedFormatError(content_type) from error


_CONTENT_TYPES = {
    "JSON": JSON,
    "CSV": CSV,
    "NPY": NPY,
    "NPZ": NPZ,
    "LIBSVM": LIBSVM,
    "X_LIBSVM": "text/x-libsvm",
    "OCTET_STREAM": "application/octet-stream",
    "ANY": "*/*",
    "UTF8_TYPES": [JSON, CSV],
}
_ERRORS = {
    "BaseInferenceToolkitError": BaseInferenceToolkitError,
    "ClientError": ClientError,
    "GenericInferenceToolkitError": GenericInferenceToolkitError,
    "UnsupportedFormatError": UnsupportedFormatError,
}
_READERS = {"decode": decode}
_WRITERS = {"encode": encode, "SUPPORTED_CONTENT_TYPES": set(_TYPES)}
_MATRICES = {"csv_to_dmatrix": csv_to_dmatrix, "libsvm_to_dmatrix": libsvm_to_dmatrix}
_FRAMEWORK = "sagemaker_containers.beta.framework"
_MODULES: dict[str, dict[str, Any]] = {
    "sagemaker_inference": {},
    "sagemaker_inference.content_types": _CONTENT_TYPES,
    "sagemaker_inference.decoder": _READERS,
    "sagemaker_inference.default_inference_handler": {
        "DefaultInferenceHandler": DefaultInferenceHandler
    },
    "sagemaker_inference.encoder": _WRITERS,
    "sagemaker_inference.errors": _ERRORS,
    "sagemaker_inference.utils": {"parse_accept": parse_accept},
    "sagemaker_xgboost_container": {},
    "sagemaker_xgboost_container.encoder": {**_MATRICES, "decode": matrix, "encode": encode},
    "sagemaker_containers": {},
    "sagemaker_containers.beta": {},
    _FRAMEWORK: {},
    f"{_FRAMEWORK}.content_types": _CONTENT_TYPES,
    f"{_FRAMEWORK}.encoders": {**_READERS, **_WRITERS},
    f"{_FRAMEWORK}.errors": _ERRORS,
    f"{_FRAMEWORK}.worker": {"Response": Response},
    # The usual import line of scripts names these, too, and uses nothing of them.
    f"{_FRAMEWORK}.env": {},
    f"{_FRAMEWORK}.modules": {},
    f"{_FRAMEWORK}.transformer": {},
    # The script that trained a model often serves it, too: these are for the training.
    "sagemaker_containers.entry_point": {"run": training_only},
    "sagemaker_training": {},
    "sagemaker_training.environment": {"Environment": training_only},
    "sagemaker_xgboost_container.checkpointing": dict.fromkeys(
        ("load_checkpoint", "save_checkpoint", "train"), training_only
    ),
    "sagemaker_xgboost_container.data_utils": {"get_dmatrix": training_only},
    "sagemaker_xgboost_container.distributed": {"rabit_run": training_only},
}
